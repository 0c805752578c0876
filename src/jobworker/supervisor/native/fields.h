/* Lists of `key=value` fields, each ended by a NUL: what a record and a message consist of. */

#ifndef FIELDS_H
#define FIELDS_H

#include <stdbool.h>
#include <stddef.h>

/* Fields to write, in memory of a fixed size. A field that does not fit is left out whole. */
struct fields {
	char *data;
	size_t size;
	size_t most;
};

/* Fields that are written into an array. */
#define FIELDS_IN(array) {.data = (array), .size = 0, .most = sizeof(array)}

void fields_add(struct fields *fields, const char *key, const char *value);
void fields_print(struct fields *fields, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void fields_copy(struct fields *fields, const struct fields *from);

/* Fields that were read: whole ones, from `at` to `end`. */
struct span {
	const char *at;
	const char *end;
};

/* A field that was read: its key, without an end of its own, and its value. */
struct field {
	const char *key;
	size_t length;
	const char *value;
};

/* Takes the next field; false where there is none. What has no `=` is left out, and so is a
 * torn one at the end. */
bool fields_next(struct span *span, struct field *field);
bool field_is(const struct field *field, const char *key);

/* The value of the last field with a key; NULL without one. */
const char *fields_value(struct span span, const char *key);

#endif
