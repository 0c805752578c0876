/* The system calls that no job may make: a filter for seccomp(2), built by hand.
 *
 * The list names denied calls, not allowed ones: a job may be any program, and is kept in by its
 * user, its namespaces and its lack of capabilities. The filter denies calls that would give
 * capabilities back (a user namespace of its own), that lead into another namespace or out of a
 * limit, and those that ordinary programs have no use for and the kernel's past flaws were in. A
 * call of a later kernel than this list is not on it. */

#ifndef SECCOMP_H
#define SECCOMP_H

#include <linux/filter.h>
#include <stdbool.h>

/* The filter of this machine, with `io_uring` or without. */
struct sock_fprog seccomp_filter(bool io_uring);

#endif
