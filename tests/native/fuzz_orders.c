/* What comes to the spawner from the server: its own function takes it, and a job goes no further
 * than to its name. */

#include "supervise.h"

#include <stdint.h>

int spawner_main(int count, char **arguments);
int taken_job(struct job *job, const struct site *site, struct walls *walls, const char *id,
	      uid_t uid, struct failure *failure);
void told_server(const struct site *site, const char *event, const char *job,
		 const struct fields *fields);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define main spawner_main
#define job_take taken_job
#define tell told_server
#include "spawner.c"
#undef main

int taken_job(struct job *job, const struct site *site, struct walls *walls, const char *id,
	      uid_t uid, struct failure *failure)
{
	(void)job, (void)site, (void)walls;
	/* A name in the spool, and never a path. */
	if (!*id || strchr(id, '/') || *id == '.' || strlen(id) >= JOB_ID || uid == UINT32_MAX)
		abort();
	return fail_as(failure, id, EPERM);
}

void told_server(const struct site *site, const char *event, const char *job,
		 const struct fields *fields)
{
	struct span all = {0};
	struct field field;

	(void)site;
	if (fields)
		all = (struct span){fields->data, fields->data + fields->size};
	if (!*event || strlen(job) >= JOB_ID)
		abort();
	while (fields_next(&all, &field))
		if (!field.length)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct spawner spawner;
	char order[MOST_ORDER];

	if (size > sizeof order)
		size = sizeof order;
	memcpy(order, data, size);
	take_order(&spawner, (struct span){order, order + size});
	return 0;
}
