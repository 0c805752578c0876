/* The reasons why a program was not executed. */

#ifndef FAILURE_H
#define FAILURE_H

#include "fields.h"

/* What exec's errno does not tell apart. */
enum kind {
	KIND_OTHER,
	KIND_MISSING,
	KIND_DIRECTORY,
	KIND_INTERPRETER,
	KIND_CARRIAGE_RETURN,
	KIND_LOADER,
	KIND_DENIED,
	KIND_PROCESSES, /* of its user, too many */
};

/* The step that failed, `setup (/proc)` say, and its errno. */
struct failure {
	int error;
	enum kind kind;
	char stage[256];
};

/* The stage at which a program is not executed for want of memory under its own limit. */
#define STAGE_MEMORY "memory limit"

/* Each notes a failure and returns -1, as what fails does: by errno, by errno with what it was
 * about, and by an error of our own. */
int fail(struct failure *failure, const char *stage);
int fail_about(struct failure *failure, const char *stage, const char *about);
int fail_as(struct failure *failure, const char *stage, int error);

/* Notes that exec has failed by errno, and what that leaves open, as the job's user sees it. */
int fail_exec(struct failure *failure, const char *program);

/* Adds the account of a failure to the fields of a record or a message. */
void failure_fields(struct fields *fields, const struct failure *failure);

#endif
