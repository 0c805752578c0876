#include "removal.h"

#include "clock.h"
#include "kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	/* Levels that are gone down into, a descriptor each. What lies deeper is moved up. */
	DEEPEST = 16,
	ENTRIES = 4096, /* Bytes of a directory's entries at once. */
};

/* An entry of a directory, as getdents64(2) tells of it. */
struct entry {
	uint64_t inode;
	int64_t offset;
	unsigned short size;
	unsigned char type;
	char name[];
};

/* The emptying of the directory `top`, which ends at `until` by the monotonic clock. */
struct removal {
	int top;
	double until;
	unsigned long moved;
};

static int empty(struct removal *removal, int directory, int depth);

/* Whether somebody else is at work in the directory, so that it is to be looked at again. */
static bool is_changed(int error)
{
	return error == ENOENT || error == EEXIST || error == ENOTDIR || error == ENOTEMPTY ||
	       error == ELOOP;
}

static int check_time(const struct removal *removal)
{
	if (clock_now() < removal->until)
		return 0;
	errno = ETIMEDOUT;
	return -1;
}

/* Makes a directory accessible that a job of our own UID has closed to itself. */
static int open_up(const char *name, int parent)
{
	struct stat status;
	char path[32];

	if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if ((status.st_mode & 0700) == 0700)
		return 0;
	int directory = openat(parent, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", directory);
	int result = chmod(path, 0700);
	int error = errno;
	close(directory);
	errno = error;
	return result;
}

static int open_directory(const char *name, int parent)
{
	if (open_up(name, parent) < 0)
		return -1;
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Moves a directory into the top, by a name that the job has not given to anything. */
static int move_up(struct removal *removal, const char *name, int parent)
{
	char free_name[32];

	if (open_up(name, parent) < 0)
		return -1;
	while (check_time(removal) == 0) {
		snprintf(free_name, sizeof free_name, ".removed-%lu", removal->moved++);
		if (renameat(parent, name, removal->top, free_name) == 0)
			return 0;
		if (errno != EEXIST && errno != ENOTDIR && errno != ENOTEMPTY)
			return -1;
	}
	return -1;
}

static int remove_directory(struct removal *removal, const char *name, int parent, int depth)
{
	/* Not empty, as a rule: whatever it is, the next attempt meets it again. */
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
		return 0;
	if (depth == DEEPEST)
		return move_up(removal, name, parent);
	int directory = open_directory(name, parent);
	if (directory < 0)
		return -1;
	int result = empty(removal, directory, depth + 1);
	int error = errno;
	close(directory);
	errno = error;
	return result < 0 ? -1 : unlinkat(parent, name, AT_REMOVEDIR);
}

static bool is_directory(const struct entry *entry, int parent)
{
	struct stat status;

	if (entry->type != DT_UNKNOWN)
		return entry->type == DT_DIR;
	return fstatat(parent, entry->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(status.st_mode);
}

static int remove_entry(struct removal *removal, const struct entry *entry, int parent, int depth)
{
	if (check_time(removal) < 0)
		return -1;
	int result = is_directory(entry, parent)
			     ? remove_directory(removal, entry->name, parent, depth)
			     : unlinkat(parent, entry->name, 0);
	/* What somebody else has removed or replaced is met again, if it is there. */
	return result < 0 && !is_changed(errno) && errno != EISDIR ? -1 : 0;
}

/* Whether it is not the directory itself, or its parent. */
static bool is_name(const struct entry *entry)
{
	return strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0;
}

/* Goes once through a directory; returns whether there was anything, or -1. */
static int pass(struct removal *removal, int directory, int depth)
{
	_Alignas(struct entry) char entries[ENTRIES];
	bool found = false;
	ssize_t size;

	if (lseek(directory, 0, SEEK_SET) < 0)
		return -1;
	while ((size = kernel_entries(directory, entries, sizeof entries)) > 0) {
		const struct entry *entry;
		for (ssize_t at = 0; at < size; at += entry->size) {
			entry = (const struct entry *)(const void *)(entries + at);
			if (!is_name(entry))
				continue;
			found = true;
			if (remove_entry(removal, entry, directory, depth) < 0)
				return -1;
		}
	}
	return size < 0 ? -1 : found;
}

/* Empties a directory so many levels below the top. What comes to it meanwhile may be in no pass
 * that has begun: so it ends with one that finds nothing. */
static int empty(struct removal *removal, int directory, int depth)
{
	int found;

	while ((found = pass(removal, directory, depth)) > 0)
		continue;
	return found;
}

/* Whether it is gone by now; a directory with something in it is not. Returns -1 where it cannot
 * be removed. */
static int is_removed(const char *name, int parent)
{
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 1;
	/* A job may have put a file or a link in its place. */
	if (errno == ENOTDIR && (unlinkat(parent, name, 0) == 0 || errno == ENOENT))
		return 1;
	return is_changed(errno) || errno == EISDIR ? 0 : -1;
}

int removal_of(const char *name, int parent, double seconds)
{
	struct removal removal = {.until = clock_now() + seconds};
	int gone;

	while ((gone = is_removed(name, parent)) == 0) {
		removal.top = open_directory(name, parent);
		int result = removal.top < 0 ? -1 : empty(&removal, removal.top, 0);
		int error = errno;
		if (removal.top >= 0)
			close(removal.top);
		errno = error;
		if ((result < 0 && !is_changed(errno)) || check_time(&removal) < 0)
			return -1;
	}
	return gone < 0 ? -1 : 0;
}
