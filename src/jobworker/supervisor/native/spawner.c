/* A stand-in for the spawner: it shows that the real one can be built, and is dropped then. */
#define _GNU_SOURCE
#include "headers.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_version(const char *word) {
    char copy[16];
    size_t length = strlen(word);
    if (length >= sizeof copy) return 0;
    memcpy(copy, word, length + 1);
    return strcmp(copy, "--version") == 0;
}

/* A child by clone3, with a pidfd to wait for it. */
static int child_ends_well(void) {
    int pidfd = -1;
    struct clone_args arguments = {
        .flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    long pid = call(SYS_clone3, &arguments, sizeof arguments);
    if (pid < 0) return 0;
    if (pid == 0) _exit(install_filter() == 0 ? 0 : 1);
    struct pollfd ready = {.fd = pidfd, .events = POLLIN};
    int status = -1;
    if (poll(&ready, 1, 10000) == 1) (void)waitpid((pid_t)pid, &status, 0);
    (void)close(pidfd);
    return status == 0;
}

static int wait_for_end(void) {
    sigset_t signals;
    if (sigemptyset(&signals) || sigaddset(&signals, SIGTERM)) return 1;
    if (sigprocmask(SIG_BLOCK, &signals, NULL)) return 1;
    int fd = signalfd(-1, &signals, SFD_CLOEXEC);
    struct signalfd_siginfo information;
    return fd < 0 || read(fd, &information, sizeof information) != sizeof information;
}

int main(int argc, char **argv) {
    if (argc == 2 && is_version(argv[1])) {
        printf("jobd-spawner: %zu bytes of structures, Landlock %d, a child: %s\n", sizes(),
               landlock_version(), child_ends_well() ? "ended well" : "FAILED");
        return fflush(stdout) == 0 ? 0 : 1;
    }
    return wait_for_end();
}
