/* The descriptors 0, 1 and 2 of a program: a pipe for each output, or a terminal. */

#ifndef STREAMS_H
#define STREAMS_H

#include "input.h"
#include "terminal.h"

enum { STREAM_COUNT = 2 };

struct streams {
	bool has_input;
	bool has_terminal;
	struct input input;	  /* Where there is one. */
	struct terminal terminal; /* Where there is one. */
	int sources[STREAM_COUNT]; /* The ends to read, standard output's first. */
	int source_count;	  /* A terminal has one. */
	int sinks[STREAM_COUNT];  /* The program's ends of the pipes. */
};

int streams_open(struct streams *streams, const struct site *site, int spool,
		 const struct order *order, struct failure *failure);

/* Makes them 0, 1 and 2 of this process, which has made itself a new session. */
int streams_take_place(const struct streams *streams);

/* Closes the program's ends. */
void streams_hand_over(struct streams *streams);

#endif
