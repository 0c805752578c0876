/* Standard input from the spool: a file that is read as it is, or a pipe that a server feeds. */

#ifndef INPUT_H
#define INPUT_H

#include "order.h"

#include <stdbool.h>

struct input {
	int source; /* The program's standard input, until it is handed over. */
	int keeper; /* Open until the server says that the input is over; NOTHING for a file. */
};

/* Opens it by its name in the spool. */
int input_open(struct input *input, int spool, const char *kind);

/* Closes the program's end, so that a writer notices once the program reads no more. */
void input_hand_over(struct input *input);

/* Ends the input; a second call changes nothing. */
void input_end(struct input *input);

#endif
