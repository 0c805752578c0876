#include "contain.h"

#include "kernel.h"
#include "record.h"
#include "scratch.h"
#include "small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Most attempts to mount a file. One that is replaced between the look for it and its mount is
 * ENOENT, as it has no name any more; by then there is another one of that name. */
enum { TRIES = 100 };

int contain_flags(const struct site *site, bool offline, unsigned long *flags)
{
	*flags = has_own_namespaces(site) ? CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC : 0;
	if (site->level == LEVEL_NAMESPACES)
		*flags |= CLONE_NEWUSER;
	if (!offline)
		return 0;
	*flags |= CLONE_NEWNET;
	if (has_own_namespaces(site))
		return 0;
	errno = EPERM; /* There are no network namespaces at this level. */
	return -1;
}

static int write_own(const char *path, const char *text, struct failure *failure)
{
	return small_file_write(AT_FDCWD, path, text) < 0 ? fail_about(failure, "setup", path) : 0;
}

/* An unprivileged process may map only itself, and its group only with setgroups(2) denied
 * (user_namespaces(7)). A limit of 0 then keeps the job from making user namespaces of its own,
 * in which it would have every capability. */
int contain_map_own_user(const struct site *site, struct failure *failure)
{
	char user[64];
	char group[64];

	snprintf(user, sizeof user, "%u %u 1", site->uid, site->uid);
	snprintf(group, sizeof group, "%u %u 1", site->gid, site->gid);
	if (write_own("/proc/self/setgroups", "deny", failure) < 0 ||
	    write_own("/proc/self/uid_map", user, failure) < 0 ||
	    write_own("/proc/self/gid_map", group, failure) < 0)
		return -1;
	return write_own("/proc/sys/user/max_user_namespaces", "0", failure);
}

static int bind(const char *directory, const char *target, struct failure *failure)
{
	if (mount(directory, target, NULL, MS_BIND, NULL) < 0)
		return fail_about(failure, "setup", target);
	return 0;
}

/* Covers what the paths lead to, where it is the account's. Its jobs may write there, and must not
 * have something of the machine's covered for the next one by a link to it. */
static int cover_in_home(const struct order *order, struct failure *failure)
{
	struct stat status;
	char path[32];
	int result = 0;

	for (size_t i = 0; result == 0 && i < order->hidden_count; i++) {
		int place = open(order->hidden[i], O_PATH | O_CLOEXEC);
		if (place < 0 && mounts_is_unreachable(errno))
			continue; /* Nothing that the job could open. */
		if (place < 0 || fstat(place, &status) < 0)
			return fail_about(failure, "setup", order->hidden[i]);
		snprintf(path, sizeof path, "/proc/self/fd/%d", place);
		if (status.st_uid == order->uid)
			result = walls_cover(path, failure);
		close(place);
	}
	return result;
}

/* Puts a file in which the job's user has a name over the machine's, for this mount namespace.
 *
 * The server makes them, the machine's with a line more, once for each user and not for each
 * job. */
static int put_in_place(const char *account, const char *name, const char *target,
			struct failure *failure)
{
	char source[PATH_MAX];

	snprintf(source, sizeof source, ACCOUNTS "/%s/%s", account, name);
	for (int i = 0; i < TRIES; i++) {
		if (mount(source, target, NULL, MS_BIND, NULL) == 0)
			return 0;
		if (errno != ENOENT)
			break;
	}
	return fail_about(failure, "setup", target);
}

int contain_put_account_in_place(const char *account, struct failure *failure)
{
	if (put_in_place(account, "passwd", "/etc/passwd", failure) < 0)
		return -1;
	return put_in_place(account, "group", "/etc/group", failure);
}

/* With the server's own UID the job could write whatever the server can, so at level `namespaces`
 * all but its own is read-only. */
static int make_read_only(const struct site *site, struct failure *failure)
{
	if (kernel_make_read_only("/") < 0)
		return fail_about(failure, "setup", "/");
	if (kernel_make_writable(MACHINE_TMP) < 0)
		return fail_about(failure, "setup", MACHINE_TMP);
	if (site->shm != NOTHING && kernel_make_writable(MACHINE_SHM) < 0)
		return fail_about(failure, "setup", MACHINE_SHM);
	return 0;
}

static int bind_scratch(const struct site *site, const char *job, struct failure *failure)
{
	char name[SCRATCH_NAME];
	char directory[2 * SCRATCH_NAME];

	snprintf(directory, sizeof directory, SPOOL "/%s/" TMP, job);
	if (bind(directory, MACHINE_TMP, failure) < 0)
		return -1;
	if (site->shm == NOTHING)
		return 0;
	scratch_name(job, name);
	snprintf(directory, sizeof directory, MACHINE_SHM "/%s", name);
	return bind(directory, MACHINE_SHM, failure);
}

int contain_enter(const struct site *site, const struct walls *walls, const char *job,
		  const struct order *order, struct failure *failure)
{
	if (walls_lay_in_job(walls, site, failure) < 0 || cover_in_home(order, failure) < 0)
		return -1;
	if (order->account && contain_put_account_in_place(order->account, failure) < 0)
		return -1;
	if (bind_scratch(site, job, failure) < 0)
		return -1;
	if (site->level == LEVEL_NAMESPACES && make_read_only(site, failure) < 0)
		return -1;
	return walls_mount_instances(failure);
}
