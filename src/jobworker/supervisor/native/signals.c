#include "signals.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/signalfd.h>

/* The first real-time signal that the C libraries of most programs leave to them. */
enum { FIRST_REAL_TIME = 34, LAST = 64 };

/* The signals that the spawner and its supervisors ignore, and their programs must not. */
static const int IGNORED[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ};

enum { IGNORED_COUNT = sizeof IGNORED / sizeof *IGNORED };

static const char *const NAMES[] = {
	[SIGHUP] = "SIGHUP",	     [SIGINT] = "SIGINT",	[SIGQUIT] = "SIGQUIT",
	[SIGILL] = "SIGILL",	     [SIGTRAP] = "SIGTRAP",	[SIGABRT] = "SIGABRT",
	[SIGBUS] = "SIGBUS",	     [SIGFPE] = "SIGFPE",	[SIGKILL] = "SIGKILL",
	[SIGUSR1] = "SIGUSR1",	     [SIGSEGV] = "SIGSEGV",	[SIGUSR2] = "SIGUSR2",
	[SIGPIPE] = "SIGPIPE",	     [SIGALRM] = "SIGALRM",	[SIGTERM] = "SIGTERM",
	[SIGSTKFLT] = "SIGSTKFLT",   [SIGCHLD] = "SIGCHLD",	[SIGCONT] = "SIGCONT",
	[SIGSTOP] = "SIGSTOP",	     [SIGTSTP] = "SIGTSTP",	[SIGTTIN] = "SIGTTIN",
	[SIGTTOU] = "SIGTTOU",	     [SIGURG] = "SIGURG",	[SIGXCPU] = "SIGXCPU",
	[SIGXFSZ] = "SIGXFSZ",	     [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF",
	[SIGWINCH] = "SIGWINCH",     [SIGIO] = "SIGIO",		[SIGPWR] = "SIGPWR",
	[SIGSYS] = "SIGSYS",	     [FIRST_REAL_TIME] = "SIGRTMIN", [LAST] = "SIGRTMAX",
};

static void waking(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGTERM);
}

void signals_reset(void)
{
	sigset_t blocked;

	/* SIGKILL, SIGSTOP and those of the C library have no disposition to set. */
	for (int number = 1; number <= LAST; number++)
		signal(number, SIG_DFL);
	for (int i = 0; i < IGNORED_COUNT; i++)
		signal(IGNORED[i], SIG_IGN);
	waking(&blocked);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
}

int signals_open(void)
{
	sigset_t set;

	waking(&set);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

void signals_reset_for_program(void)
{
	sigset_t none;

	for (int i = 0; i < IGNORED_COUNT; i++)
		signal(IGNORED[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void signals_name(int number, char name[SIGNAL_NAME])
{
	if (number > 0 && number <= LAST && NAMES[number])
		snprintf(name, SIGNAL_NAME, "%s", NAMES[number]);
	else
		snprintf(name, SIGNAL_NAME, "SIGRTMIN+%d", number - FIRST_REAL_TIME);
}
