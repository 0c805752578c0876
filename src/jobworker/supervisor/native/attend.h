/* Attends a running program: one loop, one small action for each thing that happens. */

#ifndef ATTEND_H
#define ATTEND_H

#include "cgroups.h"
#include "ending.h"
#include "launch.h"
#include "pump.h"
#include "site.h"
#include "streams.h"

#include <stdbool.h>
#include <stdint.h>

/* The supervisor's part from the program's exec to the end of the last process. */
struct attendance {
	const struct site *site;
	int spool;
	struct cgroups *cgroups;
	struct streams *streams;
	struct pump *pump;
	struct program program;
	struct ending ending;
	char started_at[32];
	off_t recorded;	       /* The bytes of the record that we know. */
	uint64_t kills_before; /* Of the commons, by the time of the start. */

	bool has_ended;
	int wait_status;
	bool is_at_end[STREAM_COUNT]; /* The sources that have ended. */
	int output_error;	      /* Of the disk, which may not have all of the output. */
	bool has_unread;	      /* Whether the record could not be read when it had to be. */
	enum action unfinished;	      /* What could not be done to all processes. */
};

/* Attends until no process of the job is left; writes the exit record. */
void attend(struct attendance *attendance, struct fields *end);

#endif
