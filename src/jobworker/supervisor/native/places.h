/* The cgroups in which those of jobs are made, as found by the server. */

#ifndef PLACES_H
#define PLACES_H

#include <stdint.h>

/* The limits that cgroups keep. */
enum limit { LIMIT_MEMORY = 1, LIMIT_CPUS = 2, LIMIT_PIDS = 4 };

/* A cgroup in which jobs' cgroups are made, of v1 or v2, and the limits that it keeps.
 *
 * The descriptor is opened once, in the spawner: in a job's mount namespace the path may be
 * covered or read-only, and a descriptor is not. */
struct place {
	int version;
	unsigned limits;
	int directory;
	const char *path;
};

enum { PLACES_MOST = 3 };

/* All of them, and the limits of all jobs together, NULL for each without one. */
struct places {
	struct place all[PLACES_MOST];
	int count;
	const char *memory;
	const char *cpus;
	const char *pids;
};

/* Adds one by a spawner's argument, such as `memory:2:/sys/fs/cgroup/...`. Limits of one directory
 * share it. One that has been removed is left out: the spawner serves jobs without limits all the
 * same, and refuses those with one. */
int places_add(struct places *places, char *word);

/* Sets a limit of all jobs together, by an argument such as `memory:1073741824`. */
int places_limit(struct places *places, char *word);

#endif
