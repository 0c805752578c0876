/* What the tests see of the code under test: everything comes back as fields, so that no layout
 * but theirs is known outside. */

#ifndef VIEWS_H
#define VIEWS_H

#include "ending.h"
#include "fields.h"
#include "order.h"
#include "record.h"

#include <stddef.h>
#include <sys/types.h>

/* What becomes of the next calls that make a file or write: a character for each. */
enum { FATE_NONE = '-', FATE_OPEN = 'o', FATE_ERROR = 'e', FATE_PART = 'p' };

void disk_schedule(const char *fates);

/* The bytes that a structure takes, 0 for one that is not known. */
size_t view_size(const char *structure);

/* Adds each field that `size` bytes hold whole, as the code under test reads it. */
void view_fields(const char *data, size_t size, struct fields *fields);

/* Adds the fields of the last whole section of a name: 1 with one, 0 without, -1 on failure. */
int view_section(int directory, const char *name, struct fields *fields);
int view_has_others(int directory, const char *name);

/* Adds all that was read of an order, or why it was refused. */
int view_order(int directory, uid_t uid, struct fields *fields);
void view_order_fields(const struct order *order, struct fields *fields);

/* The same, with a section as bytes. */
int view_stop(struct ending *ending, double now, const char *section, size_t size);
void view_move_deadline(struct ending *ending, const char *section, size_t size);
/* Adds the cause, if there is one, and its evidence. */
void view_ending(const struct ending *ending, struct fields *fields);

/* Adds the mounts of a table. */
int view_mounts(const char *text, struct fields *fields);

/* Adds what is to be covered by a table of mounts in an open file. */
int view_covers(int mountinfo, const char *state, const char **hidden, int count,
		struct fields *fields);

/* Makes the cgroup of an order in a place of that kind, with a ceiling or without; adds what is
 * known of it. Removes it unless it is `kept`. */
int view_cgroup(const char *place, const char *ceiling, int directory, const char *name,
		bool kept, struct fields *fields);

#endif
