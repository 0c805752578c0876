#include "covers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define RUN "/run"

/* The directories of logins, of a batch system's credentials, of terminals that are kept. */
static const char *const RUNTIME[] = {
	RUN "/user", RUN "/munge", RUN "/screen", RUN "/screens", RUN "/uscreens",
};

enum { RUNTIME_COUNT = sizeof RUNTIME / sizeof *RUNTIME };

/* The beginning of the names, in /run, of the directories of a batch system, whose client would
 * start processes that are not walled off. */
#define BATCH "slurm"

int covers_open(struct covers *covers)
{
	*covers = (struct covers){.watch = NOTHING};
	covers->names = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	covers->mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	return covers->mountinfo < 0 ? -1 : 0;
}

void covers_forget(const struct covers *covers)
{
	char events[4096];

	if (covers->names == NOTHING)
		return;
	while (read(covers->names, events, sizeof events) > 0)
		continue;
}

/* Watches what is the directory by now; where there is none, that of its own name. Returns whether
 * what happens after that is told. */
static bool watch_names(struct covers *covers)
{
	if (covers->names == NOTHING)
		return false;
	if (covers->watch != NOTHING)
		inotify_rm_watch(covers->names, covers->watch);
	const char *watched = access(RUN, F_OK) == 0 ? RUN : "/";
	covers->watch = inotify_add_watch(covers->names, watched,
					  IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE);
	covers_forget(covers); /* The end of the watch before is told, too. */
	return covers->watch != NOTHING;
}

/* An error that hides their names from us alone stops the start: the job would see them. */
static int add_batch_systems(struct covers *covers)
{
	DIR *run = opendir(RUN);
	const struct dirent *entry;
	char path[sizeof RUN "/" + sizeof entry->d_name];
	int result = 0;

	if (!run)
		return mounts_is_unreachable(errno) ? 0 : -1;
	errno = 0;
	while (result == 0 && (entry = readdir(run))) {
		if (strncmp(entry->d_name, BATCH, strlen(BATCH)) == 0) {
			snprintf(path, sizeof path, RUN "/%s", entry->d_name);
			result = paths_add(&covers->paths, path);
		}
		errno = 0;
	}
	int error = errno;
	closedir(run);
	errno = error;
	return error ? -1 : result;
}

/* Adds what is covered by its name. */
static int add_named(struct covers *covers, const struct site *site)
{
	for (int i = 0; i < site->hidden_count; i++)
		if (strcmp(site->hidden[i], site->state) != 0 &&
		    paths_add(&covers->paths, site->hidden[i]) < 0)
			return -1;
	for (int i = 0; i < RUNTIME_COUNT; i++)
		if (paths_add(&covers->paths, RUNTIME[i]) < 0)
			return -1;
	return add_batch_systems(covers);
}

/* Whether it is an instance, not at its usual place, of what a job has one of its own of. */
static bool is_instance(const struct mount *mount)
{
	if (strcmp(mount->kind, "devpts") == 0)
		return strcmp(mount->point, "/dev/pts") != 0;
	return strcmp(mount->kind, "mqueue") == 0 && strcmp(mount->point, "/dev/mqueue") != 0;
}

static bool is_below_any(const char *path, const struct paths *paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (mounts_is_below(path, paths->all[i]))
			return true;
	return false;
}

/* Adds the paths by which another mount shows what is hidden, and others' instances. */
static int add_elsewhere(struct covers *covers, const char *state)
{
	const struct mounts *mounts = &covers->mounts;
	struct paths found = {0};
	size_t named = covers->paths.count;
	int result = mounts_elsewhere(mounts, state, &found);

	for (size_t i = 0; result == 0 && i < named; i++)
		result = mounts_elsewhere(mounts, covers->paths.all[i], &found);
	for (size_t i = 0; result == 0 && i < mounts->count; i++)
		if (is_instance(&mounts->all[i]))
			result = paths_add(&found, mounts->all[i].point);
	for (size_t i = 0; result == 0 && i < found.count; i++)
		if (!mounts_is_below(found.all[i], state) &&
		    !is_below_any(found.all[i], &covers->paths, named))
			result = paths_add(&covers->paths, found.all[i]);
	paths_release(&found);
	return result;
}

int covers_look(struct covers *covers, const struct site *site)
{
	covers->is_told = watch_names(covers);
	paths_release(&covers->paths);
	if (add_named(covers, site) < 0 || mounts_read(&covers->mounts, covers->mountinfo) < 0)
		return -1;
	return add_elsewhere(covers, site->state);
}
