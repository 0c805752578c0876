/* The places where a job may write: its temporary directory, and its shared memory.
 *
 * With a mount namespace the first lies in the spool and is seen as /tmp, and the second is a
 * directory in the machine's /dev/shm, seen as the whole of it: a tmpfs of its own for each job
 * would cost a seventh of its start. Without one, the first lies in the machine's /tmp. */

#ifndef SCRATCH_H
#define SCRATCH_H

#include "order.h"
#include "site.h"

#define MACHINE_TMP "/tmp"
#define MACHINE_SHM "/dev/shm"

/* Writes the name of a job's directory in one of the machine's. */
enum { SCRATCH_NAME = 80 };
void scratch_name(const char *job, char name[SCRATCH_NAME]);

/* Makes a job's directories; returns a descriptor of the temporary one, or -1. */
int scratch_make(const struct site *site, int spool, const char *job, const struct order *order,
		 struct failure *failure);

/* Removes what was made, once no process of the job is left. Returns -1 where something is left,
 * which is then the server's to remove. */
int scratch_remove(const struct site *site, const char *job);

#endif
