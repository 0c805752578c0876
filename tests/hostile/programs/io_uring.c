/* Prints what the kernel says to io_uring_setup, io_uring_enter and io_uring_register: 0 or errno. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    char params[120];
    memset(params, 0, sizeof params);
    long ring = syscall(SYS_io_uring_setup, 4, params);
    printf("%d", ring < 0 ? errno : 0);
    printf(" %d", syscall(SYS_io_uring_enter, ring, 0, 0, 0, NULL, 0) < 0 ? errno : 0);
    printf(" %d\n", syscall(SYS_io_uring_register, ring, 1 /* UNREGISTER_BUFFERS */, NULL, 0) < 0 ? errno : 0);
    return 0;
}
