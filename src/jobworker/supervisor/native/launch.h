/* Executes the program, as the job's user, in the job's directory and under its limits.
 *
 * The program's process begins by sharing the supervisor's memory until its exec, as vfork(2) has
 * it, and puts everything on itself: cgroup, streams, seal, user, directory, limits. Two have
 * memory of their own from the first, and the supervisor waits for them all the same. One is that
 * of a job whose memory limit may be too small for an exec: the kernel kills none that shares its
 * parent's memory (in_vfork in oom_badness). The other is any at `uid`, where it can be stopped by
 * other processes of its user (kill(2)) before its exec: the supervisor looks after it, and has it
 * go on. At `full` nobody else of that user sees it.
 *
 * The supervisor keeps capabilities that a job has not, and its own user: all else is denied by
 * that, its priority (cap_safe_nice in the kernel's commoncap.c), its memory (ptrace(2)). */

#ifndef LAUNCH_H
#define LAUNCH_H

#include "cgroups.h"
#include "order.h"
#include "site.h"
#include "streams.h"

/* The program as executed: its PID here and on the machine. */
struct program {
	pid_t pid;
	pid_t machine_pid;
};

/* What a program is executed with; `tmp` is a descriptor of its temporary directory. */
struct launch {
	const struct site *site;
	const struct order *order;
	const struct cgroups *cgroups;
	const struct streams *streams;
	int tmp;
};

/* Executes it; returns 0 once its exec has succeeded, and -1 where it was surely not executed. */
int launch(const struct launch *launch, struct program *program, struct failure *failure);

/* Finds the PID by which the machine knows the program. */
int launch_find_machine_pid(const struct site *site, struct program *program);

#endif
