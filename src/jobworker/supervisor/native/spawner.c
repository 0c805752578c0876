/* The spawner: a bare process without threads that makes supervisors.
 *
 * It is the parent of every supervisor, tells the server when one is gone, and stays until its last
 * one has ended, also when the server that started it is long gone. Its arguments are those of
 * `site_open`. */

#include "contain.h"
#include "failure.h"
#include "fields.h"
#include "kernel.h"
#include "network.h"
#include "record.h"
#include "seal.h"
#include "signals.h"
#include "site.h"
#include "small_file.h"
#include "supervise.h"
#include "supervisors.h"
#include "tree.h"
#include "walls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	MOST_ORDER = 4096,
	OPEN_FILES = 1024,
	/* Milliseconds between attempts that fail for want of a resource. */
	PAUSE = 1000,
};

/* The name of spawner and supervisors in a list of processes: it names no path. */
static const char TITLE[] = "jobd: spawner";

/* What is waited for: a place each. What may change the walls comes after the orders, as poll(2)
 * looks in this order: so what comes before an order is told together with it. */
enum { CHANNEL, SIGNALED, MOUNTED, NAMED, WAITED_FOR };

struct spawner {
	struct site site;
	struct walls walls;
	struct supervisors supervisors;
	bool has_server;
	bool has_strays;
};

/* Allows no core files, and as many open files as a service manager gives.
 *
 * The server raises its own soft limit, and programs that use select(2) break above 1,024. A
 * program that needs more may raise it to the hard limit. Where each user has a UID, all processes
 * of a user are counted together; root, as which supervisors run, is not bound (set_user and
 * copy_process in the kernel). */
static int limit_resources(const struct site *site)
{
	const struct rlimit no_core = {0, 0};
	const struct rlimit processes = {site->processes, site->processes};
	struct rlimit files;

	if (setrlimit(RLIMIT_CORE, &no_core) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -1;
	if (files.rlim_cur > OPEN_FILES)
		files.rlim_cur = OPEN_FILES;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return -1;
	return site->processes && has_own_uid(site) ? setrlimit(RLIMIT_NPROC, &processes) : 0;
}

static int set_up(struct spawner *spawner, int count, char **arguments, struct failure *failure)
{
	struct site *site = &spawner->site;

	signals_reset();
	umask(077);
	if (site_open(site, count, arguments, failure) < 0)
		return -1;
	if (fcntl(site->channel, F_SETFD, FD_CLOEXEC) < 0)
		return fail(failure, "channel");
	if (limit_resources(site) < 0)
		return fail(failure, "limits");
	if (has_own_namespaces(site)) {
		if (walls_open(&spawner->walls, site, failure) < 0)
			return -1;
	} else if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
		return fail(failure, "subreaper");
	}
	if (site->level == LEVEL_FULL && seal_bounding_set() < 0)
		return fail(failure, "privileges");
	return 0;
}

static void tell_gone(const struct spawner *spawner, const char *job, int status)
{
	char data[32];
	struct fields fields = FIELDS_IN(data);

	fields_print(&fields, "status", "%d", status);
	tell(&spawner->site, "gone", job, &fields);
}

static void refuse(const struct spawner *spawner, const char *job, const struct failure *failure)
{
	char data[512];
	struct fields why = FIELDS_IN(data);

	failure_fields(&why, failure);
	tell(&spawner->site, "refused", job, &why);
	tell_gone(spawner, job, 0);
}

/* Makes a supervisor, which has taken charge of its job with the clone. */
static int make_supervisor(struct spawner *spawner, struct job *job, struct failure *failure)
{
	struct supervisor_entry *place = supervisors_place(&spawner->supervisors);
	unsigned long flags;

	if (!place)
		return fail(failure, "setup");
	if (contain_flags(&spawner->site, job->offline, &flags) < 0)
		return fail_as(failure, "clone (no network namespaces at this level)", errno);
	pid_t pid = kernel_clone(flags);
	if (pid < 0)
		return fail_about(failure, "clone", "clone");
	if (pid == 0)
		_exit(supervise(&spawner->site, &spawner->walls, job));
	supervisors_add(&spawner->supervisors, place, pid, job->id);
	return 0;
}

static void carry_out(struct spawner *spawner, const char *id, uid_t uid, bool offline)
{
	struct failure failure;
	struct job job;

	if (job_take(&job, &spawner->site, &spawner->walls, id, uid, &failure) < 0) {
		refuse(spawner, id, &failure);
		return;
	}
	job.offline = offline;
	if (make_supervisor(spawner, &job, &failure) < 0) {
		job_drop(&job);
		refuse(spawner, id, &failure);
	} else {
		job_hand_over(&job);
	}
}

static bool is_job_id(const char *id)
{
	return id && *id && strlen(id) < JOB_ID && !strchr(id, '/') && *id != '.';
}

/* Does what the server asks for. */
static void take_order(struct spawner *spawner, struct span order)
{
	const char *id = fields_value(order, "job");
	const char *network = fields_value(order, "network");
	uint64_t uid;

	if (fields_value(order, "ping"))
		tell(&spawner->site, "pong", "", NULL);
	else if (is_job_id(id) && number_of(fields_value(order, "uid"), &uid) && uid < UINT32_MAX)
		carry_out(spawner, id, (uid_t)uid,
			  network && strcmp(network, NETWORK_NONE) == 0);
	else
		fprintf(stderr, "an order that makes no sense is left out\n");
}

/* The lock is held for as long as there may be orders, also of a server that is gone: the next one
 * waits for it. It is of the kind that belongs to a process, so no clone has it. */
static int lock_orders(const struct spawner *spawner, short kind)
{
	struct flock lock = {.l_type = kind, .l_whence = SEEK_SET};

	return fcntl(spawner->site.spool, F_SETLKW, &lock);
}

static void read_order(struct spawner *spawner)
{
	char data[MOST_ORDER];
	ssize_t size = read(spawner->site.channel, data, sizeof data);

	/* A server that died with events unread is told of once, and first: its orders still
	 * wait. */
	if (size < 0)
		return;
	if (size == 0) {
		spawner->has_server = false;
		lock_orders(spawner, F_UNLCK);
		return;
	}
	take_order(spawner, (struct span){data, data + size});
}

static void take_end(struct spawner *spawner, pid_t pid, int status)
{
	char job[JOB_ID];
	bool is_ours = supervisors_take_out(&spawner->supervisors, pid, job);

	if (is_ours && status)
		fprintf(stderr, "the supervisor of %s has ended with status %#x\n", job, status);
	if (is_ours)
		tell_gone(spawner, job, status);
	if (!is_ours || status)
		spawner->has_strays = !has_own_namespaces(&spawner->site);
}

static void reap(struct spawner *spawner)
{
	char signals[1024];
	int status;
	pid_t pid;

	if (read(spawner->site.signals, signals, sizeof signals) < 0)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
		if (WIFSTOPPED(status))
			/* Whoever did it (at `basic` a job may): its job could not be stopped, nor
			 * timed. */
			kill(pid, SIGCONT);
		else
			take_end(spawner, pid, status);
	}
}

/* Kills the processes that a killed supervisor has left behind: they fall to us. */
static void kill_strays(struct spawner *spawner)
{
	struct pids keep = {0};

	if (supervisors_list(&spawner->supervisors, &keep) == 0 &&
	    tree_kill_descendants(&keep) == 0)
		spawner->has_strays = false; /* Else there is a next time. */
	free(keep.all);
}

static void set_waits(const struct spawner *spawner, struct pollfd waits[WAITED_FOR])
{
	const struct covers *covers = &spawner->walls.covers;
	bool has_walls = has_own_namespaces(&spawner->site);

	waits[CHANNEL] = (struct pollfd){.fd = spawner->site.channel, .events = POLLIN};
	waits[SIGNALED] = (struct pollfd){.fd = spawner->site.signals, .events = POLLIN};
	waits[MOUNTED] = (struct pollfd){.fd = covers->mountinfo, .events = POLLPRI};
	waits[NAMED] = (struct pollfd){.fd = covers->names, .events = POLLIN};
	if (!spawner->has_server)
		waits[CHANNEL].fd = NOTHING;
	if (!has_walls)
		waits[MOUNTED].fd = waits[NAMED].fd = NOTHING;
}

/* What changes the walls goes before an order. */
static void take_events(struct spawner *spawner, const struct pollfd waits[WAITED_FOR])
{
	if (waits[MOUNTED].revents || waits[NAMED].revents)
		walls_take_notice(&spawner->walls);
	if (waits[SIGNALED].revents)
		reap(spawner);
	if (waits[CHANNEL].revents)
		read_order(spawner);
}

/* Takes orders and reaps until the server and all supervisors are gone. */
static int run(struct spawner *spawner)
{
	struct pollfd waits[WAITED_FOR];

	spawner->has_server = true;
	if (lock_orders(spawner, F_RDLCK) < 0)
		return EXIT_FAILURE;
	while (spawner->has_server || spawner->supervisors.count || spawner->has_strays) {
		set_waits(spawner, waits);
		if (poll(waits, WAITED_FOR, spawner->has_strays ? PAUSE : -1) > 0)
			take_events(spawner, waits);
		if (spawner->has_strays)
			kill_strays(spawner);
	}
	return EXIT_SUCCESS;
}

/* Copies the arguments, as their own memory is what the machine shows of us: a supervisor is
 * process 1 of its job, which may read it. */
static int take_arguments(int count, char **arguments, struct failure *failure)
{
	char *shown = arguments[0];
	const char *last = arguments[count - 1];
	size_t size = (size_t)(last + strlen(last) + 1 - shown);
	char *copy = malloc(size);

	if (!copy)
		return fail(failure, "memory");
	memcpy(copy, shown, size);
	for (int i = 0; i < count; i++)
		arguments[i] = copy + (arguments[i] - shown);
	memset(shown, 0, size);
	snprintf(shown, size, "%s", TITLE);
	return 0;
}

int main(int count, char **arguments)
{
	static struct spawner spawner;
	struct failure failure;

	if (count < 2) {
		fprintf(stderr, "jobd-spawner is run by jobd\n");
		return EXIT_FAILURE;
	}
	if (take_arguments(count, arguments, &failure) < 0 ||
	    set_up(&spawner, count, arguments, &failure) < 0) {
		fprintf(stderr, "cannot start the spawner: %s: %s\n", failure.stage,
			strerror(failure.error));
		return EXIT_FAILURE;
	}
	return run(&spawner);
}
