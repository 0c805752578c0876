/* The limit on a job's temporary directory, kept by a project quota.
 *
 * The directory and all that is made below it belong to a project, by a number of the file
 * system's, and the file system bounds what a project stores: ext4 mounted with prjquota, XFS
 * mounted with pquota. Only root of the machine may set that bound.
 *
 * The owner of a file may put it into another project, and keep a directory from passing its own
 * on, unless it is in a user namespace (fileattr_set_prepare in the kernel). The filter of system
 * calls keeps a job from that (ATTRIBUTES of seccomp.c). */

#ifndef QUOTA_H
#define QUOTA_H

#include <stdint.h>

/* Puts an empty directory into a project that no other is in, and limits that to `bytes`. `seed`,
 * such as a supervisor's PID, makes those that begin at once differ. `quota_lift` is due in any
 * case. */
int quota_limit(int directory, uint64_t bytes, uint32_t seed);

/* Lifts the limit on a directory, which alone knows its project, if it has one. A limit that
 * cannot be lifted costs no more than a number that is not used again. */
void quota_lift(int directory);

#endif
