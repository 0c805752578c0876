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

/* Makes room for one more. */
int supervisors_make_room(struct supervisors *supervisors);
void supervisors_add(struct supervisors *supervisors, pid_t pid, const char *job);

/* Takes one out; false where it is none. */
bool supervisors_take_out(struct supervisors *supervisors, pid_t pid, char job[JOB_ID]);

/* Adds the PIDs of all. */
int supervisors_list(const struct supervisors *supervisors, struct pids *pids);

#endif
