/* A pseudo-terminal for one program (pty(7)), and the typed bytes on their way there.
 *
 * Typed bytes come through a pipe in the spool, in frames, as do changes of the window's size. A
 * frame is written whole or not at all (pipe(7): PIPE_BUF), so a server that dies leaves no half
 * of one. */

#ifndef TERMINAL_H
#define TERMINAL_H

#include "failure.h"
#include "order.h"
#include "site.h"

#include <limits.h>
#include <stdbool.h>

struct terminal {
	int master;
	int slave; /* Held, so that the program may close its side and open it again. */
	int inlet;
	int keeper; /* Held, so that the pipe never ends, whoever comes and goes at its end. */

	char came[2 * PIPE_BUF]; /* Frames that are not whole yet. */
	size_t came_size;
	char typed[2 * PIPE_BUF]; /* Bytes that the terminal has not taken yet. */
	size_t typed_size;
};

/* Makes one of the order's size, for its user. */
int terminal_open(struct terminal *terminal, const struct site *site, int spool,
		  const struct order *order, struct failure *failure);

/* Makes it the terminal, and 0, 1 and 2, of this process, which has made itself a new session. */
int terminal_take_place(const struct terminal *terminal);

/* Whether typed bytes wait for the terminal. Nothing more is read from the pipe then. */
bool terminal_is_full(const struct terminal *terminal);

/* Takes what came through the pipe, and passes on what the terminal takes now. */
void terminal_take_input(struct terminal *terminal);
void terminal_type(struct terminal *terminal);

#endif
