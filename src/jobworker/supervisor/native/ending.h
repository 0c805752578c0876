/* The decision when a job has to end, and for what cause. Times are of the monotonic clock. */

#ifndef ENDING_H
#define ENDING_H

#include "fields.h"

#include <stdbool.h>

enum action {
	ACTION_NONE,
	ACTION_ASK,  /* Ask every process to end, by SIGTERM. */
	ACTION_KILL, /* Kill every process. */
};

/* A stop that was asked for, a time limit, and the next action with its time. The first to come is
 * the cause; a later one can only hasten the end. */
struct ending {
	const char *cause; /* NULL without one. */
	bool is_timed;
	double began;
	double timeout;
	double grace;
	bool is_kill_due;
	double kill_at;
	char extended_by[256];
	struct fields why; /* The cause's evidence. */
	char why_data[1024];
};

void ending_init(struct ending *ending);

/* Gives the job `timeout` seconds from `now`, and `grace` from SIGTERM on. */
void ending_limit_time(struct ending *ending, double now, double timeout, double grace);

/* Changes the time limit to what a section of the record says. */
void ending_move_deadline(struct ending *ending, struct span section);

/* Takes a stop from the record; returns the action that is due at once. */
enum action ending_stop(struct ending *ending, double now, struct span section);

/* Kills the job for a cause of our own, with its evidence. */
enum action ending_now(struct ending *ending, const char *cause, const struct fields *why);

/* The time of the next action; false without one. */
bool ending_due_at(const struct ending *ending, double *at);

/* The action that is due now. */
enum action ending_due(struct ending *ending, double now);

#endif
