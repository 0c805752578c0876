#include "walls.h"

#include "kernel.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define CGROUPS "/sys/fs/cgroup"

/* The part of /proc by which the machine is changed, as the OCI's runtimes have it. */
static const char *const READ_ONLY[] = {
	"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs",
};

enum { READ_ONLY_COUNT = sizeof READ_ONLY / sizeof *READ_ONLY };

enum {
	NO_PROGRAMS = MS_NOSUID | MS_NOEXEC,
	HARDENED = NO_PROGRAMS | MS_NODEV,
	FREEZE = MS_REMOUNT | MS_BIND | MS_RDONLY | HARDENED,
};

/* Opens what it takes to come back, where this process may; that takes no more than a try.
 *
 * It takes CAP_SYS_CHROOT, and CAP_SYS_ADMIN in the user namespace by which the mount namespace was
 * made (setns(2)): the root of a container may have neither. */
static int enter_machine(const struct walls *walls)
{
	/* setns(2) moves the root as well, which a server may have another of. */
	if (setns(walls->machine, CLONE_NEWNS) < 0 || fchdir(walls->root) < 0 ||
	    chroot(".") < 0 || fchdir(walls->here) < 0)
		return -1;
	return 0;
}

int walls_open(struct walls *walls, const struct site *site, struct failure *failure)
{
	*walls = (struct walls){0};
	if (covers_open(&walls->covers) < 0)
		return fail(failure, "mounts");
	if (site->level != LEVEL_FULL)
		return 0;
	walls->machine = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	walls->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	walls->here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (walls->machine < 0 || walls->root < 0 || walls->here < 0)
		return fail(failure, "mount namespace");
	walls->are_shared = enter_machine(walls) == 0;
	if (!walls->are_shared && errno != EPERM && errno != EACCES)
		return fail(failure, "setns");
	return 0;
}

void walls_take_notice(struct walls *walls)
{
	covers_forget(&walls->covers);
	walls->stand = false;
	if (walls->are_shared)
		enter_machine(walls); /* Where that fails, no job starts before it has not. */
}

/* The job cannot write to the cover: it is root's or, at `namespaces`, read-only. From what is no
 * directory nothing can be read then, nor can anything connect to it. */
int walls_cover(const char *path, struct failure *failure)
{
	if (mount(EMPTY, path, NULL, MS_BIND, NULL) == 0)
		return 0;
	if (errno == ENOTDIR && mount("/dev/null", path, NULL, MS_BIND, NULL) == 0)
		return 0;
	return mounts_is_unreachable(errno) ? 0 : fail_about(failure, "setup", path);
}

/* Makes a mount read-only, unless another one lies over it, or it is gone. */
static int freeze(const char *point, struct failure *failure)
{
	if (mount(NULL, point, NULL, FREEZE, NULL) == 0 || mounts_is_unreachable(errno) ||
	    errno == EINVAL)
		return 0;
	return fail_about(failure, "setup", point);
}

static bool is_cgroup(const struct mount *mount)
{
	return strcmp(mount->kind, "cgroup") == 0 || strcmp(mount->kind, "cgroup2") == 0;
}

/* Whether the kernel can make a whole tree of mounts read-only. */
static bool can_freeze_trees(void)
{
	return kernel_make_read_only("") < 0 && errno == ENOENT;
}

/* Makes cgroups read-only wherever they are: an account may have some, such as those of its
 * logins, and end by them what a job cannot signal. */
static int freeze_cgroups(const struct mounts *mounts, struct failure *failure)
{
	size_t below = 0;

	for (size_t i = 0; i < mounts->count; i++)
		below += is_cgroup(&mounts->all[i]) &&
			 mounts_is_below(mounts->all[i].point, CGROUPS) &&
			 strcmp(mounts->all[i].point, CGROUPS) != 0;
	/* With v1 there are a dozen, for each of which a call is dear. */
	bool as_tree = below > 1 && can_freeze_trees();
	if (as_tree && kernel_make_read_only(CGROUPS) < 0)
		return fail_about(failure, "setup", CGROUPS);
	for (size_t i = 0; i < mounts->count; i++) {
		const struct mount *mount = &mounts->all[i];
		if (!is_cgroup(mount) || (as_tree && mounts_is_below(mount->point, CGROUPS)))
			continue;
		if (freeze(mount->point, failure) < 0)
			return -1;
	}
	return 0;
}

/* A slave lets go of what the machine unmounts, and what is mounted later over a covered place
 * comes to lie below the cover. It would not be read-only, though: so not at `namespaces`. */
static unsigned long propagation(const struct site *site)
{
	return MS_REC | (site->level == LEVEL_FULL ? MS_SLAVE : MS_PRIVATE);
}

static int lay(const struct walls *walls, const struct site *site, struct failure *failure)
{
	const struct paths *paths = &walls->covers.paths;

	if (mount("none", "/", NULL, propagation(site), NULL) < 0)
		return fail_about(failure, "setup", "/");
	/* First, where the path still leads to it: without the empty directory this fails. */
	if (mount(EMPTY, site->state, NULL, MS_BIND, NULL) < 0)
		return fail_about(failure, "setup", site->state);
	/* Each is tried: what is not there, or lies in a place that is covered, needs none. */
	for (size_t i = 0; i < paths->count; i++)
		if (walls_cover(paths->all[i], failure) < 0)
			return -1;
	/* At `namespaces` all is read-only. */
	return site->level == LEVEL_FULL ? freeze_cgroups(&walls->covers.mounts, failure) : 0;
}

int walls_build(struct walls *walls, const struct site *site, struct failure *failure)
{
	if (covers_look(&walls->covers, site) < 0)
		return fail_about(failure, "setup", "mountinfo");
	if (walls->are_shared) {
		if (enter_machine(walls) < 0 || unshare(CLONE_NEWNS) < 0)
			return fail_about(failure, "setup", "mount namespace");
		if (lay(walls, site, failure) < 0)
			return -1;
	}
	walls->stand = walls->covers.is_told;
	return 0;
}

int walls_lay_in_job(const struct walls *walls, const struct site *site, struct failure *failure)
{
	return walls->are_shared ? 0 : lay(walls, site, failure);
}

/* Mounts an instance of a file system, where the machine has one. */
static int mount_own(const char *kind, const char *point, unsigned long flags, const char *options,
		     struct failure *failure)
{
	if (mount(kind, point, kind, flags, options) < 0 && errno != ENOENT && errno != ENOTDIR)
		return fail_about(failure, "setup", point);
	return 0;
}

int walls_mount_instances(struct failure *failure)
{
	/* On the machine's devpts a job would find the terminals of its account, and could take all
	 * that there are. In its own it gets `max`, and never the last 1,024 of the machine, which
	 * are kept for the first mount namespace (pty_reserve of fs/devpts/inode.c). */
	if (mount_own("devpts", "/dev/pts", NO_PROGRAMS,
		      "newinstance,ptmxmode=0666,mode=0600,max=64", failure) < 0 ||
	    mount_own("mqueue", "/dev/mqueue", NO_PROGRAMS, NULL, failure) < 0)
		return -1;
	if (mount("proc", "/proc", "proc", HARDENED, NULL) < 0)
		return fail_about(failure, "setup", "/proc");
	for (int i = 0; i < READ_ONLY_COUNT; i++) {
		const char *path = READ_ONLY[i];
		if (mount(path, path, NULL, MS_BIND, NULL) < 0) {
			if (errno == ENOENT)
				continue; /* The kernel has no such part. */
			return fail_about(failure, "setup", path);
		}
		if (mount(NULL, path, NULL, FREEZE, NULL) < 0)
			return fail_about(failure, "setup", path);
	}
	return 0;
}
