/* A disk that fails when it is told to. In the library that the tests load, the calls of the code
 * under test bind to these (-Bsymbolic). */

#include "views.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LONGEST_SCHEDULE = 4096 };

static char schedule[LONGEST_SCHEDULE];
static const char *next = schedule;

void disk_schedule(const char *fates)
{
	snprintf(schedule, sizeof schedule, "%s", fates);
	next = schedule;
}

static char next_fate(void)
{
	return *next ? *next++ : FATE_NONE;
}

int openat(int directory, const char *name, int flags, ...)
{
	mode_t mode = 0;

	if (flags & O_CREAT) {
		va_list rest;
		va_start(rest, flags);
		mode = va_arg(rest, mode_t);
		va_end(rest);
		if (next_fate() == FATE_OPEN) {
			errno = ENOSPC;
			return -1;
		}
	}
	return (int)syscall(SYS_openat, directory, name, flags, mode);
}

/* How many bytes get through; -1 for none. */
static ssize_t let_through(size_t size)
{
	char fate = next_fate();

	if (fate == FATE_ERROR) {
		errno = EIO;
		return -1;
	}
	return (ssize_t)(fate == FATE_PART && size > 1 ? size / 2 + 1 : size);
}

ssize_t write(int file, const void *data, size_t size)
{
	ssize_t part = let_through(size);

	return part < 0 ? -1 : syscall(SYS_write, file, data, part);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset)
{
	ssize_t part = let_through(size);

	return part < 0 ? -1 : syscall(SYS_pwrite64, file, data, part, offset);
}
