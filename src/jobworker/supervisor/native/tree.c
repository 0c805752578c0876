#include "tree.h"

#include "clock.h"
#include "kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is known of a process while we look for descendants. */
enum kinship { UNKNOWN, OURS, NOT_OURS };

struct process {
	pid_t pid;
	pid_t parent;
	bool is_dead; /* A zombie. */
	enum kinship kinship;
};

struct processes {
	struct process *all;
	size_t count;
	size_t room;
};

/* Seconds between attempts that fail for want of a resource, which nothing announces. */
static const double PAUSE = 0.1;

/* The index of the first that is not below a PID. */
static size_t place_of(const struct pids *pids, pid_t pid)
{
	size_t low = 0;
	size_t high = pids->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (pids->all[middle] < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool pids_has(const struct pids *pids, pid_t pid)
{
	size_t place = place_of(pids, pid);

	return place < pids->count && pids->all[place] == pid;
}

int pids_add(struct pids *pids, pid_t pid)
{
	size_t place = place_of(pids, pid);

	if (place < pids->count && pids->all[place] == pid)
		return 0;
	if (pids->count == pids->room) {
		size_t room = pids->room ? 2 * pids->room : 64;
		pid_t *all = realloc(pids->all, room * sizeof *all);
		if (!all)
			return -1;
		pids->all = all;
		pids->room = room;
	}
	memmove(pids->all + place + 1, pids->all + place,
		(pids->count - place) * sizeof *pids->all);
	pids->all[place] = pid;
	pids->count++;
	return 0;
}

void pids_take_out(struct pids *pids, pid_t pid)
{
	size_t place = place_of(pids, pid);

	if (place == pids->count || pids->all[place] != pid)
		return;
	pids->count--;
	memmove(pids->all + place, pids->all + place + 1,
		(pids->count - place) * sizeof *pids->all);
}

static int add_process(struct processes *processes, const struct process *process)
{
	if (processes->count == processes->room) {
		size_t room = processes->room ? 2 * processes->room : 256;
		struct process *all = realloc(processes->all, room * sizeof *all);
		if (!all)
			return -1;
		processes->all = all;
		processes->room = room;
	}
	processes->all[processes->count++] = *process;
	return 0;
}

/* Reads PID, parent's PID and state of a process (proc_pid_stat(5)); false where it has ended. The
 * name in parentheses may hold anything, so fields are counted from the last one. */
static bool read_process(int proc, const char *name, struct process *process)
{
	char path[32];
	char text[512];
	char state;

	snprintf(path, sizeof path, "%.12s/stat", name);
	int file = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return false;
	ssize_t size = read(file, text, sizeof text - 1);
	close(file);
	if (size <= 0)
		return false;
	text[size] = '\0';
	const char *rest = strrchr(text, ')');
	*process = (struct process){.pid = atoi(name)};
	if (!rest || sscanf(rest, ") %c %d", &state, &process->parent) != 2)
		return false;
	process->is_dead = state == 'Z' || state == 'X';
	return true;
}

static int by_pid(const void *one, const void *other)
{
	const struct process *a = one;
	const struct process *b = other;

	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

static int read_processes(struct processes *processes)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	struct process process;
	int result = 0;

	if (!proc)
		return -1;
	errno = 0;
	while (result == 0 && (entry = readdir(proc))) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		if (read_process(dirfd(proc), entry->d_name, &process))
			result = add_process(processes, &process);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			result = -1;
		errno = 0;
	}
	closedir(proc);
	if (processes->count)
		qsort(processes->all, processes->count, sizeof *processes->all, by_pid);
	return result;
}

static struct process *find(const struct processes *processes, pid_t pid)
{
	const struct process wanted = {.pid = pid};

	return bsearch(&wanted, processes->all, processes->count, sizeof wanted, by_pid);
}

/* Finds whether a process descends from us, and not from one to keep, and notes it for all on the
 * way: a job may have a chain of ten thousand, which we walk along once. */
static void settle(const struct processes *processes, struct process *process, pid_t root,
		   const struct pids *keep)
{
	enum kinship kinship = UNKNOWN;
	struct process *at = process;

	for (size_t steps = 0; kinship == UNKNOWN && steps <= processes->count; steps++) {
		if (keep && pids_has(keep, at->pid))
			kinship = NOT_OURS;
		else if (at->parent == root)
			kinship = OURS;
		else {
			at = find(processes, at->parent);
			kinship = at ? at->kinship : NOT_OURS;
		}
	}
	for (at = process; at && at->kinship == UNKNOWN; at = find(processes, at->parent))
		at->kinship = kinship == UNKNOWN ? NOT_OURS : kinship;
}

/* Adds the living descendants of the caller, but for `keep` and theirs. */
static int find_descendants(struct pids *found, const struct pids *keep)
{
	struct processes processes = {0};
	int result = read_processes(&processes);

	for (size_t i = 0; result == 0 && i < processes.count; i++) {
		struct process *process = &processes.all[i];
		if (process->kinship == UNKNOWN)
			settle(&processes, process, getpid(), keep);
		if (process->kinship == OURS && !process->is_dead)
			result = pids_add(found, process->pid);
	}
	free(processes.all);
	return result;
}

static int signal_descendants(int number)
{
	struct pids found = {0};
	int result = find_descendants(&found, NULL);

	for (size_t i = 0; i < found.count; i++)
		kill(found.all[i], number); /* It may have ended meanwhile. */
	free(found.all);
	return result;
}

int tree_signal(const struct site *site, int number)
{
	if (!has_own_namespaces(site))
		return signal_descendants(number);
	kill(-1, number);
	return 0;
}

/* Stops those that are not stopped yet; returns how many, or -1. */
static int stop_more(struct pids *stopped, const struct pids *keep)
{
	struct pids found = {0};
	int count = find_descendants(&found, keep);

	for (size_t i = 0; count >= 0 && i < found.count; i++) {
		if (pids_has(stopped, found.all[i]))
			continue;
		kill(found.all[i], SIGSTOP);
		count = pids_add(stopped, found.all[i]) < 0 ? -1 : count + 1;
	}
	free(found.all);
	return count;
}

int tree_kill_descendants(const struct pids *keep)
{
	struct pids stopped = {0};
	int more;

	while ((more = stop_more(&stopped, keep)) > 0)
		continue;
	for (size_t i = 0; i < stopped.count; i++)
		kill(stopped.all[i], SIGKILL);
	free(stopped.all);
	return more;
}

int tree_kill(const struct site *site)
{
	if (!has_own_namespaces(site))
		return tree_kill_descendants(NULL);
	kill(-1, SIGKILL);
	return 0;
}

/* Whether there is a child, once all that have ended are reaped. */
static bool has_children(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		continue;
	return pid == 0;
}

/* As a subreaper without a child has no descendants, the machine's processes, which may be many,
 * are looked through only where there is something to find. */
static void end_descendants(void)
{
	while (has_children()) {
		if (tree_kill_descendants(NULL) < 0)
			clock_pause(PAUSE);
		else
			waitpid(-1, NULL, 0);
	}
}

void tree_end(const struct site *site)
{
	if (!has_own_namespaces(site)) {
		end_descendants();
		return;
	}
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		continue;
}
