#include "streams.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int open_pipes(struct streams *streams)
{
	for (int i = 0; i < STREAM_COUNT; i++) {
		int ends[2];
		if (pipe2(ends, O_CLOEXEC) < 0)
			return -1;
		streams->sources[i] = ends[0];
		streams->sinks[i] = ends[1];
	}
	streams->source_count = STREAM_COUNT;
	return 0;
}

int streams_open(struct streams *streams, const struct site *site, int spool,
		 const struct order *order, struct failure *failure)
{
	if (order->input && strcmp(order->input, INPUT_TERMINAL) == 0) {
		streams->has_terminal = true;
		if (terminal_open(&streams->terminal, site, spool, order, failure) < 0)
			return -1;
		streams->sources[0] = streams->terminal.master;
		streams->source_count = 1;
		return 0;
	}
	if (order->input) {
		streams->has_input = true;
		if (input_open(&streams->input, spool, order->input) < 0)
			return fail_about(failure, "setup", STDIN);
	}
	return open_pipes(streams) < 0 ? fail(failure, "setup") : 0;
}

int streams_take_place(const struct streams *streams)
{
	if (streams->has_terminal)
		return terminal_take_place(&streams->terminal);
	int input = streams->has_input ? streams->input.source
				       : open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (input < 0 || dup2(input, 0) < 0 || dup2(streams->sinks[0], 1) < 0 ||
	    dup2(streams->sinks[1], 2) < 0)
		return -1;
	return 0;
}

void streams_hand_over(struct streams *streams)
{
	if (streams->has_terminal)
		return;
	if (streams->has_input)
		input_hand_over(&streams->input);
	for (int i = 0; i < STREAM_COUNT; i++)
		close(streams->sinks[i]);
}
