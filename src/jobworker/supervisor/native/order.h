/* A program to execute: its arguments, directory, user and limits, as the server has asked for. */

#ifndef ORDER_H
#define ORDER_H

#include "failure.h"
#include "record.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What a text names lies in the record that the order was read from, and all lists in memory of
 * the order's own, until `order_release`. What is absent is NULL. */
struct order {
	struct record record;
	void *memory;
	size_t memory_size;

	char **argv;
	char **envp;
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t group_count;
	const char *cwd;
	const char *account;	/* The directory of the files in which the user has a name. */
	const char *executable; /* The identity of the file, where only that may be executed. */
	const char **hidden;	/* What it must not see of its account's home directory. */
	size_t hidden_count;

	const char *input; /* One of INPUT_ below. */
	unsigned short rows;
	unsigned short cols;

	bool is_timed;
	double timeout; /* Seconds. */
	double grace;
	bool has_output_limit;
	bool kill_over_output;
	uint64_t output; /* Bytes. */
	uint64_t tmp;	 /* Bytes; 0 without a limit. */
	const char *memory_limit;
	const char *cpus;
	const char *pids;
	const char *open_files;
	const char *nice;

	char *stack; /* The upper end of memory that is the stack of a program until its exec. */
};

/* The inputs: a whole file, a pipe, or a pipe to a terminal. */
#define INPUT_GIVEN "given"
#define INPUT_FED "fed"
#define INPUT_TERMINAL "terminal"

/* Reads the order from a job's record. */
int order_read(struct order *order, int spool, uid_t uid, struct failure *failure);

/* Gives its memory back; what it names is gone, and its numbers stay. */
void order_release(struct order *order);

/* Whether any limit is to be set before the program is executed. */
bool order_has_limits(const struct order *order);

#endif
