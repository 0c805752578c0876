/* The supervisor of one job: contains it, runs it, attends it, records its end.
 *
 * It trusts nobody and needs nobody: all that it reports stands in the spool, and telling the
 * server is a courtesy. In a PID namespace it is process 1, so that its death is the death of
 * everything in the job. */

#ifndef SUPERVISE_H
#define SUPERVISE_H

#include "cgroups.h"
#include "order.h"
#include "site.h"
#include "walls.h"

#include <stdbool.h>
#include <sys/types.h>

enum { JOB_ID = 48 };

/* A job that is about to get its supervisor: its directory, locked, its order, its cgroup.
 *
 * The spawner makes it and hands it on with the clone: what a slow disk could hold up, and what
 * must happen in the namespaces, stays with the supervisor. */
struct job {
	char id[JOB_ID];
	int spool;
	off_t recorded; /* The bytes of the record that are known. */
	struct order order;
	struct cgroups cgroups;
	uint64_t kills_before; /* Of the commons. */
	bool is_tight;	       /* Whether memory is. */
	bool offline;
};

/* Takes charge of a job; nothing is left where it fails. */
int job_take(struct job *job, const struct site *site, struct walls *walls, const char *id,
	     uid_t uid, struct failure *failure);

/* Closes, in the spawner, what the supervisor has now. */
void job_hand_over(struct job *job);

/* Removes what was made, where there is to be no supervisor. */
void job_drop(struct job *job);

/* Sees one job through, from its order to its exit record. It runs in a fresh clone, which with
 * `offline` has a network namespace of its own. Returns its exit status. */
int supervise(const struct site *site, const struct walls *walls, struct job *job);

/* Tells the server, if there is one; else the spool has it. */
void tell(const struct site *site, const char *event, const char *job, const struct fields *fields);

#endif
