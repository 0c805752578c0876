/* The mounts that wall a job off: what is covered, what is read-only, what is its own. */

#ifndef WALLS_H
#define WALLS_H

#include "covers.h"
#include "failure.h"
#include "site.h"

#include <stdbool.h>

/* What is the same for all jobs is laid by whoever may, as seldom as possible: at `full` by the
 * spawner, in a mount namespace of its own, of which each job gets a copy. Where that may not come
 * back to the machine's, and at `namespaces`, where it may mount nothing, it is by each job. */
struct walls {
	struct covers covers;
	bool stand; /* Whether they are as the machine has it now; `walls_build` sees to that. */
	bool are_shared; /* Whether the spawner lays them. */
	int machine;	 /* The machine's mount namespace, and root and working directory in it. */
	int root;
	int here;
};

int walls_open(struct walls *walls, const struct site *site, struct failure *failure);

/* Takes what was told: the walls are to be built anew for the next job. Those that stand are left
 * at once, lest they keep what the machine unmounts. */
void walls_take_notice(struct walls *walls);

/* Builds, in the spawner, what stands until it is told of a change, if it can be told. */
int walls_build(struct walls *walls, const struct site *site, struct failure *failure);

/* Lays in a job what the spawner could not. */
int walls_lay_in_job(const struct walls *walls, const struct site *site, struct failure *failure);

/* Mounts the job's own instances, last of all. */
int walls_mount_instances(struct failure *failure);

/* Covers a place that a job could reach, be it a directory or not, by an empty one. */
int walls_cover(const char *path, struct failure *failure);

#endif
