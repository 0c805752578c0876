#include "supervise.h"

#include "attend.h"
#include "clock.h"
#include "contain.h"
#include "launch.h"
#include "network.h"
#include "oom_score.h"
#include "pump.h"
#include "quota.h"
#include "record.h"
#include "scratch.h"
#include "seal.h"
#include "small_file.h"
#include "streams.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	/* The size of a record in which the server has noted more than its order: no real one has
	 * it, whatever we add, so that it will be read. */
	UNKNOWN = -1000000,
	MOST_END = 16384, /* Bytes of an exit record, whose gaps take some thousand at most. */
};

/* Seconds between attempts to tell of something while the kernel has no memory for it. */
static const double TELL_PAUSE = 0.01;
/* Seconds between attempts to record an end on a full disk, which has no event to wait for. */
static const double PAUSE = 1.0;

/* The supervisor, as it comes to be: what is to be undone in the end, and what it attends. */
struct supervisor {
	const struct site *site;
	struct job *job;
	int tmp;
	int score; /* As oom_score_take gives it. */
	int record;
	char identity[256]; /* What a record says of us. */
	struct fields self;
	struct pump pump;
	struct streams streams;
	struct attendance attendance;
};

static int open_job(struct job *job, const struct site *site, uid_t uid, struct failure *failure)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	struct stat status;

	job->spool = openat(site->spool, job->id, flags);
	if (job->spool < 0)
		return fail_about(failure, "setup", job->id);
	/* The lock goes with the open file: the supervisor holds it for life, and so the kernel
	 * knows whether there is one. */
	if (flock(job->spool, LOCK_EX | LOCK_NB) < 0)
		return fail_as(failure, "setup (another supervisor has the job)", errno);
	/* Before it is read, so that of what comes meanwhile either of the two tells. */
	if (fstatat(job->spool, RECORD, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_about(failure, "setup", RECORD);
	job->recorded = status.st_size;
	if (order_read(&job->order, job->spool, uid, failure) < 0)
		return -1;
	if (record_has_others(&job->order.record, SECTION_SPEC))
		job->recorded = UNKNOWN;
	return 0;
}

/* Whether a job is to have a cgroup of its own. */
static bool takes_cgroup(const struct site *site, const struct order *order)
{
	return order_has_limits(order) || site->places.memory || site->places.cpus ||
	       site->places.pids;
}

static int prepare(struct job *job, const struct site *site, struct walls *walls,
		   struct failure *failure)
{
	if (has_own_namespaces(site) && !walls->stand && walls_build(walls, site, failure) < 0)
		return -1;
	if (!takes_cgroup(site, &job->order))
		return 0;
	return cgroups_make(&job->cgroups, &site->places, &job->order, job->id, failure);
}

int job_take(struct job *job, const struct site *site, struct walls *walls, const char *id,
	     uid_t uid, struct failure *failure)
{
	*job = (struct job){.spool = NOTHING, .cgroups = {.unified = NOTHING}};
	snprintf(job->id, sizeof job->id, "%s", id);
	if (site->commons.there) {
		/* Where it is not known, none is laid to the limit of all: never guessed. */
		if (!commons_kills(&site->commons, &job->kills_before))
			job->kills_before = UINT64_MAX;
		job->is_tight = commons_is_tight(&site->commons);
	}
	if (open_job(job, site, uid, failure) == 0 && prepare(job, site, walls, failure) == 0)
		return 0;
	job_drop(job);
	return -1;
}

void job_hand_over(struct job *job)
{
	order_release(&job->order);
	close(job->spool);
	cgroups_close(&job->cgroups);
}

void job_drop(struct job *job)
{
	order_release(&job->order);
	if (job->spool >= 0)
		close(job->spool);
	cgroups_remove(&job->cgroups);
}

void tell(const struct site *site, const char *event, const char *job, const struct fields *fields)
{
	char data[128];
	struct fields head = FIELDS_IN(data);

	fields_add(&head, "event", event);
	fields_add(&head, "job", job);
	struct iovec parts[] = {
		{head.data, head.size},
		{fields ? fields->data : NULL, fields ? fields->size : 0},
	};
	const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	/* Any other error than a lack of memory means that there is no server just now. */
	while (sendmsg(site->channel, &message, MSG_NOSIGNAL) < 0 &&
	       (errno == ENOBUFS || errno == ENOMEM))
		clock_pause(TELL_PAUSE);
}

/* Reads PID and start time, in clock ticks since boot, of this process from the machine's /proc
 * (proc_pid_stat(5)). Together with the boot ID they name one process for ever. */
static int read_identity(struct supervisor *supervisor, struct failure *failure)
{
	const struct site *site = supervisor->site;
	char text[1024];
	int pid;
	unsigned long long start;

	if (small_file_read(site->proc, "self/stat", text, sizeof text) < 0)
		return fail_about(failure, "setup", "/proc/self/stat");
	/* The name in parentheses may hold anything, so fields are counted from the last one. */
	const char *rest = strrchr(text, ')');
	pid = atoi(text);
	if (!rest || sscanf(rest,
			    ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
			    "%*d %*d %*d %llu",
			    &start) != 1)
		return fail_as(failure, "setup (/proc/self/stat)", EIO);
	supervisor->self = (struct fields)FIELDS_IN(supervisor->identity);
	fields_print(&supervisor->self, "supervisor", "%d", pid);
	fields_print(&supervisor->self, "supervisorStart", "%llu", start);
	fields_add(&supervisor->self, "bootId", site->boot_id);
	return pid;
}

/* Makes this process the root of its user namespace, with no capability that its program could
 * get. */
static int enter_user_namespace(const struct site *site, const struct order *order,
				struct failure *failure)
{
	const struct rlimit limit = {site->processes, site->processes};

	if (contain_map_own_user(site, failure) < 0)
		return -1;
	/* A new user namespace comes with a full bounding set. */
	if (seal_bounding_set() < 0)
		return fail(failure, "privileges");
	/* Processes are counted in this user namespace alone, by their limit if there is one. */
	if (site->processes && !order->pids && setrlimit(RLIMIT_NPROC, &limit) < 0)
		return fail_about(failure, "setup", "processes");
	return 0;
}

static int limit_tmp(const struct supervisor *supervisor, uint32_t seed, struct failure *failure)
{
	uint64_t bytes = supervisor->job->order.tmp;

	if (bytes && quota_limit(supervisor->tmp, bytes, seed) < 0)
		return fail(failure, "limit of tmp");
	return 0;
}

/* Walls this process off, and makes where the program may write. */
static int contain(struct supervisor *supervisor, const struct walls *walls,
		   struct failure *failure)
{
	const struct site *site = supervisor->site;
	struct job *job = supervisor->job;
	const struct order *order = &job->order;

	if (job->offline && network_bring_up_loopback() < 0)
		return fail_about(failure, "setup", "loopback");
	if (site->level == LEVEL_NAMESPACES && enter_user_namespace(site, order, failure) < 0)
		return -1;
	supervisor->score = oom_score_take(&site->scores, site->proc, job->is_tight);
	if (supervisor->score < NOTHING)
		return fail_about(failure, "setup", "oom_score_adj");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return fail_about(failure, "setup", "prctl");
	int pid = read_identity(supervisor, failure);
	if (pid < 0)
		return -1;
	supervisor->tmp = scratch_make(site, job->spool, job->id, order, failure);
	if (supervisor->tmp < 0 || limit_tmp(supervisor, (uint32_t)pid, failure) < 0)
		return -1;
	if (has_own_namespaces(site))
		return contain_enter(site, walls, job->id, order, failure);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return fail_about(failure, "setup", "prctl");
	return 0;
}

/* Notes that the program is about to be executed: from this section on it is not certain that it
 * never was. The record stays open for the next: after the exec nothing more has to be opened. */
static int note_launch(struct supervisor *supervisor, struct failure *failure)
{
	struct job *job = supervisor->job;

	supervisor->record = record_open(job->spool);
	ssize_t size = supervisor->record < 0 ? -1
					      : record_add(supervisor->record, SECTION_LAUNCH,
							   &supervisor->self);
	if (size < 0)
		return fail_about(failure, "setup", RECORD);
	job->recorded += size;
	/* The server has told that the program will not run. Where it does so later than we look,
	 * it sees our section, and kills us. */
	int is_void = record_is_void(supervisor->record, job->spool, job->recorded);
	if (is_void < 0)
		return fail_about(failure, "setup", RECORD);
	return is_void ? fail_as(failure, "given up", ECANCELED) : 0;
}

/* Notes that the program runs: one whose start is on no record could not be found again, nor
 * stopped. */
static int note_start(struct supervisor *supervisor, struct fields *started)
{
	struct attendance *attendance = &supervisor->attendance;
	const struct site *site = supervisor->site;

	if (launch_find_machine_pid(site, &attendance->program) < 0)
		return -1;
	if (supervisor->job->is_tight)
		oom_score_raise(&site->scores, site->proc, attendance->program.machine_pid);
	oom_score_give_back(&site->scores, supervisor->score);
	snprintf(attendance->started_at, sizeof attendance->started_at, "%.6f", clock_date());
	fields_print(started, "pid", "%d", attendance->program.machine_pid);
	fields_add(started, "startedAt", attendance->started_at);
	fields_copy(started, &supervisor->self);
	fields_add(started, "containment", site->level_name);
	ssize_t size = record_add(supervisor->record, SECTION_STARTED, started);
	supervisor->job->recorded += size;
	return size < 0 ? -1 : 0;
}

/* Contains and executes the program. */
static int start(struct supervisor *supervisor, const struct walls *walls, struct failure *failure)
{
	struct job *job = supervisor->job;
	const struct order *order = &job->order;
	const struct site *site = supervisor->site;
	struct attendance *attendance = &supervisor->attendance;

	if (contain(supervisor, walls, failure) < 0)
		return -1;
	pump_init(&supervisor->pump, job->spool, order->has_output_limit, order->output,
		  order->kill_over_output);
	if (streams_open(&supervisor->streams, site, job->spool, order, failure) < 0 ||
	    note_launch(supervisor, failure) < 0)
		return -1;
	const struct launch what = {site, order, &job->cgroups, &supervisor->streams,
				    supervisor->tmp};
	if (launch(&what, &attendance->program, failure) < 0)
		return -1;
	streams_hand_over(&supervisor->streams);
	return 0;
}

/* Keeps what attending takes, and gives the rest back. */
static void settle(struct supervisor *supervisor)
{
	struct job *job = supervisor->job;
	struct attendance *attendance = &supervisor->attendance;

	attendance->site = supervisor->site;
	attendance->spool = job->spool;
	attendance->cgroups = &job->cgroups;
	attendance->streams = &supervisor->streams;
	attendance->pump = &supervisor->pump;
	attendance->recorded = job->recorded;
	attendance->kills_before = job->kills_before;
	ending_init(&attendance->ending);
	if (job->order.is_timed)
		ending_limit_time(&attendance->ending, clock_now(), job->order.timeout,
				  job->order.grace);
	order_release(&job->order);
	close(supervisor->record);
	if (!job->order.tmp)
		close(supervisor->tmp); /* Else it is needed to lift the limit. */
	if (chdir("/") < 0) /* Out of the state directory. */
		fprintf(stderr, "cannot leave the state directory: %s\n", strerror(errno));
}

/* Makes the end durable; false where the disk is full and it is worth another try.
 *
 * A living server is told of the end in any case; for one that comes later the record is all there
 * is. A disk that is broken will not get better by waiting. */
static bool record_end(int spool, const struct fields *end)
{
	return record_append(spool, SECTION_EXIT, end, true) == 0 ||
	       (errno != ENOSPC && errno != EDQUOT);
}

/* Attends the program, and records and tells its end. */
static void attend_and_record(struct supervisor *supervisor)
{
	static char data[MOST_END];
	struct fields end = FIELDS_IN(data);
	struct job *job = supervisor->job;

	attend(&supervisor->attendance, &end);
	bool is_recorded = record_end(job->spool, &end);
	tell(supervisor->site, "ended", job->id, &end);
	while (!is_recorded) {
		clock_pause(PAUSE);
		is_recorded = record_end(job->spool, &end);
	}
}

/* Notes, for a server that comes later, and tells that the program was not executed. */
static void refuse(const struct supervisor *supervisor, const struct failure *failure)
{
	char data[512];
	struct fields why = FIELDS_IN(data);
	const struct job *job = supervisor->job;

	failure_fields(&why, failure);
	if (record_append(job->spool, SECTION_REFUSED, &why, false) < 0)
		fprintf(stderr, "cannot note that %s was not executed: %s\n", job->id,
			strerror(errno));
	tell(supervisor->site, "refused", job->id, &why);
}

/* Ends a program that was executed, or may have been, and cannot be attended. */
static void give_up(const struct supervisor *supervisor)
{
	char data[256];
	struct fields why = FIELDS_IN(data);

	fields_print(&why, "why", "its start could not be recorded (%s)", strerror(errno));
	tree_end(supervisor->site);
	tell(supervisor->site, "lost", supervisor->job->id, &why);
}

static int clean_up(const struct supervisor *supervisor)
{
	struct job *job = supervisor->job;

	cgroups_remove(&job->cgroups);
	if (job->order.tmp && supervisor->tmp >= 0)
		quota_lift(supervisor->tmp);
	if (scratch_remove(supervisor->site, job->id) == 0)
		return 0;
	fprintf(stderr, "cannot remove all that %s has left: %s\n", job->id, strerror(errno));
	return EXIT_FAILURE;
}

int supervise(const struct site *site, const struct walls *walls, struct job *job)
{
	static struct supervisor supervisor;
	struct failure failure = {0};
	char data[512];
	struct fields started = FIELDS_IN(data);

	supervisor.site = site;
	supervisor.job = job;
	supervisor.tmp = supervisor.score = supervisor.record = NOTHING;
	if (start(&supervisor, walls, &failure) < 0) {
		refuse(&supervisor, &failure);
	} else if (note_start(&supervisor, &started) < 0) {
		give_up(&supervisor);
	} else {
		tell(site, "started", job->id, &started);
		settle(&supervisor);
		attend_and_record(&supervisor);
	}
	return clean_up(&supervisor);
}
