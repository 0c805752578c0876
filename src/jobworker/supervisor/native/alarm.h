/* The event of a cgroup v1 that has run out of memory, where the kernel kills one process and not
 * the job.
 *
 * It rings just before the kernel looks for a process to kill, and for every cgroup below the full
 * one: so the count of kills is read afterwards, until it shows one. */

#ifndef ALARM_H
#define ALARM_H

#include <stdbool.h>

struct alarm {
	int event;
	int directory;
	double until; /* A kill is expected till then, by the monotonic clock; 0 without. */
};

/* Seconds between two looks while a kill is expected. */
#define ALARM_LOOK 0.02

int alarm_open(struct alarm *alarm, int directory);

/* Takes the event: from now on a kill is expected. */
void alarm_ring(struct alarm *alarm, double now);

/* Whether a process has been killed since it rang; true only once. */
bool alarm_is_confirmed(struct alarm *alarm, double now);

#endif
