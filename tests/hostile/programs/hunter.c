/* Signals every new process of the machine whose command line holds a word.

   hunter SIGNAL SECONDS WORD: prints "ready", and at its end how often the kernel allowed it.
   Before its exec a program still has the command line of what made it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BEHIND = 20, AHEAD = 40 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static ssize_t contents(const char *path, char *text, size_t size) {
  int file = open(path, O_RDONLY);
  if (file < 0) return 0;
  ssize_t length = read(file, text, size - 1);
  close(file);
  if (length < 0) length = 0;
  text[length] = 0;
  return length;
}

static int is_prey(long pid, const char *word) {
  char path[64], command[4096];
  snprintf(path, sizeof path, "/proc/%ld/cmdline", pid);
  ssize_t length = contents(path, command, sizeof command);
  for (ssize_t i = 0; i < length; i++)
    if (!command[i]) command[i] = ' ';
  return pid != getpid() && strstr(command, word) != NULL;
}

int main(int count, char **arguments) {
  if (count < 4) return 2;
  int number = atoi(arguments[1]);
  double end = now() + atof(arguments[2]);
  long allowed = 0, newest = getpid();
  printf("ready\n");
  fflush(stdout);
  while (now() < end) {
    for (long pid = newest - BEHIND; pid < newest + AHEAD; pid++)
      if (pid > 1 && kill((pid_t)pid, 0) == 0 && is_prey(pid, arguments[3]))
        allowed += kill((pid_t)pid, number) == 0;
    char text[128];
    contents("/proc/loadavg", text, sizeof text); /* its last word is the newest PID (proc(5)) */
    char *space = strrchr(text, ' ');
    if (space) newest = atol(space + 1);
  }
  printf("%ld\n", allowed);
  return 0;
}
