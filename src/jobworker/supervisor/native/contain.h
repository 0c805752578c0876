/* Walls a job off: the flags to clone a supervisor with, and the file system that it sees.
 *
 * Where anything here fails, the program is not run. */

#ifndef CONTAIN_H
#define CONTAIN_H

#include "order.h"
#include "site.h"
#include "walls.h"

/* The flags to clone a supervisor with; if `offline`, its job has no network. Returns -1 where
 * that is not possible. */
int contain_flags(const struct site *site, bool offline, unsigned long *flags);

/* Maps the server's own user and group to themselves, and nothing else, in a new user namespace. */
int contain_map_own_user(const struct site *site, struct failure *failure);

/* Puts the files in which the job's user has a name over the machine's. */
int contain_put_account_in_place(const char *account, struct failure *failure);

/* Gives this mount namespace what is the job's own, and covers what no job may see. */
int contain_enter(const struct site *site, const struct walls *walls, const char *job,
		  const struct order *order, struct failure *failure);

#endif
