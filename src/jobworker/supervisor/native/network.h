/* No network: a job's own network namespace, with nothing in it but its loopback. */

#ifndef NETWORK_H
#define NETWORK_H

/* The order's value for a job without network. */
#define NETWORK_NONE "none"

/* Makes 127.0.0.1 and ::1 work in a new network namespace, whose loopback is down. */
int network_bring_up_loopback(void);

#endif
