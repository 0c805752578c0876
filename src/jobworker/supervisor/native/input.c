#include "input.h"

#include "record.h"
#include "site.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int set_blocking(int file)
{
	int flags = fcntl(file, F_GETFL);

	return flags < 0 ? -1 : fcntl(file, F_SETFL, flags & ~O_NONBLOCK);
}

int input_open(struct input *input, int spool, const char *kind)
{
	/* Without blocking, as a pipe would wait for the other end. */
	const int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

	input->keeper = NOTHING;
	input->source = openat(spool, STDIN, O_RDONLY | flags);
	if (input->source < 0)
		return -1;
	if (strcmp(kind, INPUT_FED) == 0) {
		/* A server that stops, or dies, is no end of file. */
		input->keeper = openat(spool, STDIN, O_WRONLY | flags);
		if (input->keeper < 0)
			return -1;
	}
	return set_blocking(input->source);
}

void input_hand_over(struct input *input)
{
	close(input->source);
	input->source = NOTHING;
}

void input_end(struct input *input)
{
	if (input->keeper == NOTHING)
		return;
	close(input->keeper);
	input->keeper = NOTHING;
}
