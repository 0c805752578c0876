#include "mounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 64 << 10 };

/* Reads all that a file has, by a growing piece. */
static char *read_text(int file)
{
	size_t room = PIECE;
	size_t size = 0;
	char *text = malloc(room);
	ssize_t length = 1;

	if (lseek(file, 0, SEEK_SET) < 0)
		length = -1;
	while (text && length > 0) {
		length = read(file, text + size, room - size - 1);
		size += length > 0 ? (size_t)length : 0;
		if (size + 1 < room)
			continue;
		char *more = realloc(text, room *= 2);
		if (!more)
			free(text);
		text = more;
	}
	if (text && length < 0) {
		free(text);
		return NULL;
	}
	if (text)
		text[size] = '\0';
	return text;
}

static bool is_octal(char digit)
{
	return digit >= '0' && digit <= '7';
}

/* Puts a name as it is in its place: space, tab, newline and backslash stand there in octal. */
static char *plain(char *name)
{
	char *to = name;

	for (const char *from = name; *from; from++) {
		if (from[0] == '\\' && is_octal(from[1]) && is_octal(from[2]) && is_octal(from[3])) {
			*to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return name;
}

/* Takes a mount from its line: number, parent, device, root, point, options, and after a lone
 * hyphen its kind. */
static bool parse_line(char *line, struct mount *mount)
{
	char *rest = strstr(line, " - ");
	char *fields[5];
	char *state;

	if (!rest)
		return false;
	*rest = '\0';
	for (int i = 0; i < 5; i++) {
		fields[i] = strtok_r(i ? NULL : line, " ", &state);
		if (!fields[i])
			return false;
	}
	char *kind = strtok_r(rest + 3, " ", &state);
	if (!kind)
		return false;
	*mount = (struct mount){fields[2], plain(fields[3]), plain(fields[4]), kind};
	return true;
}

static size_t count_lines(const char *text)
{
	size_t lines = 1;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

int mounts_parse(struct mounts *mounts, char *text)
{
	char *state;

	mounts->text = text;
	mounts->count = 0;
	mounts->all = calloc(count_lines(text), sizeof *mounts->all);
	if (!mounts->all)
		return -1;
	for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state))
		if (parse_line(line, &mounts->all[mounts->count]))
			mounts->count++;
	return 0;
}

int mounts_read(struct mounts *mounts, int file)
{
	char *text = read_text(file);

	if (!text)
		return -1;
	mounts_release(mounts);
	return mounts_parse(mounts, text);
}

void mounts_release(struct mounts *mounts)
{
	free(mounts->all);
	free(mounts->text);
	*mounts = (struct mounts){0};
}

int paths_add(struct paths *paths, const char *path)
{
	if (paths->count == paths->room) {
		size_t room = paths->room ? 2 * paths->room : 32;
		char **all = realloc(paths->all, room * sizeof *all);
		if (!all)
			return -1;
		paths->all = all;
		paths->room = room;
	}
	char *copy = strdup(path);
	if (!copy)
		return -1;
	paths->all[paths->count++] = copy;
	return 0;
}

void paths_release(struct paths *paths)
{
	for (size_t i = 0; i < paths->count; i++)
		free(paths->all[i]);
	free(paths->all);
	*paths = (struct paths){0};
}

/* The length of a path without the slash of the root. */
static size_t length_of(const char *path)
{
	size_t length = strlen(path);

	return length && path[length - 1] == '/' ? length - 1 : length;
}

bool mounts_is_below(const char *path, const char *outer)
{
	size_t length = length_of(outer);

	return strncmp(path, outer, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

bool mounts_is_unreachable(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EACCES || error == ELOOP;
}

/* Adds `path`, which lies in `outer`, as seen from `base`. */
static int add_joined(struct paths *found, const char *base, const char *path, const char *outer)
{
	const char *rest = path + length_of(outer);
	size_t size = strlen(base) + strlen(rest) + 2;
	char *joined = malloc(size);

	if (!joined)
		return -1;
	snprintf(joined, size, "%.*s%s", (int)length_of(base), base, rest);
	size_t length = length_of(joined);
	joined[length] = '\0';
	int result = paths_add(found, length ? joined : "/");
	free(joined);
	return result;
}

static int add_shown(const struct mounts *mounts, const char *device, const char *place,
		     struct paths *found)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < mounts->count; i++) {
		const struct mount *mount = &mounts->all[i];
		if (strcmp(mount->device, device) != 0)
			continue;
		if (mounts_is_below(place, mount->root))
			result = add_joined(found, mount->point, place, mount->root);
		else if (mounts_is_below(mount->root, place))
			result = paths_add(found, mount->point);
	}
	return result;
}

/* The mount that a path is on: of those at one point the last is on top. */
static const struct mount *holding(const struct mounts *mounts, const char *path)
{
	const struct mount *found = NULL;

	for (size_t i = 0; i < mounts->count; i++) {
		const struct mount *mount = &mounts->all[i];
		if (mounts_is_below(path, mount->point) &&
		    (!found || strlen(mount->point) >= strlen(found->point)))
			found = mount;
	}
	return found;
}

int mounts_elsewhere(const struct mounts *mounts, const char *path, struct paths *found)
{
	const struct mount *holder = holding(mounts, path);
	struct paths place = {0};
	int result = 0;

	for (size_t i = 0; result == 0 && i < mounts->count; i++)
		if (mounts_is_below(mounts->all[i].point, path))
			result = add_shown(mounts, mounts->all[i].device, mounts->all[i].root, found);
	if (result == 0 && holder) {
		result = add_joined(&place, holder->root, path, holder->point);
		if (result == 0)
			result = add_shown(mounts, holder->device, place.all[0], found);
	}
	paths_release(&place);
	return result;
}
