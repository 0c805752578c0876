#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

enum {
	CLOEXEC_RANGE = 4,       /* CLOSE_RANGE_CLOEXEC */
	MOUNT_READ_ONLY = 1,     /* MOUNT_ATTR_RDONLY */
	WITH_ALL_BELOW = 0x8000, /* AT_RECURSIVE */
	RULES_VERSION = 1,       /* LANDLOCK_CREATE_RULESET_VERSION */
	RULE_PATH_BENEATH = 1,   /* LANDLOCK_RULE_PATH_BENEATH */
	PROJECT_QUOTA = 2,       /* PRJQUOTA */
	SPECULATION_ALLOWED = 4, /* SECCOMP_FILTER_FLAG_SPEC_ALLOW */
};

/* CLONE_INTO_CGROUP */
static const uint64_t INTO_CGROUP = 0x200000000;

pid_t kernel_clone(unsigned long flags)
{
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

pid_t kernel_clone_into(int cgroup, uint64_t flags)
{
	/* struct clone_args of sched.h */
	uint64_t arguments[11] = {0};

	arguments[0] = flags | INTO_CGROUP;
	arguments[4] = SIGCHLD;
	arguments[10] = (uint64_t)cgroup;
	return (pid_t)syscall(SYS_clone3, arguments, sizeof arguments);
}

static int set_mount(const char *path, unsigned flags, uint64_t set, uint64_t clear)
{
	/* struct mount_attr of mount.h */
	const uint64_t attributes[4] = {set, clear, 0, 0};

	return (int)syscall(SYS_mount_setattr, AT_FDCWD, path, flags, attributes,
			    sizeof attributes);
}

int kernel_make_read_only(const char *path)
{
	return set_mount(path, WITH_ALL_BELOW, MOUNT_READ_ONLY, 0);
}

int kernel_make_writable(const char *path)
{
	return set_mount(path, 0, 0, MOUNT_READ_ONLY);
}

int kernel_close_on_exec_from(int first)
{
	return (int)syscall(SYS_close_range, first, ~0U, CLOEXEC_RANGE);
}

int kernel_set_groups(size_t count, const gid_t *groups)
{
	return (int)syscall(SYS_setgroups, count, groups);
}

int kernel_set_gids(gid_t real, gid_t effective, gid_t saved)
{
	return (int)syscall(SYS_setresgid, real, effective, saved);
}

int kernel_set_uids(uid_t real, uid_t effective, uid_t saved)
{
	return (int)syscall(SYS_setresuid, real, effective, saved);
}

int kernel_install_filter(const struct sock_fprog *filter)
{
	/* Before Linux 5.16 a filter slows its process down against Spectre, as if it ran the
	 * code of strangers within itself. A job is a process of its own. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SPECULATION_ALLOWED, filter) == 0)
		return 0;
	if (errno != EINVAL)
		return -1;
	/* gVisor has no such flag. */
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter);
}

int kernel_landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, RULES_VERSION);

	return version < 0 ? 0 : (int)version;
}

int kernel_landlock_rules(const void *attributes, size_t size)
{
	return (int)syscall(SYS_landlock_create_ruleset, attributes, size, 0);
}

int kernel_landlock_allow(int rules, uint64_t access, int parent)
{
	const struct __attribute__((packed)) {
		uint64_t access;
		int32_t parent;
	} rule = {access, parent};

	return (int)syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0);
}

int kernel_landlock_enter(int rules)
{
	return (int)syscall(SYS_landlock_restrict_self, rules, 0);
}

int kernel_project_quota(int command, int place, uint32_t project, void *data)
{
	unsigned which = (unsigned)command << 8 | PROJECT_QUOTA;

	return (int)syscall(SYS_quotactl_fd, place, which, project, data);
}

ssize_t kernel_entries(int directory, void *buffer, size_t size)
{
	return syscall(SYS_getdents64, directory, buffer, size);
}

int kernel_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}
