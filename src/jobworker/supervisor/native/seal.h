/* The seal of a job: bounds that neither it nor any program of its can take off again.
 *
 * It gets no privileges by exec, a filter of system calls, a Landlock domain of its own. Level
 * `basic` promises nothing but the first. */

#ifndef SEAL_H
#define SEAL_H

#include "site.h"

/* Lays out the filter and the rules of every job, once. */
int seal_open(struct site *site, bool io_uring, struct failure *failure);

/* The rules of every job's Landlock domain, or NOTHING: each job enters one of its own, though all
 * are made from the same.
 *
 * Where the kernel has no Landlock, or an old `version`, jobs run without: the promise of a level
 * does not rest on it. Before it had scopes a domain only kept a job from tracing others, which a
 * PID namespace does already; so only jobs at level `uid` have one. */
int seal_rules(enum level level, int version, int *rules);

/* Seals this process, which is about to execute a program. */
int seal(const struct site *site);

/* Empties the capability bounding set: no program executed later gains any. The capabilities in
 * force stay (capabilities(7)). */
int seal_bounding_set(void);

#endif
