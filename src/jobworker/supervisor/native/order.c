#include "order.h"

#include "small_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The stack of a program until its exec. */
enum { STACK = 128 << 10 };

/* The number of fields of each kind that is a list. */
struct counts {
	size_t arguments;
	size_t environment;
	size_t groups;
	size_t hidden;
};

static struct counts count(struct span spec)
{
	struct counts counts = {0};
	struct field field;

	while (fields_next(&spec, &field)) {
		counts.arguments += field_is(&field, "arg");
		counts.environment += field_is(&field, "env");
		counts.groups += field_is(&field, "group");
		counts.hidden += field_is(&field, "hide");
	}
	return counts;
}

/* One piece of memory, given back when the program is executed: it is ours for as long as the job
 * runs otherwise. */
static int make_lists(struct order *order, const struct counts *counts)
{
	size_t pointers = counts->arguments + counts->environment + counts->hidden + 2;
	size_t size = STACK + pointers * sizeof(char *) + counts->groups * sizeof(gid_t);
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -1;
	order->memory = memory;
	order->memory_size = size;
	order->stack = memory + STACK;
	order->argv = (char **)(void *)order->stack;
	order->envp = order->argv + counts->arguments + 1;
	order->hidden = (const char **)(void *)(order->envp + counts->environment + 1);
	order->groups = (gid_t *)(void *)(order->hidden + counts->hidden);
	return 0;
}

static bool is_text(struct order *order, const struct field *field)
{
	const struct {
		const char *key;
		const char **place;
	} texts[] = {
		{"cwd", &order->cwd},		{"account", &order->account},
		{"executable", &order->executable}, {"stdin", &order->input},
		{"memory", &order->memory_limit}, {"cpus", &order->cpus},
		{"pids", &order->pids},		{"openFiles", &order->open_files},
		{"nice", &order->nice},
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (field_is(field, texts[i].key)) {
			*texts[i].place = field->value;
			return true;
		}
	}
	return false;
}

static bool take_seconds(const char *value, double *seconds)
{
	char *end;

	*seconds = strtod(value, &end);
	return end != value && !*end && *seconds >= 0; /* So it is no NaN. */
}

static bool take_number(const char *value, uint64_t most, uint64_t *number)
{
	return number_of(value, number) && *number <= most;
}

static bool take_window(const char *value, unsigned short *cells)
{
	uint64_t number = 0;
	bool is_number = take_number(value, UINT16_MAX, &number);

	*cells = (unsigned short)number;
	return is_number;
}

static bool take_group(const char *value, gid_t *group)
{
	uint64_t number = 0;
	bool is_number = take_number(value, UINT32_MAX - 1, &number);

	*group = (gid_t)number;
	return is_number;
}

/* Takes a field that is no text; false where it is to be a number, and is none. */
static bool take_other(struct order *order, const struct field *field, struct counts *counts)
{
	const char *value = field->value;

	if (field_is(field, "group"))
		return take_group(value, &order->groups[counts->groups++]);
	if (field_is(field, "gid"))
		return take_group(value, &order->gid);
	if (field_is(field, "timeout"))
		return order->is_timed = take_seconds(value, &order->timeout);
	if (field_is(field, "grace"))
		return take_seconds(value, &order->grace);
	if (field_is(field, "output"))
		return order->has_output_limit = take_number(value, INT64_MAX, &order->output);
	if (field_is(field, "tmp"))
		return take_number(value, INT64_MAX, &order->tmp);
	if (field_is(field, "rows"))
		return take_window(value, &order->rows);
	if (field_is(field, "cols"))
		return take_window(value, &order->cols);
	if (field_is(field, "outputAction"))
		order->kill_over_output = strcmp(value, "kill") == 0;
	return true;
}

static bool take_field(struct order *order, const struct field *field, struct counts *counts)
{
	char *value = (char *)(uintptr_t)field->value; /* exec's lists are not of constants. */

	if (field_is(field, "arg"))
		order->argv[counts->arguments++] = value;
	else if (field_is(field, "env"))
		order->envp[counts->environment++] = value;
	else if (field_is(field, "hide"))
		order->hidden[counts->hidden++] = value;
	else if (!is_text(order, field))
		return take_other(order, field, counts);
	return true;
}

static int parse(struct order *order, struct span spec, struct failure *failure)
{
	struct counts counts = count(spec);
	struct field field;

	if (counts.arguments == 0)
		return fail_as(failure, "setup (the order names no program)", EINVAL);
	if (make_lists(order, &counts) < 0)
		return fail(failure, "setup");
	counts = (struct counts){0};
	while (fields_next(&spec, &field))
		if (!take_field(order, &field, &counts))
			return fail_as(failure, "setup (the order has a number that is none)", EINVAL);
	order->group_count = counts.groups;
	order->hidden_count = counts.hidden;
	return 0;
}

int order_read(struct order *order, int spool, uid_t uid, struct failure *failure)
{
	struct span spec;

	*order = (struct order){.uid = uid, .gid = uid};
	if (record_read(spool, RECORD, &order->record) < 0)
		return fail_about(failure, "setup", RECORD);
	if (!record_section(&order->record, SECTION_SPEC, &spec)) {
		order_release(order);
		return fail_as(failure, "setup (the record has no order)", EIO);
	}
	if (parse(order, spec, failure) < 0) {
		order_release(order);
		return -1;
	}
	return 0;
}

void order_release(struct order *order)
{
	record_release(&order->record);
	if (order->memory)
		munmap(order->memory, order->memory_size);
	order->memory = NULL;
}

bool order_has_limits(const struct order *order)
{
	return order->memory_limit || order->cpus || order->pids || order->open_files ||
	       order->nice;
}
