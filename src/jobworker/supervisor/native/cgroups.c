#include "cgroups.h"

#include "clock.h"
#include "site.h"
#include "small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	/* Microseconds over which the kernel counts a job's CPU time. It takes no quota below 1
	 * ms, so a hundredth of a CPU is the least that fits the first, which a new cgroup has. */
	PERIOD = 100000,
	LONG_PERIOD = 1000000,
	/* Bytes that are enough for a program to be executed, and be killed for memory itself. */
	ENOUGH = 1 << 20,
	/* Bytes that the kernel takes at once, at most, for a fork or an exec. */
	AT_ONCE = 64 << 10,
};

/* Seconds to wait for the last process to leave. They are dead and reaped by now, so it leaves
 * within a millisecond; a cgroup that takes longer is left to the server. */
static const double REMOVAL = 0.25;
/* Seconds between two attempts: the kernel tells nobody when it is free. */
static const double PAUSE = 0.002;

static int fail_at(struct failure *failure, const char *name)
{
	return fail_about(failure, "setup", name);
}

static int set(int directory, const char *name, const char *value, struct failure *failure)
{
	return small_file_write(directory, name, value) < 0 ? fail_at(failure, name) : 0;
}

/* Sets what is missing where the kernel was built, or started, without it. */
static int set_if_there(int directory, const char *name, const char *value,
			struct failure *failure)
{
	if (small_file_write(directory, name, value) < 0 && errno != ENOENT)
		return fail_at(failure, name);
	return 0;
}

static int limit_cpus(int version, int directory, const char *value, struct failure *failure)
{
	double cpus = strtod(value, NULL);
	long period = cpus >= 0.01 ? PERIOD : LONG_PERIOD;
	char period_text[32];
	char quota[64];

	snprintf(period_text, sizeof period_text, "%ld", period);
	if (version == 2) {
		snprintf(quota, sizeof quota, "%ld %ld", (long)(cpus * (double)period), period);
		return set(directory, "cpu.max", quota, failure);
	}
	snprintf(quota, sizeof quota, "%ld", (long)(cpus * (double)period));
	if (period != PERIOD &&
	    set(directory, "cpu.cfs_period_us", period_text, failure) < 0)
		return -1;
	return set(directory, "cpu.cfs_quota_us", quota, failure);
}

/* Swap counts as memory, or a job would go on past its limit at the machine's expense; its files
 * are missing where the kernel does not count swap. */
static int limit_memory(int version, int directory, const char *value, struct failure *failure)
{
	if (version == 2) {
		if (set(directory, "memory.max", value, failure) < 0)
			return -1;
		return set_if_there(directory, "memory.swap.max", "0", failure);
	}
	if (set(directory, "memory.limit_in_bytes", value, failure) < 0)
		return -1;
	return set_if_there(directory, "memory.memsw.limit_in_bytes", value, failure);
}

/* The stricter share: the kernel's v1 takes none above that of the whole. */
static const char *cpus_of(const struct places *places, const struct order *order)
{
	if (order->cpus && places->cpus && strtod(places->cpus, NULL) < strtod(order->cpus, NULL))
		return places->cpus;
	return order->cpus;
}

static int watch_memory(struct cgroups *cgroups, const struct cgroup_part *part,
			const struct places *places, const struct order *order,
			struct failure *failure)
{
	const char *limit = order->memory_limit ? order->memory_limit : places->memory;
	uint64_t ceiling;

	cgroups->memory = part;
	snprintf(cgroups->memory_limit, sizeof cgroups->memory_limit, "%s", limit);
	if (!number_of(limit, &cgroups->memory_most))
		cgroups->memory_most = 0;
	if (number_of(places->memory, &ceiling) && ceiling < cgroups->memory_most)
		cgroups->memory_most = ceiling;
	if (part->place->version == 2)
		return set(part->directory, "memory.oom.group", "1", failure);
	if (alarm_open(&cgroups->alarm, part->directory) < 0)
		return fail_at(failure, "cgroup.event_control");
	cgroups->has_alarm = true;
	return 0;
}

static int set_limits(struct cgroups *cgroups, const struct cgroup_part *part,
		      const struct places *places, const struct order *order,
		      struct failure *failure)
{
	const struct place *place = part->place;
	const char *cpus = cpus_of(places, order);

	if (place->limits & LIMIT_MEMORY && order->memory_limit &&
	    limit_memory(place->version, part->directory, order->memory_limit, failure) < 0)
		return -1;
	if (place->limits & LIMIT_CPUS && cpus &&
	    limit_cpus(place->version, part->directory, cpus, failure) < 0)
		return -1;
	if (place->limits & LIMIT_PIDS && order->pids &&
	    set(part->directory, "pids.max", order->pids, failure) < 0)
		return -1;
	if (place->limits & LIMIT_MEMORY && (order->memory_limit || places->memory))
		return watch_memory(cgroups, part, places, order, failure);
	return 0;
}

static int open_part(struct cgroup_part *part, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	const struct place *place = part->place;

	part->directory = openat(place->directory, name, flags);
	if (part->directory >= 0 && place->version == 1)
		part->tasks = openat(part->directory, "tasks", O_WRONLY | O_CLOEXEC);
	return part->directory < 0 || (place->version == 1 && part->tasks < 0) ? -1 : 0;
}

static int make_in(struct cgroups *cgroups, const struct place *place, const struct places *places,
		   const struct order *order, struct failure *failure)
{
	struct cgroup_part *part = &cgroups->parts[cgroups->count];

	if (mkdirat(place->directory, cgroups->name, 0700) < 0)
		return fail_at(failure, place->path);
	*part = (struct cgroup_part){place, NOTHING, NOTHING};
	cgroups->count++;
	if (open_part(part, cgroups->name) < 0)
		return fail_at(failure, place->path);
	if (place->version == 2)
		cgroups->unified = part->directory;
	cgroups->counts_processes |= (place->limits & LIMIT_PIDS) != 0;
	return set_limits(cgroups, part, places, order, failure);
}

static const char *first_missing(unsigned missing)
{
	if (missing & LIMIT_CPUS)
		return "setup (cpus has no cgroup)";
	return missing & LIMIT_MEMORY ? "setup (memory has no cgroup)" : NULL;
}

int cgroups_make(struct cgroups *cgroups, const struct places *places, const struct order *order,
		 const char *name, struct failure *failure)
{
	unsigned asked = (order->memory_limit ? LIMIT_MEMORY : 0U) |
			 (order->cpus ? LIMIT_CPUS : 0U) | (order->pids ? LIMIT_PIDS : 0U);
	unsigned ceiling = (places->memory ? LIMIT_MEMORY : 0U) |
			   (places->cpus ? LIMIT_CPUS : 0U) | (places->pids ? LIMIT_PIDS : 0U);
	/* A resource limit may keep that of processes. */
	unsigned missing = asked & ~(unsigned)LIMIT_PIDS;

	*cgroups = (struct cgroups){.unified = NOTHING};
	snprintf(cgroups->name, sizeof cgroups->name, "%s", name);
	for (int i = 0; i < places->count; i++) {
		const struct place *place = &places->all[i];
		if (!(place->limits & (asked | ceiling)))
			continue;
		if (make_in(cgroups, place, places, order, failure) < 0)
			return -1;
		missing &= ~place->limits;
	}
	return missing ? fail_as(failure, first_missing(missing), ENODEV) : 0;
}

/* On v1 it writes to `tasks`: what moves itself by that takes no lock that waits for every CPU of
 * the machine (cgroup_procs_write_start in the kernel's cgroup.c), which is milliseconds for each
 * directory. */
int cgroups_enter(const struct cgroups *cgroups, bool unified)
{
	for (int i = 0; i < cgroups->count; i++) {
		const struct cgroup_part *part = &cgroups->parts[i];
		if (part->tasks != NOTHING && write(part->tasks, "0", 1) < 0)
			return -1;
	}
	if (unified && cgroups->unified != NOTHING)
		return small_file_write(cgroups->unified, "cgroup.procs", "0");
	return 0;
}

bool cgroups_has_room_for_exec(const struct cgroups *cgroups)
{
	return !cgroups->memory || cgroups->memory_most >= ENOUGH;
}

bool cgroups_was_full(const struct cgroups *cgroups)
{
	uint64_t peak;
	uint64_t limit;

	return cgroups_memory_peak(cgroups, &peak) && number_of(cgroups->memory_limit, &limit) &&
	       peak + AT_ONCE >= limit;
}

uint64_t cgroups_oom_kills(const struct cgroups *cgroups)
{
	char text[1024];

	if (!cgroups->memory)
		return 0;
	bool is_v2 = cgroups->memory->place->version == 2;
	const char *name = is_v2 ? "memory.events" : "memory.oom_control";
	if (small_file_read(cgroups->memory->directory, name, text, sizeof text) < 0)
		return 0;
	return small_file_number(text, "oom_kill");
}

bool cgroups_cpu_seconds(const struct cgroups *cgroups, double *seconds)
{
	char text[1024];

	if (cgroups->unified == NOTHING ||
	    small_file_read(cgroups->unified, "cpu.stat", text, sizeof text) < 0)
		return false;
	*seconds = (double)small_file_number(text, "usage_usec") / 1e6;
	return true;
}

bool cgroups_memory_peak(const struct cgroups *cgroups, uint64_t *bytes)
{
	char text[64];

	if (!cgroups->memory)
		return false;
	bool is_v2 = cgroups->memory->place->version == 2;
	const char *name = is_v2 ? "memory.peak" : "memory.max_usage_in_bytes";
	if (small_file_read(cgroups->memory->directory, name, text, sizeof text) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	return number_of(text, bytes);
}

void cgroups_evidence(const struct cgroups *cgroups, uint64_t kills, struct fields *fields)
{
	uint64_t peak;

	if (!kills)
		return;
	fields_add(fields, "evidence.memoryLimit", cgroups->memory_limit);
	fields_print(fields, "evidence.oomKills", "%" PRIu64, kills);
	if (cgroups_memory_peak(cgroups, &peak))
		fields_print(fields, "evidence.memoryPeak", "%" PRIu64, peak);
}

static void close_part(struct cgroup_part *part)
{
	if (part->tasks != NOTHING)
		close(part->tasks);
	if (part->directory != NOTHING)
		close(part->directory);
}

void cgroups_close(struct cgroups *cgroups)
{
	if (cgroups->has_alarm)
		close(cgroups->alarm.event);
	cgroups->has_alarm = false;
	for (int i = 0; i < cgroups->count; i++)
		close_part(&cgroups->parts[i]);
}

static void remove_directory(const struct place *place, const char *name, double deadline)
{
	while (unlinkat(place->directory, name, AT_REMOVEDIR) < 0) {
		if (errno != EBUSY || clock_now() >= deadline)
			return;
		clock_pause(PAUSE);
	}
}

void cgroups_remove(struct cgroups *cgroups)
{
	double deadline = cgroups->count ? clock_now() + REMOVAL : 0;

	cgroups_close(cgroups);
	for (int i = cgroups->count - 1; i >= 0; i--)
		remove_directory(cgroups->parts[i].place, cgroups->name, deadline);
	*cgroups = (struct cgroups){.unified = NOTHING};
}
