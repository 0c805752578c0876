/* The cgroup of all jobs that have none of their own: what bounds them together.
 *
 * The spawner enters it, and all that it makes is born there: it costs a job nothing. So the
 * supervisors are in it, too; the kernel kills what holds the most (oom_badness), which they do
 * not. */

#ifndef COMMONS_H
#define COMMONS_H

#include "fields.h"

#include <stdbool.h>
#include <stdint.h>

struct commons {
	bool there;
	int events; /* The file of counts, and that of the usage: both are read at every start. */
	int usage;
	const char *limit_text;
	uint64_t limit;
};

/* Enters the one that an argument of the spawner names, `2:1073741824:/sys/fs/cgroup/...`. One
 * that has been removed is left out: the spawner serves jobs all the same. */
void commons_open(struct commons *commons, char *word);

/* Reads the number of processes in it that the kernel has killed for memory; false where it cannot
 * say. */
bool commons_kills(const struct commons *commons, uint64_t *kills);

/* Whether most of it is taken, so that a kill may be near. */
bool commons_is_tight(const struct commons *commons);

/* Adds the evidence of an end by the limit of all jobs. */
void commons_evidence(const struct commons *commons, uint64_t kills, struct fields *fields);

#endif
