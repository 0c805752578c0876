/* The signals that the spawner and its supervisors deal with. */

#ifndef SIGNALS_H
#define SIGNALS_H

/* Resets what was inherited: every signal to its default, but for those that we ignore, and
 * blocks those that wake us. With SIGCHLD ignored, for one, a process would have no exit status
 * to wait for. */
void signals_reset(void);

/* A descriptor of the signals that wake us: a child has ended; the server notifies us.
 *
 * A blocked signal reaches even the init of a PID namespace, from outside and inside alike, so
 * SIGTERM only makes a supervisor look whether its record has a stop. */
int signals_open(void);

/* Gives this process the signals that a program expects: all at default, none blocked. */
void signals_reset_for_program(void);

/* Writes the name of a signal, `SIGKILL` for 9; a real-time signal has none (signal(7)). */
enum { SIGNAL_NAME = 24 };
void signals_name(int number, char name[SIGNAL_NAME]);

#endif
