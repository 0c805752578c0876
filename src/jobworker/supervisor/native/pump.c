#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum {
	PIPE = 64 << 10, /* The size of a pipe (pipe(7)): one read empties it. */
	/* The size of one that was found full: a busy writer is woken, and wakes us, less often. */
	WIDE_PIPE = 4 * PIPE,
	TAIL_PARTS = 8,
};

static const uint64_t WITHOUT_END = (uint64_t)1 << 62;

void pump_init(struct pump *pump, int spool, bool is_limited, uint64_t limit, bool kills)
{
	pump->spool = spool;
	pump->is_limited = is_limited;
	pump->limit = limit;
	pump->kills = kills && is_limited;
	pump->room = pump->tail_most = pump->segment_most = WITHOUT_END;
	if (is_limited) {
		pump->room = kills ? limit : limit / TAIL_PARTS;
		pump->tail_most = limit - pump->room;
		pump->segment_most = (pump->tail_most + TAIL_PARTS - 1) / TAIL_PARTS;
	}
	segment_init(&pump->head, spool, NULL, is_limited);
}

/* The segment that is written to. */
static struct segment *current(struct pump *pump)
{
	return pump->tail_count ? &pump->tail[pump->tail_count - 1] : &pump->head;
}

static void remove_oldest(struct pump *pump)
{
	segment_remove(&pump->tail[0]);
	pump->tail_count--;
	memmove(&pump->tail[0], &pump->tail[1], (size_t)pump->tail_count * sizeof *pump->tail);
}

/* Deletes the oldest of the tail until `wanted` bytes fit; returns how many do. */
static uint64_t make_room(struct pump *pump, uint64_t wanted)
{
	uint64_t used = 0;

	for (int i = 0; i < pump->tail_count; i++)
		used += segment_size(&pump->tail[i]);
	while (pump->tail_count &&
	       (pump->tail_most - used < wanted || pump->tail_count == PUMP_SEGMENTS)) {
		used -= segment_size(&pump->tail[0]);
		remove_oldest(pump);
	}
	return pump->tail_most - used;
}

static void begin_segment(struct pump *pump, uint64_t noted, uint64_t room)
{
	const uint64_t starts[] = {pump->places[STDOUT], pump->places[STDERR], noted};

	segment_init(&pump->tail[pump->tail_count++], pump->spool, starts, pump->is_limited);
	pump->room = room;
}

static uint64_t least(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

/* Begins another segment; returns how many bytes of the data are to be dropped before it. */
static size_t turn_over(struct pump *pump, int stream, size_t size)
{
	struct segment *before = current(pump);
	size_t surplus = size > pump->tail_most ? size - (size_t)pump->tail_most : 0;

	segment_close(before, false);
	uint64_t noted = before->starts[INDEX] + before->sizes[INDEX];
	if (pump->tail_count && !segment_size(before))
		pump->tail_count--;
	pump->places[stream] += surplus;
	if (surplus < size) {
		uint64_t free = make_room(pump, least(size - surplus, pump->segment_most));
		begin_segment(pump, noted, least(pump->segment_most, free));
	}
	return surplus;
}

static void keep(struct pump *pump, int stream, const char *data, size_t size)
{
	while (size) {
		if (!pump->room) {
			size_t dropped = turn_over(pump, stream, size);
			data += dropped;
			size -= dropped;
			continue;
		}
		size_t part = (size_t)least(size, pump->room);
		size_t kept = segment_append(current(pump), stream, data, part);
		pump->places[stream] += part;
		/* Bytes after lost ones do not belong at the end of this file. */
		pump->room = kept == part ? pump->room - kept : 0;
		data += part;
		size -= part;
	}
}

/* An account may have so many pages in pipes and no more: then it does as it is. */
static void widen(struct pump *pump, int source, int stream)
{
	pump->is_wide[stream] = true;
	fcntl(source, F_SETPIPE_SZ, WIDE_PIPE);
}

size_t pump_carry(struct pump *pump, int source, int stream)
{
	static char data[WIDE_PIPE];
	ssize_t size = read(source, data, pump->is_wide[stream] ? WIDE_PIPE : PIPE);

	/* EIO is a terminal's end: every process has closed its side. */
	if (size <= 0)
		return 0;
	keep(pump, stream, data, (size_t)size);
	if (size == PIPE && !pump->is_wide[stream])
		widen(pump, source, stream);
	return (size_t)size;
}

static uint64_t offered(const struct pump *pump)
{
	return pump->places[STDOUT] + pump->places[STDERR];
}

bool pump_is_over_limit(const struct pump *pump)
{
	return pump->kills && offered(pump) > pump->limit;
}

void pump_evidence(const struct pump *pump, struct fields *fields)
{
	fields_print(fields, "evidence.outputLimit", "%" PRIu64, pump->limit);
	fields_print(fields, "evidence.outputBytes", "%" PRIu64, offered(pump));
}

int pump_finish(struct pump *pump)
{
	int result = segment_close(current(pump), true);

	if (pump->tail_count && segment_make_durable(&pump->head) < 0)
		result = -1;
	for (int i = 0; i < pump->tail_count - 1; i++)
		if (segment_make_durable(&pump->tail[i]) < 0)
			result = -1;
	return result;
}

static const struct segment *segment_at(const struct pump *pump, int number)
{
	return number ? &pump->tail[number - 1] : &pump->head;
}

static uint64_t kept(const struct pump *pump, int stream)
{
	uint64_t bytes = 0;

	for (int i = 0; i <= pump->tail_count; i++)
		bytes += segment_at(pump, i)->sizes[stream];
	return bytes;
}

/* Adds the offsets, from and to, of each stretch of bytes that is not kept. */
static void add_gaps(const struct pump *pump, int stream, const char *name, struct fields *fields)
{
	uint64_t at = 0;

	for (int i = 0; i <= pump->tail_count + 1; i++) {
		bool is_end = i > pump->tail_count;
		const struct segment *segment = is_end ? NULL : segment_at(pump, i);
		if (segment && !segment->sizes[stream])
			continue;
		uint64_t start = segment ? segment->starts[stream] : pump->places[stream];
		if (start > at)
			fields_print(fields, "gap", "%s %" PRIu64 " %" PRIu64, name, at, start);
		at = segment ? start + segment->sizes[stream] : at;
	}
}

void pump_account(const struct pump *pump, struct fields *fields)
{
	uint64_t out = kept(pump, STDOUT);
	uint64_t err = kept(pump, STDERR);

	fields_print(fields, "stdoutBytes", "%" PRIu64, out);
	fields_print(fields, "stderrBytes", "%" PRIu64, err);
	fields_print(fields, "droppedBytes", "%" PRIu64, offered(pump) - out - err);
	add_gaps(pump, STDOUT, "stdout", fields);
	add_gaps(pump, STDERR, "stderr", fields);
}
