/* A job's record: the order that a supervisor takes from it, and every section that may be there. */

#include "views.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each section is within the record, and its fields are within the section. */
static void look_for(const struct record *record, const char *name)
{
	struct span section;
	struct field field;

	record_has_others(record, name);
	if (!record_section(record, name, &section))
		return;
	while (fields_next(&section, &field))
		if (field.key < record->text || field.value > record->text + record->size)
			abort();
}

/* Ends a job by what its record says, as attend.c does. */
static void end_by(const struct record *record)
{
	static char told[1 << 16];
	struct fields fields = FIELDS_IN(told);
	struct ending ending = {0};
	struct span section;
	double at;

	ending_init(&ending);
	ending_limit_time(&ending, 1, 2, 3);
	if (record_section(record, SECTION_DEADLINE, &section))
		ending_move_deadline(&ending, section);
	if (record_section(record, SECTION_STOP, &section))
		ending_stop(&ending, 1, section);
	if (ending_due_at(&ending, &at))
		ending_due(&ending, at);
	view_ending(&ending, &fields);
	if (!ending.cause && at > 0 && ending.timeout == ending.timeout)
		abort(); /* Its time is up. */
}

/* An order that was accepted names a program, and ends its lists. */
static void read_order(int directory)
{
	static char told[1 << 16];
	struct fields fields = FIELDS_IN(told);
	struct failure failure;
	struct order order;

	if (order_read(&order, directory, 1000, &failure) < 0)
		return;
	view_order_fields(&order, &fields);
	if (!order.argv[0] || order.gid == UINT32_MAX || order.timeout < 0 || order.grace < 0)
		abort();
	order_release(&order);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *const names[] = {SECTION_SPEC, SECTION_STOP, SECTION_DEADLINE, SECTION_EOF,
				     SECTION_VOID, SECTION_EXIT};
	struct record record;
	int directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int file = openat(directory, RECORD, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (file < 0 || write(file, data, size) != (ssize_t)size)
		abort();
	close(file);
	read_order(directory);
	if (record_read(directory, RECORD, &record) < 0)
		abort();
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		look_for(&record, names[i]);
	end_by(&record);
	record_release(&record);
	close(directory);
	return 0;
}
