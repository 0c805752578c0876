#include "verdict.h"

#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

const char *verdict_of(int wait_status, const char *wanted, bool oom)
{
	if (wanted)
		return wanted;
	if (!WIFSIGNALED(wait_status))
		return "exited";
	return oom && WTERMSIG(wait_status) == SIGKILL ? "oom" : "signaled";
}
