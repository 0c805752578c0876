#include "site.h"

#include "record.h"
#include "seal.h"
#include "signals.h"
#include "small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	enum level level;
} LEVELS[] = {
	{"full", LEVEL_FULL},
	{"namespaces", LEVEL_NAMESPACES},
	{"uid", LEVEL_UID},
	{"basic", LEVEL_BASIC},
};

enum { LEVEL_COUNT = sizeof LEVELS / sizeof *LEVELS };

static int set_level(struct site *site, const char *name)
{
	for (int i = 0; i < LEVEL_COUNT; i++) {
		if (strcmp(LEVELS[i].name, name) == 0) {
			site->level = LEVELS[i].level;
			site->level_name = LEVELS[i].name;
			return 0;
		}
	}
	errno = EINVAL;
	return -1;
}

/* What the arguments say beside paths. */
struct asked {
	int oom;
	bool io_uring;
};

static int take_argument(struct site *site, struct asked *asked, const char *key, char *value)
{
	uint64_t number;

	if (strcmp(key, "level") == 0)
		return set_level(site, value);
	if (strcmp(key, "state") == 0)
		site->state = value;
	else if (strcmp(key, "hide") == 0)
		site->hidden[site->hidden_count++] = value;
	else if (strcmp(key, "cgroup") == 0)
		return places_add(&site->places, value);
	else if (strcmp(key, "ceiling") == 0)
		return places_limit(&site->places, value);
	else if (strcmp(key, "commons") == 0)
		commons_open(&site->commons, value);
	else if (strcmp(key, "processes") == 0)
		return number_of(value, &site->processes) ? 0 : -1;
	else if (strcmp(key, "oom") == 0 && number_of(value, &number) && number <= INT_MAX)
		asked->oom = (int)number;
	else if (strcmp(key, "channel") == 0 && number_of(value, &number) && number <= INT_MAX)
		site->channel = (int)number;
	else if (strcmp(key, "io-uring") == 0)
		asked->io_uring = true;
	else {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

static int take_arguments(struct site *site, struct asked *asked, int count, char **arguments,
			  struct failure *failure)
{
	for (int i = 1; i < count; i++) {
		char *value = strchr(arguments[i], '=');
		errno = 0;
		if (value)
			*value++ = '\0';
		if (!value || take_argument(site, asked, arguments[i], value) < 0)
			return fail_about(failure, "argument", arguments[i]);
	}
	return 0;
}

static int open_directory(const char *path, int flags, int *directory, struct failure *failure)
{
	*directory = open(path, flags | O_DIRECTORY | O_CLOEXEC);
	return *directory < 0 ? fail_about(failure, "directory", path) : 0;
}

static int open_files(struct site *site, struct failure *failure)
{
	if (chdir(site->state) < 0)
		return fail_about(failure, "state", site->state);
	if (open_directory(SPOOL, O_RDONLY | O_NOFOLLOW, &site->spool, failure) < 0 ||
	    open_directory("/proc", O_PATH, &site->proc, failure) < 0)
		return -1;
	site->signals = signals_open();
	if (site->signals < 0)
		return fail(failure, "signals");
	site->shm = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (site->shm < 0 && errno != ENOENT)
		return fail_about(failure, "directory", "/dev/shm");
	if (small_file_read(site->proc, "sys/kernel/random/boot_id", site->boot_id,
			    sizeof site->boot_id) < 0)
		return fail(failure, "boot ID");
	site->boot_id[strcspn(site->boot_id, "\n")] = '\0';
	return 0;
}

int site_open(struct site *site, int count, char **arguments, struct failure *failure)
{
	struct asked asked = {.oom = INT_MIN};

	*site = (struct site){.channel = NOTHING, .uid = geteuid(), .gid = getegid()};
	site->hidden = calloc((size_t)count + 1, sizeof *site->hidden);
	if (!site->hidden)
		return fail(failure, "memory");
	if (take_arguments(site, &asked, count, arguments, failure) < 0)
		return -1;
	if (!site->level_name || !site->state || site->channel == NOTHING)
		return fail_as(failure, "level, state and channel are needed", EINVAL);
	if (open_files(site, failure) < 0)
		return -1;
	if (oom_score_open(&site->scores, asked.oom, site->proc) < 0)
		return fail(failure, "oom_score_adj");
	return seal_open(site, asked.io_uring, failure);
}
