/* Attacks its own supervisor from its first instruction on, for a twentieth of a second.

   Prints, for each way, how often the kernel allowed it, then waits for ever. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 2000 };

int main(void) {
  pid_t victim = getppid();
  long killed = 0, stopped = 0, thread = 0, slowed = 0, idle = 0, read = 0, traced = 0, opened = 0;
  char path[64], byte;
  struct iovec mine = {&byte, 1}, theirs = {(void *)0x400000, 1};
  snprintf(path, sizeof path, "/proc/%d/mem", victim);
  for (int round = 0; round < ROUNDS; round++) {
    struct sched_param none = {0};
    killed += kill(victim, SIGKILL) == 0;
    stopped += kill(victim, SIGSTOP) == 0;
    thread += syscall(SYS_tgkill, victim, victim, SIGKILL) == 0;
    slowed += setpriority(PRIO_PROCESS, victim, 19) == 0;
    idle += sched_setscheduler(victim, SCHED_IDLE, &none) == 0;
    read += process_vm_readv(victim, &mine, 1, &theirs, 1, 0) == 1;
    traced += ptrace(PTRACE_SEIZE, victim, 0, 0) == 0;
    int file = open(path, O_RDWR);
    if (file >= 0) opened++, close(file);
  }
  printf("killed %ld\nstopped %ld\nthread %ld\nslowed %ld\nidle %ld\n", killed, stopped, thread,
         slowed, idle);
  printf("read %ld\ntraced %ld\nopened %ld\ndone\n", read, traced, opened);
  fflush(stdout);
  for (;;) pause();
}
