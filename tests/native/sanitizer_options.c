/* Linked into the sanitized spawner alone (scripts/sanitize), whose environment is none that could
 * carry options. REPORTS is the file that takes what it says. */

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

/* What is not given back at an end is no leak of ours: the process ends. An abort is a death by
 * signal, which the spawner tells of its supervisors and no test takes for an end of its own. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0:abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1:"
	       "check_initialization_order=1";
}

const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1:abort_on_error=1";
}

/* One file for all, by a descriptor from before any wall: the state directories, in which the log of
 * each server is, go with their tests. */
__attribute__((constructor)) static void report_to_file(void)
{
	int file = open(REPORTS, O_WRONLY | O_APPEND | O_CLOEXEC);

	if (file < 0)
		return;
	dup2(file, STDERR_FILENO);
	close(file);
	dprintf(STDERR_FILENO, "a sanitized spawner\n");
}
