/* The table of living supervisors. */

#ifndef SUPERVISORS_H
#define SUPERVISORS_H

#include "supervise.h"
#include "tree.h"

#include <stdbool.h>
#include <stddef.h>

struct supervisor_entry {
	pid_t pid; /* 0 where the place is free. */
	char job[JOB_ID];
};

/* Its memory is kept from the clones: each would hold a copy of a page that changes at the next
 * start. */
struct supervisors {
	struct supervisor_entry *all;
	size_t count;
	size_t room;
};

/* A place for one more; NULL where there is no memory for it. */
struct supervisor_entry *supervisors_place(struct supervisors *supervisors);

/* Adds one in its place, which was the last that was asked for. */
void supervisors_add(struct supervisors *supervisors, struct supervisor_entry *place, pid_t pid,
		     const char *job);

/* Takes one out; false where it is none. */
bool supervisors_take_out(struct supervisors *supervisors, pid_t pid, char job[JOB_ID]);

/* Adds the PIDs of all. */
int supervisors_list(const struct supervisors *supervisors, struct pids *pids);

#endif
