#include "supervisors.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { FEWEST = 256 };

static int make_room(struct supervisors *supervisors)
{
	size_t old = supervisors->room * sizeof *supervisors->all;
	size_t room = supervisors->room ? 2 * supervisors->room : FEWEST;
	size_t size = room * sizeof *supervisors->all;

	void *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (all == MAP_FAILED)
		return -1;
	if (madvise(all, size, MADV_DONTFORK) < 0) {
		munmap(all, size);
		return -1;
	}
	if (old) {
		memcpy(all, supervisors->all, old);
		munmap(supervisors->all, old);
	}
	supervisors->all = all;
	supervisors->room = room;
	return 0;
}

static struct supervisor_entry *find(const struct supervisors *supervisors, pid_t pid)
{
	for (size_t i = 0; i < supervisors->room; i++)
		if (supervisors->all[i].pid == pid)
			return &supervisors->all[i];
	return NULL;
}

struct supervisor_entry *supervisors_place(struct supervisors *supervisors)
{
	if (supervisors->count == supervisors->room && make_room(supervisors) < 0)
		return NULL;
	return find(supervisors, 0);
}

void supervisors_add(struct supervisors *supervisors, struct supervisor_entry *place, pid_t pid,
		     const char *job)
{
	place->pid = pid;
	snprintf(place->job, sizeof place->job, "%s", job);
	supervisors->count++;
}

bool supervisors_take_out(struct supervisors *supervisors, pid_t pid, char job[JOB_ID])
{
	struct supervisor_entry *entry = find(supervisors, pid);

	if (!entry)
		return false;
	memcpy(job, entry->job, JOB_ID);
	entry->pid = 0;
	supervisors->count--;
	return true;
}

int supervisors_list(const struct supervisors *supervisors, struct pids *pids)
{
	for (size_t i = 0; i < supervisors->room; i++)
		if (supervisors->all[i].pid && pids_add(pids, supervisors->all[i].pid) < 0)
			return -1;
	return 0;
}
