/* The cause of a job's end, from what the supervisor knows. */

#ifndef VERDICT_H
#define VERDICT_H

#include <stdbool.h>

/* The one cause of an end, by the name that model.Cause gives it.
 *
 * `wait_status` is the program's (wait(2)), `wanted` the cause for which the supervisor ended the
 * job, or NULL; `oom` whether processes were killed for memory. A program that ended by itself
 * although another process of its job was killed has simply exited. */
const char *verdict_of(int wait_status, const char *wanted, bool oom);

#endif
