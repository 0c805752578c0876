#include "scratch.h"

#include "removal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Seconds that a supervisor takes at most for each directory: a few million files. Nobody waits
 * for it, as the end has been told. */
static const double REMOVAL = 60.0;

void scratch_name(const char *job, char name[SCRATCH_NAME])
{
	snprintf(name, SCRATCH_NAME, "jobd-%s", job);
}

static int make(const struct site *site, int parent, const char *name, const struct order *order)
{
	if (mkdirat(parent, name, 0700) < 0)
		return -1;
	int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (directory < 0)
		return -1;
	if (has_own_uid(site) && fchown(directory, order->uid, order->gid) < 0) {
		int error = errno;
		close(directory);
		errno = error;
		return -1;
	}
	return directory;
}

static int make_in_machine(const struct site *site, const char *job, const struct order *order,
			   struct failure *failure)
{
	char name[SCRATCH_NAME];
	int machine = open(MACHINE_TMP, O_PATH | O_DIRECTORY | O_CLOEXEC);

	scratch_name(job, name);
	int tmp = machine < 0 ? -1 : make(site, machine, name, order);
	if (tmp < 0)
		fail_about(failure, "setup", machine < 0 ? MACHINE_TMP : name);
	if (machine >= 0)
		close(machine);
	return tmp;
}

int scratch_make(const struct site *site, int spool, const char *job, const struct order *order,
		 struct failure *failure)
{
	char name[SCRATCH_NAME];

	if (!has_own_namespaces(site))
		return make_in_machine(site, job, order, failure);
	if (site->shm != NOTHING) {
		scratch_name(job, name);
		int shm = make(site, site->shm, name, order);
		if (shm < 0)
			return fail_about(failure, "setup", name);
		close(shm);
	}
	int tmp = make(site, spool, TMP, order);
	return tmp < 0 ? fail_about(failure, "setup", TMP) : tmp;
}

/* A bare root may lack one of the machine's directories. */
static int remove_from(const char *path, const char *name)
{
	int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (parent < 0)
		return errno == ENOENT ? 0 : -1;
	int result = removal_of(name, parent, REMOVAL);
	close(parent);
	return result;
}

int scratch_remove(const struct site *site, const char *job)
{
	char name[SCRATCH_NAME];
	char tmp[SCRATCH_NAME + sizeof "/" TMP];

	scratch_name(job, name);
	if (!has_own_namespaces(site)) {
		int shm = remove_from(MACHINE_SHM, name);
		return remove_from(MACHINE_TMP, name) < 0 ? -1 : shm;
	}
	/* Shared memory first, as it is memory. */
	int shm = site->shm == NOTHING ? 0 : removal_of(name, site->shm, REMOVAL);
	snprintf(tmp, sizeof tmp, "%s/" TMP, job);
	return removal_of(tmp, site->spool, REMOVAL) < 0 ? -1 : shm;
}
