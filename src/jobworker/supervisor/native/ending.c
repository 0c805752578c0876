#include "ending.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ending_init(struct ending *ending)
{
	ending->why = (struct fields)FIELDS_IN(ending->why_data);
}

void ending_limit_time(struct ending *ending, double now, double timeout, double grace)
{
	ending->is_timed = true;
	ending->began = now;
	ending->timeout = timeout;
	ending->grace = grace;
}

static double seconds_of(struct span section, const char *key)
{
	const char *value = fields_value(section, key);

	return value ? strtod(value, NULL) : 0;
}

void ending_move_deadline(struct ending *ending, struct span section)
{
	const char *by = fields_value(section, "extendedBy");

	if (!fields_value(section, "timeout"))
		return;
	ending->timeout = seconds_of(section, "timeout");
	snprintf(ending->extended_by, sizeof ending->extended_by, "%s", by ? by : "");
}

static enum action begin(struct ending *ending, double now, const char *cause, double grace)
{
	bool is_first = !ending->cause;
	double kill_at = now + grace;

	if (!is_first && (!ending->is_kill_due || kill_at >= ending->kill_at))
		return ACTION_NONE; /* It is killed already, or will be sooner. */
	if (is_first)
		ending->cause = cause;
	ending->is_kill_due = grace > 0;
	ending->kill_at = kill_at;
	if (grace <= 0)
		return ACTION_KILL;
	return is_first ? ACTION_ASK : ACTION_NONE;
}

enum action ending_stop(struct ending *ending, double now, struct span section)
{
	struct span rest = section;
	struct field field;
	char key[64];

	for (bool is_first = !ending->cause; is_first && fields_next(&rest, &field);) {
		snprintf(key, sizeof key, "evidence.%.*s", (int)field.length, field.key);
		fields_add(&ending->why, key, field.value);
	}
	return begin(ending, now, "stopped", seconds_of(section, "grace"));
}

enum action ending_now(struct ending *ending, const char *cause, const struct fields *why)
{
	if (!ending->cause)
		fields_copy(&ending->why, why);
	return begin(ending, 0, cause, 0);
}

bool ending_due_at(const struct ending *ending, double *at)
{
	if (!ending->cause && ending->is_timed) {
		*at = ending->began + ending->timeout;
		return true;
	}
	*at = ending->kill_at;
	return ending->is_kill_due;
}

enum action ending_due(struct ending *ending, double now)
{
	double at;

	if (!ending_due_at(ending, &at) || now < at)
		return ACTION_NONE;
	if (ending->cause) {
		ending->is_kill_due = false;
		return ACTION_KILL;
	}
	fields_print(&ending->why, "evidence.timeout", "%.3f", ending->timeout);
	fields_print(&ending->why, "evidence.grace", "%.3f", ending->grace);
	if (*ending->extended_by)
		fields_add(&ending->why, "evidence.extendedBy", ending->extended_by);
	return begin(ending, now, "timeout", ending->grace);
}
