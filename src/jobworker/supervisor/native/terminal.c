#include "terminal.h"

#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* The head of a frame: its kind, and the number of bytes that follow, the lower byte first. The
 * body of a window's is rows and columns. */
enum { HEAD = 3, WINDOW_BODY = 4, WINDOW = 'w' };

static int resize(const struct terminal *terminal, unsigned short rows, unsigned short cols)
{
	const struct winsize size = {.ws_row = rows, .ws_col = cols};

	return ioctl(terminal->master, TIOCSWINSZ, &size); /* The program gets SIGWINCH. */
}

static int open_sides(struct terminal *terminal)
{
	const int flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
	struct termios settings;

	terminal->master = posix_openpt(flags | O_NONBLOCK);
	if (terminal->master < 0 || ioctl(terminal->master, TIOCSPTLCK, &(int){0}) < 0)
		return -1;
	/* By the other side, as a path may lead to another instance of devpts. */
	terminal->slave = ioctl(terminal->master, TIOCGPTPEER, flags);
	if (terminal->slave < 0 || tcgetattr(terminal->slave, &settings) < 0)
		return -1;
	settings.c_iflag |= IUTF8; /* So that erasing takes a whole character. */
	return tcsetattr(terminal->slave, TCSANOW, &settings);
}

static int open_inlet(struct terminal *terminal, int spool)
{
	const int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

	terminal->inlet = openat(spool, STDIN, O_RDONLY | flags);
	terminal->keeper = openat(spool, STDIN, O_WRONLY | flags);
	return terminal->inlet < 0 || terminal->keeper < 0 ? -1 : 0;
}

int terminal_open(struct terminal *terminal, const struct site *site, int spool,
		  const struct order *order, struct failure *failure)
{
	if (open_sides(terminal) < 0 ||
	    (has_own_uid(site) && fchown(terminal->slave, order->uid, order->gid) < 0) ||
	    fchmod(terminal->slave, 0600) < 0 || open_inlet(terminal, spool) < 0) {
		/* The kernel says ENOSPC where no more terminals are allowed. */
		return fail_as(failure, "terminal", errno == ENOSPC ? EAGAIN : errno);
	}
	if (resize(terminal, order->rows, order->cols) < 0)
		return fail(failure, "terminal");
	return 0;
}

int terminal_take_place(const struct terminal *terminal)
{
	if (ioctl(terminal->slave, TIOCSCTTY, 0) < 0)
		return -1;
	for (int target = 0; target <= 2; target++)
		if (dup2(terminal->slave, target) < 0)
			return -1;
	return 0;
}

bool terminal_is_full(const struct terminal *terminal)
{
	return terminal->typed_size > 0;
}

static unsigned short number_at(const char *bytes)
{
	return (unsigned short)((unsigned char)bytes[0] | (unsigned char)bytes[1] << 8);
}

static void take_frame(struct terminal *terminal, char kind, const char *body, size_t size)
{
	if (kind == WINDOW) {
		if (size == WINDOW_BODY) /* It fails where the program has hung up. */
			resize(terminal, number_at(body), number_at(body + 2));
		return;
	}
	if (size > sizeof terminal->typed - terminal->typed_size)
		return; /* No frame of the server's is as large. */
	memcpy(terminal->typed + terminal->typed_size, body, size);
	terminal->typed_size += size;
}

void terminal_take_input(struct terminal *terminal)
{
	size_t room = sizeof terminal->came - terminal->came_size;
	ssize_t size = read(terminal->inlet, terminal->came + terminal->came_size,
			    room < PIPE_BUF ? room : PIPE_BUF);
	size_t at = 0;

	if (size <= 0)
		return;
	terminal->came_size += (size_t)size;
	while (terminal->came_size - at >= HEAD) {
		const char *frame = terminal->came + at;
		size_t body = number_at(frame + 1);
		if (body > PIPE_BUF - HEAD) {
			at = terminal->came_size; /* None of the server's: nothing can follow it. */
			break;
		}
		if (terminal->came_size - at < HEAD + body)
			break;
		take_frame(terminal, *frame, frame + HEAD, body);
		at += HEAD + body;
	}
	terminal->came_size -= at;
	memmove(terminal->came, terminal->came + at, terminal->came_size);
	terminal_type(terminal);
}

void terminal_type(struct terminal *terminal)
{
	if (!terminal->typed_size)
		return;
	ssize_t size = write(terminal->master, terminal->typed, terminal->typed_size);
	if (size < 0) {
		if (errno != EAGAIN)
			terminal->typed_size = 0; /* The program has hung up. */
		return;
	}
	terminal->typed_size -= (size_t)size;
	memmove(terminal->typed, terminal->typed + size, terminal->typed_size);
}
