/* Carries output from the pipes to the spool, and keeps it within its limit.
 *
 * Of what a program writes, the first eighth of the limit stays (the head), and of the rest the
 * last seven eighths (the tail). The tail is cut into segments, so that the oldest of it can be
 * deleted. Nothing is deleted before the program has written more than the limit. */

#ifndef PUMP_H
#define PUMP_H

#include "fields.h"
#include "segment.h"

#include <stdbool.h>
#include <stdint.h>

/* Segments of the tail. A disk that is full on and off begins a new one each time, and the exit
 * record has a line for each gap between them. */
enum { PUMP_SEGMENTS = 64 };

/* The output of one job, of which `limit` bytes of both streams together are kept.
 *
 * Where it kills, the first `limit` bytes are kept, and `pump_is_over_limit` tells when there are
 * more. Bytes that cannot be written, because the disk is full or broken, are a gap like any
 * other: the program is never blocked by it. */
struct pump {
	int spool;
	bool is_limited;
	bool kills;
	uint64_t limit;
	uint64_t room; /* Of the segment that is written to. */
	uint64_t tail_most;
	uint64_t segment_most;
	uint64_t places[INDEX]; /* Bytes that the program has written, kept or not. */
	bool is_wide[INDEX];
	struct segment head;
	struct segment tail[PUMP_SEGMENTS];
	int tail_count;
};

void pump_init(struct pump *pump, int spool, bool is_limited, uint64_t limit, bool kills);

/* Moves what the pipe `source` holds; returns the number of bytes. It is 0 where the pipe has
 * ended, or is empty and does not block, or a terminal was hung up. */
size_t pump_carry(struct pump *pump, int source, int stream);

/* Whether the job is to be killed for what it has written, and the evidence of that. */
bool pump_is_over_limit(const struct pump *pump);
void pump_evidence(const struct pump *pump, struct fields *fields);

/* Closes the files and makes the output outlive a power cut. */
int pump_finish(struct pump *pump);

/* Adds the exit record's fields about the output. */
void pump_account(const struct pump *pump, struct fields *fields);

#endif
