/* System calls that the C library lacks, and constants that older headers lack. */

#ifndef KERNEL_H
#define KERNEL_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Forks with namespace flags (clone(2)); 0 in the child. The C library does not learn of it: its
 * cached thread ID is stale there, so that the child must not call raise or abort. */
pid_t kernel_clone(unsigned long flags);

/* As kernel_clone, with a child that begins in a cgroup v2 (clone3(2), Linux 5.7). */
pid_t kernel_clone_into(int cgroup, uint64_t flags);

/* Makes a mount read-only, with all that is below it, or one mount writable again
 * (mount_setattr(2), Linux 5.12). */
int kernel_make_read_only(const char *path);
int kernel_make_writable(const char *path);

/* Marks all descriptors from `first` on as close-on-exec (close_range(2), Linux 5.11). */
int kernel_close_on_exec_from(int first);

/* Changes user and groups of this process by the system calls themselves: the C library's
 * functions would look for threads. */
int kernel_set_groups(size_t count, const gid_t *groups);
int kernel_set_gids(gid_t real, gid_t effective, gid_t saved);
int kernel_set_uids(uid_t real, uid_t effective, uid_t saved);

/* Has a filter judge all calls of this process and its programs (seccomp(2)). It takes
 * no-new-privileges, and can never be taken off. */
int kernel_install_filter(const struct sock_fprog *filter);

/* Landlock's version, 0 where there is none; rules; a domain by rules (landlock(7)). */
int kernel_landlock_version(void);
int kernel_landlock_rules(const void *attributes, size_t size);
int kernel_landlock_allow(int rules, uint64_t access, int parent);
int kernel_landlock_enter(int rules);

/* Gets or sets a project quota on the file system of `place` (quotactl_fd(2), Linux 5.14). */
int kernel_project_quota(int command, int place, uint32_t project, void *data);

/* Reads entries of a directory (getdents64(2)). */
ssize_t kernel_entries(int directory, void *buffer, size_t size);

/* A descriptor of a process (pidfd_open(2), Linux 5.3). */
int kernel_pidfd(pid_t pid);

#endif
