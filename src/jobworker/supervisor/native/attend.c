#include "attend.h"

#include "clock.h"
#include "record.h"
#include "signals.h"
#include "tree.h"
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is waited for: a place each. */
enum { SIGNAL, SOURCES, ALARM = SOURCES + STREAM_COUNT, INLET, WAITED_FOR };

enum {
	/* More than the kernel keeps of a terminal's output: 8,192 bytes before the line
	 * discipline (pty_common_install of pty.c), and a page in it. */
	TERMINAL_MOST = 65536,
};

/* Most seconds for one poll(2), whose milliseconds end after 24 days. */
static const double LONGEST_WAIT = 86400;
/* Seconds between attempts that fail for want of a resource, which nothing announces. */
static const double PAUSE = 0.1;

/* Asks every process to end. One stopped by SIGSTOP gets SIGTERM only once it goes on. */
static int ask_all(const struct attendance *attendance)
{
	if (tree_signal(attendance->site, SIGTERM) < 0)
		return -1;
	return tree_signal(attendance->site, SIGCONT);
}

/* Acts, and again after a while where the machine is short of what it takes just now: descriptors,
 * memory. A kill takes the place of a request that is still due. */
static void act(struct attendance *attendance, enum action action)
{
	int result = 0;

	if (action == ACTION_KILL)
		result = tree_kill(attendance->site);
	else if (action == ACTION_ASK)
		result = ask_all(attendance);
	else
		return;
	attendance->unfinished = result < 0 ? action : ACTION_NONE;
}

/* Acts on what the server has added to the record: at once, or again after a while. */
static void take_record(struct attendance *attendance)
{
	struct record record;
	struct span section;

	attendance->has_unread = record_read(attendance->spool, RECORD, &record) < 0;
	if (attendance->has_unread)
		return;
	if (record_section(&record, SECTION_DEADLINE, &section))
		ending_move_deadline(&attendance->ending, section);
	if (record_section(&record, SECTION_EOF, &section) && attendance->streams->has_input)
		input_end(&attendance->streams->input);
	if (record_section(&record, SECTION_STOP, &section))
		act(attendance, ending_stop(&attendance->ending, clock_now(), section));
	record_release(&record);
}

/* Acts on what the server has added before we watched for signals, if anything. */
static void take_early_additions(struct attendance *attendance)
{
	struct stat status;

	if (fstatat(attendance->spool, RECORD, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    status.st_size != attendance->recorded)
		take_record(attendance);
}

static void reap(struct attendance *attendance)
{
	int status;
	pid_t pid;

	while (!attendance->has_ended && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != attendance->program.pid)
			continue;
		attendance->has_ended = true;
		attendance->wait_status = status;
	}
}

static void take_signal(struct attendance *attendance)
{
	struct signalfd_siginfo info;

	if (read(attendance->site->signals, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo == SIGTERM)
		take_record(attendance);
	else
		reap(attendance);
}

/* Takes output. A source that is hung up is polled no more, one that is empty is.
 *
 * Only a read tells that nothing is left: poll(2) looks for data before it looks for who could
 * still write, and both may change in between. */
static void take_output(struct attendance *attendance, int stream, short events)
{
	int source = attendance->streams->sources[stream];

	if (events & POLLOUT)
		terminal_type(&attendance->streams->terminal);
	if (!(events & ~POLLOUT))
		return;
	if (!pump_carry(attendance->pump, source, stream) && events & (POLLHUP | POLLERR))
		attendance->is_at_end[stream] = true;
}

static void limit_output(struct attendance *attendance)
{
	char data[256];
	struct fields why = FIELDS_IN(data);

	if (!pump_is_over_limit(attendance->pump))
		return;
	pump_evidence(attendance->pump, &why);
	act(attendance, ending_now(&attendance->ending, "output-limit", &why));
}

/* Milliseconds until there is something to do, rounded up; -1 where there is nothing.
 *
 * That is an end being due, a look for kills by the kernel for memory, or what has failed. */
static int patience(const struct attendance *attendance)
{
	const struct cgroups *cgroups = attendance->cgroups;
	double wait = -1;
	double at;

	if (ending_due_at(&attendance->ending, &at)) {
		wait = at - clock_now();
		wait = wait < 0 ? 0 : wait;
	}
	if (cgroups->has_alarm && cgroups->alarm.until > 0 && (wait < 0 || wait > ALARM_LOOK))
		wait = ALARM_LOOK;
	if ((attendance->has_unread || attendance->unfinished) && (wait < 0 || wait > PAUSE))
		wait = PAUSE;
	if (wait < 0)
		return -1;
	return (int)((wait > LONGEST_WAIT ? LONGEST_WAIT : wait) * 1000) + 1;
}

/* Sets what is waited for now: poll(2) passes over a descriptor below 0. */
static void set_waits(const struct attendance *attendance, struct pollfd waits[WAITED_FOR])
{
	const struct streams *streams = attendance->streams;
	const struct cgroups *cgroups = attendance->cgroups;
	bool is_full = streams->has_terminal && terminal_is_full(&streams->terminal);

	for (int i = 0; i < WAITED_FOR; i++)
		waits[i] = (struct pollfd){.fd = NOTHING, .events = POLLIN};
	waits[SIGNAL].fd = attendance->site->signals;
	for (int i = 0; i < streams->source_count; i++)
		if (!attendance->is_at_end[i])
			waits[SOURCES + i].fd = streams->sources[i];
	if (cgroups->has_alarm)
		waits[ALARM].fd = cgroups->alarm.event;
	if (streams->has_terminal && !is_full)
		waits[INLET].fd = streams->terminal.inlet;
	if (is_full)
		waits[SOURCES].events |= POLLOUT;
}

static void take_events(struct attendance *attendance, const struct pollfd waits[WAITED_FOR])
{
	if (waits[SIGNAL].revents)
		take_signal(attendance);
	for (int i = 0; i < STREAM_COUNT; i++)
		if (waits[SOURCES + i].revents)
			take_output(attendance, i, waits[SOURCES + i].revents);
	if (waits[ALARM].revents)
		alarm_ring(&attendance->cgroups->alarm, clock_now());
	if (waits[INLET].revents)
		terminal_take_input(&attendance->streams->terminal);
}

static void attend_program(struct attendance *attendance)
{
	struct cgroups *cgroups = attendance->cgroups;
	struct pollfd waits[WAITED_FOR];

	while (!attendance->has_ended) {
		set_waits(attendance, waits);
		if (poll(waits, WAITED_FOR, patience(attendance)) < 0) {
			clock_pause(PAUSE);
			continue;
		}
		act(attendance, attendance->unfinished);
		take_events(attendance, waits);
		if (attendance->has_unread)
			take_record(attendance);
		limit_output(attendance);
		act(attendance, ending_due(&attendance->ending, clock_now()));
		if (cgroups->has_alarm && alarm_is_confirmed(&cgroups->alarm, clock_now()))
			act(attendance, ACTION_KILL);
	}
}

/* Takes what is left in the pipes, and no more than that.
 *
 * All processes of the job are dead, but one may have handed its end of the pipe to a process
 * outside, which could go on writing for ever. */
static void drain(struct attendance *attendance)
{
	const struct streams *streams = attendance->streams;

	for (int i = 0; i < streams->source_count; i++) {
		if (attendance->is_at_end[i])
			continue;
		int source = streams->sources[i];
		fcntl(source, F_SETFL, fcntl(source, F_GETFL) | O_NONBLOCK);
		/* A terminal cannot be asked. */
		int capacity = fcntl(source, F_GETPIPE_SZ);
		size_t left = capacity > 0 ? (size_t)capacity : TERMINAL_MOST;
		size_t size;
		while (left > 0 && (size = pump_carry(attendance->pump, source, i)) > 0)
			left -= size < left ? size : left;
	}
}

/* Adds the user for whom the server last sent that signal, and when; else `not jobd`. */
static void add_sender(const struct attendance *attendance, int number, struct fields *end)
{
	struct record senders;
	char key[16];

	snprintf(key, sizeof key, "%d", number);
	/* The record of the end must not be lost for this. */
	bool is_read = record_read(attendance->spool, SIGNALS, &senders) == 0;
	struct span all = {senders.text, senders.text + senders.size};
	const char *sent = is_read ? fields_value(all, key) : NULL;
	const char *by = sent ? strchr(sent, ' ') : NULL;
	if (by) {
		fields_add(end, "evidence.sender", by + 1);
		fields_print(end, "evidence.sentAt", "%.*s", (int)(by - sent), sent);
	} else {
		fields_add(end, "evidence.sender", "not jobd");
	}
	record_release(&senders);
}

/* Adds the program's own exit code, or the signal that ended it and whether that was ours. */
static void add_outcome(const struct attendance *attendance, const char *cause, struct fields *end)
{
	char name[SIGNAL_NAME];
	int status = attendance->wait_status;

	if (WIFEXITED(status)) {
		fields_print(end, "exitCode", "%d", WEXITSTATUS(status));
		return;
	}
	signals_name(WTERMSIG(status), name);
	fields_add(end, "signal", name);
	if (strcmp(cause, "signaled") != 0)
		return;
	fields_add(end, "evidence.signal", name);
	add_sender(attendance, WTERMSIG(status), end);
}

/* Adds CPU time and peak memory: of the whole job by its cgroup, else of all reaped children. */
static void add_usage(const struct attendance *attendance, struct fields *end)
{
	struct rusage used;
	double seconds;
	uint64_t peak;

	getrusage(RUSAGE_CHILDREN, &used);
	if (!cgroups_cpu_seconds(attendance->cgroups, &seconds))
		seconds = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
			  (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
	if (!cgroups_memory_peak(attendance->cgroups, &peak))
		peak = (uint64_t)used.ru_maxrss * 1024;
	fields_print(end, "cpuSeconds", "%.6f", seconds);
	fields_print(end, "peakMemory", "%" PRIu64, peak);
}

/* The number of processes that the kernel has killed meanwhile for the memory of all jobs. */
static uint64_t kills_among_all(const struct attendance *attendance)
{
	const struct commons *commons = &attendance->site->commons;

	if (!commons->there || attendance->cgroups->memory)
		return 0; /* A job under a limit of its own is not in there. */
	uint64_t kills;
	if (!commons_kills(commons, &kills) || kills <= attendance->kills_before)
		return 0;
	return kills - attendance->kills_before;
}

static void write_end(struct attendance *attendance, double finished_at, struct fields *end)
{
	uint64_t kills = cgroups_oom_kills(attendance->cgroups);
	uint64_t among_all = kills ? 0 : kills_among_all(attendance);
	const char *cause = verdict_of(attendance->wait_status, attendance->ending.cause,
				       kills || among_all);

	fields_add(end, "cause", cause);
	add_outcome(attendance, cause, end);
	fields_copy(end, &attendance->ending.why);
	fields_add(end, "startedAt", attendance->started_at);
	fields_print(end, "finishedAt", "%.6f", finished_at);
	add_usage(attendance, end);
	if (attendance->output_error)
		fields_print(end, "evidence.outputError", "%d", attendance->output_error);
	cgroups_evidence(attendance->cgroups, kills, end);
	if (among_all && strcmp(cause, "oom") == 0)
		commons_evidence(&attendance->site->commons, among_all, end);
	pump_account(attendance->pump, end);
}

/* Ends what the dead program left behind, and takes what it wrote. */
static void finish(struct attendance *attendance)
{
	tree_end(attendance->site);
	drain(attendance);
	limit_output(attendance);
	/* The job's end is known all the same, and must not be lost for a disk that is full. */
	if (pump_finish(attendance->pump) < 0)
		attendance->output_error = errno;
}

void attend(struct attendance *attendance, struct fields *end)
{
	take_early_additions(attendance);
	attend_program(attendance);
	double finished_at = clock_date();
	finish(attendance);
	write_end(attendance, finished_at, end);
}
