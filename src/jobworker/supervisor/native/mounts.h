/* The mounted file systems, as the kernel tells of them (proc_pid_mountinfo(5)). */

#ifndef MOUNTS_H
#define MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

/* A mount's device, the directory of it that is seen, where, and the kind. */
struct mount {
	const char *device;
	const char *root;
	const char *point;
	const char *kind;
};

struct mounts {
	struct mount *all;
	size_t count;
	char *text; /* In which the names lie. */
};

/* Reads them, in the kernel's order, from its open file; the former ones are given back. */
int mounts_read(struct mounts *mounts, int file);

/* Takes the mounts that a text tells of, in which it ends the names. */
int mounts_parse(struct mounts *mounts, char *text);

void mounts_release(struct mounts *mounts);

/* Texts of the heap. */
struct paths {
	char **all;
	size_t count;
	size_t room;
};

int paths_add(struct paths *paths, const char *path);
void paths_release(struct paths *paths);

/* Whether a path is `outer` or lies in it. */
bool mounts_is_below(const char *path, const char *outer);

/* Whether an error says of a path that a job cannot reach it either. */
bool mounts_is_unreachable(int error);

/* Adds the paths by which another mount shows what is at `path`, or below it. */
int mounts_elsewhere(const struct mounts *mounts, const char *path, struct paths *found);

#endif
