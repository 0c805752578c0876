/* The setting shared by all jobs that one spawner starts. */

#ifndef SITE_H
#define SITE_H

#include "commons.h"
#include "places.h"
#include "failure.h"
#include "oom_score.h"

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum level { LEVEL_BASIC, LEVEL_UID, LEVEL_NAMESPACES, LEVEL_FULL };

enum { NOTHING = -1 }; /* No descriptor. */

/* The level of containment, the directories to work in, and the limits of all.
 *
 * Descriptors are opened once: in a job's mount namespace the paths are covered. A directory to
 * bind-mount is named relative to the working directory instead, which is the state directory: a
 * clone's working directory moves along into its own mount namespace, while a descriptor stays in
 * the old one and cannot be mounted from. */
struct site {
	enum level level;
	const char *level_name;
	const char *state;
	const char **hidden; /* The paths to cover. */
	int hidden_count;
	uid_t uid; /* The server's own. */
	gid_t gid;
	char boot_id[64];
	uint64_t processes; /* The most of a user; 0 without a limit. */
	int channel;	    /* The socket to the server. */
	int spool;
	int signals;
	int proc;   /* The machine's. */
	int shm;    /* NOTHING where a bare root has no /dev/shm. */
	int rules;  /* Of every job's Landlock domain; NOTHING without one. */
	bool sealed; /* Whether there is a filter of system calls. */
	struct sock_fprog filter;
	struct oom_scores scores;
	struct places places;
	struct commons commons;
};

/* The levels with PID, mount and IPC namespaces for each job: so with a /tmp of its own. */
static inline bool has_own_namespaces(const struct site *site)
{
	return site->level >= LEVEL_NAMESPACES;
}

/* The levels with a UID for each owner: so they need root. */
static inline bool has_own_uid(const struct site *site)
{
	return site->level == LEVEL_FULL || site->level == LEVEL_UID;
}

/* Opens it by the spawner's arguments, each `key=value`: `level` of containment, `state`
 * directory, paths to `hide`, the `cgroup` for each limit, the `ceiling` of all jobs together, the
 * cgroup of the `commons`, the most `processes` of a user, the `oom` score of jobs, the `channel`,
 * and `io-uring` where jobs may use that. Some may come more than once. The values stay in use. */
int site_open(struct site *site, int count, char **arguments, struct failure *failure);

#endif
