#include "launch.h"

#include "executable.h"
#include "kernel.h"
#include "seal.h"
#include "scratch.h"
#include "signals.h"
#include "small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	/* Milliseconds between looks whether somebody has stopped the child. An exec takes one or
	 * two; a stop is announced to us by nothing that could be waited for together with it. */
	LOOK = 50,
	/* PF_FORKNOEXEC and PF_EXITING of linux/sched.h, as in `flags` of /proc/PID/stat. In an
	 * exec that goes well the former may still stand for a moment, but not the latter. */
	ENDED_UNEXECUTED = 0x44,
};

/* What the process that becomes the program needs beside the order. */
struct child {
	const struct launch *launch;
	int report;   /* A pipe for its failure, which exec closes. */
	bool unified; /* Whether it has to enter v2 itself. */
};

/* Where that user has as many processes as it may, exec fails with EAGAIN. The kernel compares when
 * the user changes and again at the exec (flag_nproc_exceeded, do_execveat_common), at first
 * without counting us: so one less is allowed until then. */
static int limit_processes(const struct site *site, uint64_t less)
{
	const struct rlimit limit = {site->processes - less, site->processes};

	return site->processes ? setrlimit(RLIMIT_NPROC, &limit) : 0;
}

static bool is_user(const struct order *order)
{
	uid_t uids[3];
	gid_t gids[3];

	if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 ||
	    getresgid(&gids[0], &gids[1], &gids[2]) < 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (uids[i] != order->uid || gids[i] != order->gid)
			return false;
	return true;
}

/* Becomes the job's user for good: all three IDs, and so no capability either. */
static int become_user(const struct site *site, const struct order *order, struct failure *failure)
{
	if (limit_processes(site, 1) < 0 ||
	    kernel_set_groups(order->group_count, order->groups) < 0 ||
	    kernel_set_gids(order->gid, order->gid, order->gid) < 0 ||
	    kernel_set_uids(order->uid, order->uid, order->uid) < 0 ||
	    limit_processes(site, 0) < 0)
		return fail(failure, "credentials");
	if (!is_user(order))
		return fail_as(failure, "credentials (the kernel did not change the user)", EPERM);
	/* A change of user may have set it (prctl(2)). */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}

static int enter_directory(const struct launch *launch, struct failure *failure)
{
	/* By path: the descriptor is of the machine's mount, not of the job's. */
	int result = has_own_namespaces(launch->site) ? chdir(MACHINE_TMP) : fchdir(launch->tmp);

	if (result == 0 && launch->order->cwd)
		result = chdir(launch->order->cwd);
	return result < 0 ? fail(failure, "cwd") : 0;
}

/* Puts this process under a limit. A stricter one that it has already stays. */
static int limit_resource(int resource, uint64_t most)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return -1;
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > most)
		limit.rlim_max = most;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(resource, &limit);
}

/* Lets others go first; more than that stays. */
static int be_nice(uint64_t nice)
{
	int current = getpriority(PRIO_PROCESS, 0);

	return (int)nice > current ? setpriority(PRIO_PROCESS, 0, (int)nice) : 0;
}

/* Puts this process under the limits that no cgroup keeps.
 *
 * Where none counts its processes, a resource limit does: from Linux 5.14 on it counts those of one
 * user namespace, which are the supervisor and the job (is_rlimit_overlimit in the kernel). */
static int impose_limits(const struct launch *launch, struct failure *failure)
{
	const struct order *order = launch->order;
	uint64_t number;

	if (number_of(order->pids, &number) && !launch->cgroups->counts_processes &&
	    limit_resource(RLIMIT_NPROC, number + 1) < 0)
		return fail(failure, "limits");
	if (number_of(order->open_files, &number) && limit_resource(RLIMIT_NOFILE, number) < 0)
		return fail(failure, "limits");
	if (number_of(order->nice, &number) && be_nice(number) < 0)
		return fail(failure, "limits");
	return 0;
}

static int take_place(const struct launch *launch, struct failure *failure)
{
	if (setsid() < 0 || streams_take_place(launch->streams) < 0)
		return fail(failure, "setup");
	return kernel_close_on_exec_from(3) < 0 ? fail(failure, "privileges") : 0;
}

/* Does all that comes before the exec, and that; returns where it fails. */
static void execute(const struct child *child, struct failure *failure)
{
	const struct launch *launch = child->launch;
	const struct order *order = launch->order;
	const char *program = order->argv[0];
	struct executable executable;

	if (cgroups_enter(launch->cgroups, child->unified) < 0) {
		fail(failure, "cgroup");
		return;
	}
	if (take_place(launch, failure) < 0)
		return;
	if (seal(launch->site) < 0) {
		fail(failure, "seal");
		return;
	}
	if (has_own_uid(launch->site) && become_user(launch->site, order, failure) < 0)
		return;
	if (enter_directory(launch, failure) < 0 ||
	    executable_open(&executable, program, order->executable, failure) < 0)
		return;
	/* Last, as with few descriptors we could open nothing more ourselves. */
	if (impose_limits(launch, failure) < 0)
		return;
	signals_reset_for_program();
	execve(executable.path, order->argv, order->envp);
	fail_exec(failure, program);
}

/* Becomes the program, or reports why not. Never returns. */
static int be_program(void *argument)
{
	const struct child *child = argument;
	struct failure failure = {0};

	execute(child, &failure);
	/* Our end of the pipe takes it whole. */
	_exit(write(child->report, &failure, sizeof failure) < 0 ? 126 : 127);
}

/* Makes the process that becomes the program; returns its PID.
 *
 * Where it shares our memory, it has a stack of its own. */
static pid_t make_process(struct child *child)
{
	const struct launch *launch = child->launch;
	const struct cgroups *cgroups = launch->cgroups;
	unsigned long waiting = launch->site->level == LEVEL_UID ? 0 : CLONE_VFORK;
	bool shares_memory = waiting && cgroups->unified == NOTHING &&
			     cgroups_has_room_for_exec(cgroups);
	pid_t pid = -1;

#ifdef __SANITIZE_ADDRESS__
	shares_memory = false; /* What the sanitizer knows of a stack would be wrong in the other. */
#endif
	if (shares_memory)
		return clone(be_program, launch->order->stack, CLONE_VM | CLONE_VFORK | SIGCHLD,
			     child);
	if (cgroups->unified != NOTHING) {
		pid = kernel_clone_into(cgroups->unified, waiting);
		/* A filter of system calls cannot look at clone3's flags, and forbids it whole. */
		if (pid < 0 && errno != ENOSYS && errno != EPERM)
			return -1;
	}
	if (pid < 0) {
		child->unified = true;
		pid = kernel_clone(waiting);
	}
	if (pid == 0)
		be_program(child);
	return pid;
}

/* Returns once the child has executed its program, has reported why not, or is dead. */
static void wait_for_exec(int report, pid_t pid)
{
	struct pollfd poll_report = {.fd = report, .events = POLLIN};
	siginfo_t state = {0};

	while (poll(&poll_report, 1, LOOK) == 0) {
		state.si_pid = 0;
		if (waitid(P_PID, (id_t)pid, &state, WSTOPPED | WNOHANG) == 0 && state.si_pid)
			kill(pid, SIGCONT);
	}
}

/* Whether root can fork: then it was the user who has too many processes, not the machine. */
static bool can_fork(void)
{
	pid_t pid = kernel_clone(CLONE_VFORK);

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return pid > 0;
}

/* Whether the child is ending without an exec: one that is killed for memory in its exec cannot
 * report that itself. It need not be a zombie yet. */
static bool has_ended_unexecuted(pid_t pid)
{
	char path[32];
	char text[512];
	unsigned flags;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if (small_file_read(AT_FDCWD, path, text, sizeof text) < 0)
		return false;
	const char *rest = strrchr(text, ')');
	return rest && sscanf(rest, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
	       (flags & ENDED_UNEXECUTED) == ENDED_UNEXECUTED;
}

/* Says of a failure what its errno leaves open. */
static int explain(const struct launch *launch, struct failure *failure)
{
	if (failure->error == EAGAIN && has_own_uid(launch->site) && can_fork())
		failure->kind = KIND_PROCESSES;
	/* exec calls it E2BIG where it gets no memory for the arguments. */
	if ((failure->error == ENOMEM || failure->error == E2BIG) &&
	    cgroups_was_full(launch->cgroups))
		fail_as(failure, STAGE_MEMORY, ENOMEM);
	return -1;
}

static int check_limits(const struct launch *launch, struct failure *failure)
{
	const struct site *site = launch->site;

	if (!launch->order->pids || launch->cgroups->counts_processes ||
	    (site->level == LEVEL_NAMESPACES && site->uid != 0))
		return 0;
	return fail_as(failure, "limits (pids has no cgroup)", ENODEV);
}

int launch(const struct launch *launch, struct program *program, struct failure *failure)
{
	struct child child = {.launch = launch};
	int ends[2];

	if (check_limits(launch, failure) < 0)
		return -1;
	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
		return fail(failure, "setup");
	child.report = ends[1];
	program->pid = make_process(&child);
	if (program->pid < 0) {
		fail(failure, "setup");
		return explain(launch, failure);
	}
	close(ends[1]);
	if (launch->site->level == LEVEL_UID)
		wait_for_exec(ends[0], program->pid);
	/* A waited-for child has released our memory, or its own, before its pipe is closed: if it
	 * has reported nothing, its exec cannot fail any more, or it is being killed. */
	ssize_t size = read(ends[0], failure, sizeof *failure);
	close(ends[0]);
	if (size == sizeof *failure) {
		waitpid(program->pid, NULL, 0);
		return explain(launch, failure);
	}
	if (launch->cgroups->memory && has_ended_unexecuted(program->pid)) {
		waitpid(program->pid, NULL, 0);
		return fail_as(failure, STAGE_MEMORY, ENOMEM);
	}
	return 0;
}

/* The fdinfo of a pidfd shows the PID as the PID namespace of that /proc has it (pidfd_open(2)), and
 * ours is the machine's. */
int launch_find_machine_pid(const struct site *site, struct program *program)
{
	char path[48];
	char text[512];

	program->machine_pid = program->pid;
	if (!has_own_namespaces(site))
		return 0;
	int pidfd = kernel_pidfd(program->pid);
	if (pidfd < 0)
		return -1;
	snprintf(path, sizeof path, "self/fdinfo/%d", pidfd);
	ssize_t size = small_file_read(site->proc, path, text, sizeof text);
	close(pidfd);
	const char *line = size < 0 ? NULL : strstr(text, "\nPid:");
	if (!line) {
		errno = size < 0 ? errno : EIO;
		return -1;
	}
	program->machine_pid = atoi(line + strlen("\nPid:"));
	return 0;
}
