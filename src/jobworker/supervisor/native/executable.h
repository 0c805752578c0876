/* The file to execute: by its name or, where it was checked, by a descriptor of that very file.
 *
 * Between the server's check and the exec a name may come to mean another file. So the file is
 * opened once, compared with the one that was checked, and executed by its descriptor. */

#ifndef EXECUTABLE_H
#define EXECUTABLE_H

#include "failure.h"

/* The descriptor of its own file for a program that opens it: the first free number. */
enum { KEPT = 3 };

struct executable {
	const char *path;
	int file; /* NOTHING where any file of the name will do. */
	char by_descriptor[32];
};

/* Finds the file for `program`, as the current user. `identity` is that of the file as it was
 * checked, `program` its canonical path then; NULL where any file will do. */
int executable_open(struct executable *executable, const char *program, const char *identity,
		    struct failure *failure);

#endif
