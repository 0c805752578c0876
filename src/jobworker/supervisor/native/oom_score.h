/* The likelihood that a process is ended where the machine has no memory left.
 *
 * A job is more likely than anything else, its supervisor as unlikely as the server, whose value
 * it inherits. A program inherits the supervisor's value, and may have forked before another
 * could be given to it: so the supervisor has the job's while it executes that. */

#ifndef OOM_SCORE_H
#define OOM_SCORE_H

#include <stdbool.h>
#include <sys/types.h>

/* A job's value and that of its supervisor. */
struct oom_scores {
	bool differ; /* Else there is nothing to do. */
	int job;
	int own;
};

/* Finds them: `wanted` for jobs, and never below ours. Written with CAP_SYS_RESOURCE, it is also
 * the least that the job can give itself (oom_score_adj_min in the kernel). */
int oom_score_open(struct oom_scores *scores, int wanted, int proc);

/* Takes the job's value; returns a descriptor that `oom_score_give_back` needs, or NOTHING, and -2
 * where it fails. To be done while we are dumpable: after that our files in /proc are root's, and
 * only a descriptor will do. `proc` is the machine's: one of ours that is open for writing keeps a
 * mount from becoming read-only. Where memory is `tight` it is a little less, lest we are what is
 * killed for a job's small processes; `oom_score_raise` gives the program the rest. */
int oom_score_take(const struct oom_scores *scores, int proc, bool tight);

/* Takes our own value again, once the program is executed, which nothing may report failed. */
void oom_score_give_back(const struct oom_scores *scores, int descriptor);

/* Gives a program the job's value. What it has forked before this keeps a little less. */
void oom_score_raise(const struct oom_scores *scores, int proc, pid_t machine_pid);

#endif
