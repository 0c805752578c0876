/* Kills all of a job's processes, and knows when none is left.
 *
 * In a PID namespace the kernel does it: a signal to -1 from its init reaches all others
 * (kill(2)). Elsewhere the supervisor is a child subreaper (prctl(2)), so every process of the
 * job stays its descendant, and the descendants are stopped first: a stopped one cannot fork away
 * from the kill. */

#ifndef TREE_H
#define TREE_H

#include "site.h"

#include <stdbool.h>
#include <stddef.h>

/* PIDs in ascending order. */
struct pids {
	pid_t *all;
	size_t count;
	size_t room;
};

bool pids_has(const struct pids *pids, pid_t pid);
int pids_add(struct pids *pids, pid_t pid);
void pids_take_out(struct pids *pids, pid_t pid);

/* Sends a signal to every process of the job, which is all below the caller. */
int tree_signal(const struct site *site, int number);

/* Kills every process of the job, however fast they fork. Without namespaces, one whose parent ends
 * while we look can be missed: it becomes our child, so a caller has to call again after each
 * child that it reaps. */
int tree_kill(const struct site *site);

/* Kills every descendant of the caller but for `keep` and theirs. */
int tree_kill_descendants(const struct pids *keep);

/* Kills and reaps every process of the job. */
void tree_end(const struct site *site);

#endif
