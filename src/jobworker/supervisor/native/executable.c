#include "executable.h"

#include "site.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t nanoseconds(struct timespec time)
{
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Whether it is in the state in which it was checked: its time of change cannot be set. */
static bool is_same(const struct stat *status, const char *identity)
{
	char found[160];

	snprintf(found, sizeof found, "%" PRIu64 ":%" PRIu64 ":%" PRId64 ":%" PRId64 ":%" PRId64,
		 (uint64_t)status->st_dev, (uint64_t)status->st_ino, (int64_t)status->st_size,
		 nanoseconds(status->st_mtim), nanoseconds(status->st_ctim));
	return strcmp(found, identity) == 0;
}

/* Whether another program will open the file to run it: all but ELF files (execve(2)).
 *
 * The interpreter of a script gets the path that was executed, which is our descriptor's, and
 * finds nothing there if it was closed on exec. No interpreter can read a file that may be executed
 * but not read, so that is taken for a binary. Returns -1 where it cannot be told. */
static int is_opened_again(const char *path)
{
	char magic[4];
	int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (file < 0)
		return errno == EACCES || errno == EPERM ? 0 : -1;
	ssize_t size = read(file, magic, sizeof magic);
	close(file);
	if (size < 0)
		return -1;
	return size != sizeof magic || memcmp(magic, "\177ELF", sizeof magic) != 0;
}

/* Gives the program its file open, as KEPT. */
static int keep(struct executable *executable)
{
	int result = executable->file == KEPT ? fcntl(KEPT, F_SETFD, 0)
					      : dup2(executable->file, KEPT);

	executable->file = KEPT;
	return result;
}

int executable_open(struct executable *executable, const char *program, const char *identity,
		    struct failure *failure)
{
	struct stat status;

	*executable = (struct executable){.path = program, .file = NOTHING};
	if (!identity)
		return 0;
	executable->file = open(program, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (executable->file < 0 || fstat(executable->file, &status) < 0)
		return fail_exec(failure, program);
	if (!is_same(&status, identity))
		return fail_as(failure, "changed", ESTALE);
	executable->path = executable->by_descriptor;
	snprintf(executable->by_descriptor, sizeof executable->by_descriptor, "/proc/self/fd/%d",
		 executable->file);
	int opened_again = is_opened_again(executable->path);
	if (opened_again < 0 || (opened_again && keep(executable) < 0))
		return fail_exec(failure, program);
	if (opened_again)
		snprintf(executable->by_descriptor, sizeof executable->by_descriptor,
			 "/proc/self/fd/%d", KEPT);
	return 0;
}
