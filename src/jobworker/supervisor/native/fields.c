#include "fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void fields_add(struct fields *fields, const char *key, const char *value)
{
	fields_print(fields, key, "%s", value);
}

void fields_print(struct fields *fields, const char *key, const char *format, ...)
{
	size_t room = fields->most - fields->size;
	char *at = fields->data + fields->size;
	int length = snprintf(at, room, "%s=", key);

	if (length < 0 || (size_t)length >= room)
		return;
	va_list values;
	va_start(values, format);
	int value = vsnprintf(at + length, room - (size_t)length, format, values);
	va_end(values);
	if (value < 0 || (size_t)length + (size_t)value >= room)
		return;
	fields->size += (size_t)length + (size_t)value + 1;
}

void fields_copy(struct fields *fields, const struct fields *from)
{
	if (from->size > fields->most - fields->size)
		return;
	memcpy(fields->data + fields->size, from->data, from->size);
	fields->size += from->size;
}

bool fields_next(struct span *span, struct field *field)
{
	while (span->at < span->end) {
		const char *begin = span->at;
		const char *end = memchr(begin, '\0', (size_t)(span->end - begin));
		if (!end) {
			span->at = span->end;
			return false;
		}
		span->at = end + 1;
		const char *equals = memchr(begin, '=', (size_t)(end - begin));
		if (!equals)
			continue;
		*field = (struct field){begin, (size_t)(equals - begin), equals + 1};
		return true;
	}
	return false;
}

bool field_is(const struct field *field, const char *key)
{
	return strlen(key) == field->length && memcmp(field->key, key, field->length) == 0;
}

const char *fields_value(struct span span, const char *key)
{
	struct field field;
	const char *found = NULL;

	while (fields_next(&span, &field))
		if (field_is(&field, key))
			found = field.value;
	return found;
}
