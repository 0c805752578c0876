/* The spool: names of its directories and files, and the record of a job.
 *
 * A record is one file that is only ever appended to, a section at a time. The format is
 * defined in records.py, by which the server reads and writes it. Everything goes by directory
 * descriptor. */

#ifndef RECORD_H
#define RECORD_H

#include "fields.h"

#include <stdbool.h>
#include <sys/types.h>

#define SPOOL "spool"
#define EMPTY "empty"
#define ACCOUNTS "accounts"
#define RECORD "record"
#define TMP "tmp"
#define STDIN "stdin"
#define SIGNALS "signals"

#define SECTION_SPEC "spec"
#define SECTION_LAUNCH "launch"
#define SECTION_REFUSED "refused"
#define SECTION_STARTED "started"
#define SECTION_STOP "stop"
#define SECTION_DEADLINE "deadline"
#define SECTION_EOF "eof"
#define SECTION_VOID "void"
#define SECTION_EXIT "exit"

/* The content of a file of fields, in memory that the next call of `record_release` gives back. */
struct record {
	char *text;
	size_t size;
	size_t mapped;
};

/* The most bytes of a record that are read. What exec takes is a small part of it. */
enum { RECORD_MOST = 64 << 20 };

/* Reads a file of fields; without one there are none. Returns -1, with errno, where it cannot. */
int record_read(int directory, const char *name, struct record *record);
void record_release(struct record *record);

/* The last whole section of a name; false without one. One that is torn by a power cut or a full
 * disk is as good as not written. */
bool record_section(const struct record *record, const char *name, struct span *section);

/* Whether there is any section but that of the name. */
bool record_has_others(const struct record *record, const char *name);

/* The record of a job that has one, opened for `record_add`. */
int record_open(int directory);

/* Adds a section to an open record, by one write(2) with O_APPEND, so that sections of both
 * sides do not mix. Returns its size, or -1. */
ssize_t record_add(int file, const char *section, const struct fields *fields);

/* Adds a section to a job's record; a durable one survives a power cut. */
int record_append(int directory, const char *section, const struct fields *fields, bool durable);

/* Whether a section `void` has come to an open record since that had `size` bytes: the server
 * has given the start up. Returns -1 where it cannot be told. */
int record_is_void(int file, int directory, off_t size);

#endif
