/* The cgroup of one job: one directory in each place that keeps one of its limits.
 *
 * The spawner makes it, the supervisor watches and removes it, and like the server both stay
 * outside of it: the limits count only the job, and the kernel kills only the job for memory.
 * Sources: the kernel's admin-guide/cgroup-v2 and admin-guide/cgroup-v1/memory, cpu in
 * scheduler/sched-bwc, pids. */

#ifndef CGROUPS_H
#define CGROUPS_H

#include "alarm.h"
#include "failure.h"
#include "fields.h"
#include "order.h"
#include "places.h"

#include <stdbool.h>
#include <stdint.h>

/* A directory of it, and the place that it is in. */
struct cgroup_part {
	const struct place *place;
	int directory;
	int tasks; /* The file by which a thread enters v1; NOTHING on v2. */
};

struct cgroups {
	char name[64];
	struct cgroup_part parts[PLACES_MOST];
	int count;
	int unified; /* The directory of v2 that a clone may begin in; NOTHING without one. */
	const struct cgroup_part *memory; /* What keeps the limit of memory; NULL without. */
	char memory_limit[32];
	uint64_t memory_most; /* The lowest of all limits of memory on the job. */
	bool counts_processes;
	bool has_alarm;
	struct alarm alarm;
};

/* Makes it and sets the limits; one without any limit has no directory. `cgroups_remove` is due in
 * any case. */
int cgroups_make(struct cgroups *cgroups, const struct places *places, const struct order *order,
		 const char *name, struct failure *failure);

/* Moves the calling process into it; into v2 only where it has not begun there. */
int cgroups_enter(const struct cgroups *cgroups, bool unified);

/* Whether a process that shares its parent's memory may begin in it, which the kernel does not
 * kill for memory. */
bool cgroups_has_room_for_exec(const struct cgroups *cgroups);

/* Whether it has ever held as much memory as it may, short of what one call asks for. */
bool cgroups_was_full(const struct cgroups *cgroups);

/* The number of processes killed for memory, by the kernel's own count. On v2 it counts the first
 * twice where it kills all (oom_kill_process). */
uint64_t cgroups_oom_kills(const struct cgroups *cgroups);

/* CPU seconds of all its processes, and the most bytes that they held at once. False where the
 * kernel does not count that: the former without v2, the latter on v2 before Linux 5.19. */
bool cgroups_cpu_seconds(const struct cgroups *cgroups, double *seconds);
bool cgroups_memory_peak(const struct cgroups *cgroups, uint64_t *bytes);

/* Adds the evidence of an end for lack of memory. */
void cgroups_evidence(const struct cgroups *cgroups, uint64_t kills, struct fields *fields);

/* Closes all descriptors of it; the clone of this process has them, too. */
void cgroups_close(struct cgroups *cgroups);

/* Removes it. That there is none, or that it is not empty yet, is no error. */
void cgroups_remove(struct cgroups *cgroups);

#endif
