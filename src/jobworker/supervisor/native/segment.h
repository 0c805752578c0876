/* A stretch of output on the disk: up to a file for each stream, and one for the index.
 *
 * The head of a job's output is the segment whose files are called `stdout`, `stderr` and `index`.
 * The files of every other segment have the offset of their first byte in the name, as in
 * `stdout.8388608`: counted from the first byte that the program wrote to that stream, whether it
 * was kept or not. The format of the index is defined in records.py. */

#ifndef SEGMENT_H
#define SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STDOUT, STDERR, INDEX, SEGMENT_FILES };

/* `starts` and `sizes` are by stream. Each file is made when its first byte comes. */
struct segment {
	int spool;
	bool is_head;
	bool has_spare_index; /* It takes at most 64 KiB and a quarter of the output. */
	int files[SEGMENT_FILES];
	uint64_t starts[SEGMENT_FILES];
	uint64_t sizes[SEGMENT_FILES];
	uint64_t unnoted[INDEX]; /* Bytes that the index has not got. */
	int last_stream;	 /* Of the last entry; -1 without one. */
	uint64_t last_length;
};

void segment_init(struct segment *segment, int spool, const uint64_t *starts, bool spare_index);

/* Bytes of both streams. */
uint64_t segment_size(const struct segment *segment);

/* Adds bytes to a stream; returns how many could be written. Less than all means that the disk is
 * full or broken: the bytes after that belong into another segment. */
size_t segment_append(struct segment *segment, int stream, const char *data, size_t size);

/* Writes what the index still lacks, closes the files, removes those left empty. Durable ones
 * outlive a power cut (fdatasync(2)); -1 where that fails. */
int segment_close(struct segment *segment, bool durable);

/* Makes a closed segment outlive a power cut. */
int segment_make_durable(const struct segment *segment);

/* Deletes the files of a closed segment; a reader that has them open goes on. */
void segment_remove(const struct segment *segment);

#endif
