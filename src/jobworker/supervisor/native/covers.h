/* The places of the machine that no job may see, as they stand when it starts.
 *
 * Whoever has an account's UID has its sessions: a message bus that starts programs, agents that
 * sign with its keys, terminals to read typed lines from. Covered are places and not what is in
 * them, so that what a later login makes there is covered, too. */

#ifndef COVERS_H
#define COVERS_H

#include "mounts.h"
#include "site.h"

#include <stdbool.h>

struct covers {
	struct paths paths; /* They need not be there, or be directories. */
	bool is_told;	    /* Whether a change will be told; else the paths are right for now. */
	struct mounts mounts;
	int mountinfo; /* Has POLLPRI when a mount has come or gone. */
	int names;     /* Can be read when a name has come or gone in /run; NOTHING where the
			  account may have no more instances of inotify. */
	int watch;
};

int covers_open(struct covers *covers);

/* Looks for what there is to cover. */
int covers_look(struct covers *covers, const struct site *site);

/* Forgets what was told. */
void covers_forget(const struct covers *covers);

#endif
