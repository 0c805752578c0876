#define _GNU_SOURCE
#include "headers.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/quota.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

long call(long number, void *argument, size_t size) {
    return syscall(number, argument, size);
}

size_t sizes(void) {
    return sizeof(struct clone_args) + sizeof(struct mount_attr) + sizeof(struct fsxattr) +
           sizeof(struct landlock_ruleset_attr) + sizeof(struct if_dqblk) +
           sizeof(struct signalfd_siginfo) + sizeof(struct seccomp_data);
}

int install_filter(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -errno;
    return call(SYS_seccomp, NULL, 0) == 0 ||
                   syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0
               ? 0
               : -errno;
}

int landlock_version(void) {
    /* A scope that older headers do not know. */
    struct landlock_ruleset_attr attributes = {
        .handled_access_fs = LANDLOCK_ACCESS_FS_IOCTL_DEV,
        .handled_access_net = LANDLOCK_ACCESS_NET_BIND_TCP,
        .scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL,
    };
    (void)attributes;
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version < 0 ? 0 : (int)version;
}
