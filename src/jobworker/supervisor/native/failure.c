#include "failure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All of a script's first line that the kernel looks at (BINPRM_BUF_SIZE). */
enum { LONGEST_FIRST_LINE = 256 };

static const char *const KINDS[] = {
	[KIND_OTHER] = "other",
	[KIND_MISSING] = "missing",
	[KIND_DIRECTORY] = "directory",
	[KIND_INTERPRETER] = "interpreter",
	[KIND_CARRIAGE_RETURN] = "carriage-return",
	[KIND_LOADER] = "loader",
	[KIND_DENIED] = "denied",
	[KIND_PROCESSES] = "processes",
};

int fail(struct failure *failure, const char *stage)
{
	return fail_as(failure, stage, errno);
}

int fail_as(struct failure *failure, const char *stage, int error)
{
	failure->error = error ? error : EIO;
	failure->kind = KIND_OTHER;
	snprintf(failure->stage, sizeof failure->stage, "%s", stage);
	return -1;
}

int fail_about(struct failure *failure, const char *stage, const char *about)
{
	fail_as(failure, stage, errno);
	snprintf(failure->stage, sizeof failure->stage, "%s (%s)", stage, about);
	return -1;
}

/* The part that a program names and that is absent, by how its file begins. */
static enum kind kind_of_absence(const char *program)
{
	char begins[LONGEST_FIRST_LINE + 1];
	int file = open(program, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (file < 0) /* It may be executed, and not read. */
		return KIND_INTERPRETER;
	ssize_t size = read(file, begins, LONGEST_FIRST_LINE);
	close(file);
	if (size < 2)
		return KIND_INTERPRETER;
	if (size >= 4 && memcmp(begins, "\177ELF", 4) == 0)
		return KIND_LOADER;
	begins[size] = '\0';
	const char *interpreter = begins + 2 + strspn(begins + 2, " \t");
	size_t length = strcspn(interpreter, " \t\n");
	if (length > 0 && interpreter[length - 1] == '\r')
		return KIND_CARRIAGE_RETURN;
	return KIND_INTERPRETER;
}

static enum kind kind_of(const char *program, int error)
{
	struct stat status;

	if (stat(program, &status) < 0)
		return errno == EACCES || errno == EPERM ? KIND_DENIED : KIND_MISSING;
	if (S_ISDIR(status.st_mode))
		return KIND_DIRECTORY;
	if (error == ENOENT) /* The file is there: what it names to run it is not (execve(2)). */
		return kind_of_absence(program);
	return error == EACCES ? KIND_DENIED : KIND_OTHER;
}

int fail_exec(struct failure *failure, const char *program)
{
	int error = errno;

	fail_as(failure, "exec", error);
	failure->kind = kind_of(program, error);
	return -1;
}

void failure_fields(struct fields *fields, const struct failure *failure)
{
	fields_add(fields, "stage", failure->stage);
	fields_print(fields, "errno", "%d", failure->error);
	fields_add(fields, "kind", KINDS[failure->kind]);
}
