#include "segment.h"

#include "clock.h"
#include "site.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	NAME = 32,
	FREE_INDEX = 64 << 10,
	/* Added to the number of a stream, which begins with 1: it goes on at the offset in the
	 * entry's first field. The bytes in between were not kept, or came unnoted. */
	PLACE = 0x80,
};

/* An entry of the index: nanoseconds since 1970, stream, length. Both machines that we know are
 * little-endian, as the format is. */
struct entry {
	uint64_t time;
	uint32_t stream;
	uint32_t length;
};

static const char *const NAMES[] = {"stdout", "stderr", "index"};
static const uint64_t LONGEST = UINT32_MAX;

void segment_init(struct segment *segment, int spool, const uint64_t *starts, bool spare_index)
{
	*segment = (struct segment){
		.spool = spool,
		.is_head = !starts,
		.has_spare_index = spare_index,
		.files = {NOTHING, NOTHING, NOTHING},
		.last_stream = -1,
	};
	if (starts)
		memcpy(segment->starts, starts, sizeof segment->starts);
}

uint64_t segment_size(const struct segment *segment)
{
	return segment->sizes[STDOUT] + segment->sizes[STDERR];
}

static void name_file(const struct segment *segment, int which, char name[NAME])
{
	if (segment->is_head)
		snprintf(name, NAME, "%s", NAMES[which]);
	else
		snprintf(name, NAME, "%s.%" PRIu64, NAMES[which], segment->starts[which]);
}

/* Opens a file of it, which is made by that; returns whether it is open. */
static bool open_file(struct segment *segment, int which, int flags)
{
	char name[NAME];

	if (segment->files[which] != NOTHING)
		return true;
	name_file(segment, which, name);
	segment->files[which] =
		openat(segment->spool, name,
		       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
	return segment->files[which] != NOTHING;
}

/* Writes at the index's end, or so many bytes before; false where that fails.
 *
 * Then only order and time of bytes are not known for now: a later entry covers them. An entry
 * written in part is cut off or written over. */
static bool write_index(struct segment *segment, const void *data, size_t size, size_t before_end)
{
	off_t end = (off_t)segment->sizes[INDEX];

	if (!open_file(segment, INDEX, 0))
		return false;
	if (pwrite(segment->files[INDEX], data, size, end - (off_t)before_end) == (ssize_t)size)
		return true;
	if (ftruncate(segment->files[INDEX], end) < 0)
		return false; /* The next entry is written over it. */
	return false;
}

static uint32_t length_of(uint64_t bytes)
{
	return (uint32_t)(bytes < LONGEST ? bytes : LONGEST);
}

/* Adds an entry for each stream that has bytes without one. The first of a segment say where it
 * begins, so that its index stands alone. */
static void add_entries(struct segment *segment)
{
	struct entry entries[4];
	size_t count = 0;
	uint64_t now = clock_date_in_nanoseconds();
	int last_stream = segment->last_stream;
	uint64_t last_length = segment->last_length;

	for (uint32_t i = 0; i < INDEX && !segment->sizes[INDEX] && !segment->is_head; i++)
		entries[count++] = (struct entry){segment->starts[i], PLACE + i + 1, 0};
	for (int i = 0; i < INDEX; i++) {
		if (!segment->unnoted[i])
			continue;
		last_stream = i;
		last_length = length_of(segment->unnoted[i]);
		entries[count++] = (struct entry){now, (uint32_t)i + 1, (uint32_t)last_length};
	}
	if (!write_index(segment, entries, count * sizeof *entries, 0))
		return;
	segment->sizes[INDEX] += count * sizeof *entries;
	segment->last_stream = last_stream;
	segment->last_length = last_length;
	for (int i = 0; i < INDEX; i++)
		segment->unnoted[i] -= length_of(segment->unnoted[i]);
}

static void lengthen_last(struct segment *segment, int stream, uint64_t length)
{
	const uint32_t field = (uint32_t)length;

	if (!write_index(segment, &field, sizeof field, sizeof field))
		return;
	segment->last_length = length;
	segment->unnoted[stream] = 0;
}

/* Puts what came into the index, or leaves it to a later entry.
 *
 * Where the index may not grow, the last entry does; it cannot where the other stream has written
 * in between, as that would change an order that was read already. */
static void note(struct segment *segment, int stream)
{
	uint64_t most = FREE_INDEX + segment_size(segment) / 4;
	uint64_t length = segment->last_length + segment->unnoted[stream];

	if (!segment->has_spare_index || segment->sizes[INDEX] <= most)
		add_entries(segment);
	else if (segment->last_stream == stream && !segment->unnoted[!stream] && length <= LONGEST)
		lengthen_last(segment, stream, length);
}

size_t segment_append(struct segment *segment, int stream, const char *data, size_t size)
{
	size_t kept = 0;

	if (!open_file(segment, stream, O_APPEND))
		return 0;
	while (kept < size) {
		ssize_t written = write(segment->files[stream], data + kept, size - kept);
		if (written < 0)
			break;
		kept += (size_t)written;
	}
	if (kept) {
		segment->sizes[stream] += kept;
		segment->unnoted[stream] += kept;
		note(segment, stream);
	}
	return kept;
}

/* A broken disk keeps the file, and the program's end must not depend on that. */
static void unlink_file(const struct segment *segment, int which)
{
	char name[NAME];

	name_file(segment, which, name);
	unlinkat(segment->spool, name, 0);
}

int segment_close(struct segment *segment, bool durable)
{
	int failure = 0;

	if (segment->unnoted[STDOUT] || segment->unnoted[STDERR])
		add_entries(segment);
	for (int i = 0; i < SEGMENT_FILES; i++) {
		if (segment->files[i] == NOTHING)
			continue;
		if (durable && fdatasync(segment->files[i]) < 0)
			failure = errno;
		close(segment->files[i]);
		segment->files[i] = NOTHING;
		if (!segment->sizes[i])
			unlink_file(segment, i);
	}
	segment->unnoted[STDOUT] = segment->unnoted[STDERR] = 0;
	errno = failure;
	return failure ? -1 : 0;
}

static int sync_file(const struct segment *segment, int which)
{
	char name[NAME];

	name_file(segment, which, name);
	int file = openat(segment->spool, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0)
		return -1;
	int result = fdatasync(file);
	int error = errno;
	close(file);
	errno = error;
	return result;
}

int segment_make_durable(const struct segment *segment)
{
	for (int i = 0; i < SEGMENT_FILES; i++)
		if (segment->sizes[i] && sync_file(segment, i) < 0)
			return -1;
	return 0;
}

void segment_remove(const struct segment *segment)
{
	for (int i = 0; i < SEGMENT_FILES; i++)
		if (segment->sizes[i])
			unlink_file(segment, i);
}
