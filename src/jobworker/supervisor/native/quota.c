#include "quota.h"

#include "kernel.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	/* The projects that are ours. Few, and used again and again: XFS keeps a record of each
	 * that ever was, 136 bytes (xfs_dqblk), which makes 9 MB of all of these. */
	FIRST = 0x6A6F0000,
	COUNT = 0x10000,
	/* Attempts: so many jobs would have to be at neighbouring numbers for it to fail. */
	TRIES = 1000,
	/* Bytes of the limit for each file. A file that holds anything takes as much, so that only
	 * a job that makes empty ones meets the limit of files first: a million of them would take
	 * no space that counts, and half a gigabyte of the disk. */
	FILE_BYTES = 4096,
	FEWEST_FILES = 1024,
	BLOCK = 1024,
	GET = 0x800007, /* Q_GETQUOTA and Q_SETQUOTA of quota.h. */
	SET = 0x800008,
	LIMITS = 5, /* QIF_LIMITS: the fields of a quota that are set. */
};

/* Gets or sets them; the C libraries differ in what an ioctl's number is. */
static int call_for_attributes(int directory, unsigned long call, struct fsxattr *attributes)
{
	return (int)syscall(SYS_ioctl, directory, call, attributes);
}

static int put_into(int directory, uint32_t project)
{
	struct fsxattr attributes;

	if (call_for_attributes(directory, FS_IOC_FSGETXATTR, &attributes) < 0)
		return -1;
	attributes.fsx_projid = project;
	attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	return call_for_attributes(directory, FS_IOC_FSSETXATTR, &attributes);
}

static int set_limits(int directory, uint32_t project, uint64_t bytes)
{
	uint64_t files = bytes / FILE_BYTES > FEWEST_FILES ? bytes / FILE_BYTES : FEWEST_FILES;
	struct if_dqblk quota = {
		.dqb_bhardlimit = (bytes + BLOCK - 1) / BLOCK,
		.dqb_ihardlimit = bytes ? files : 0,
		.dqb_valid = LIMITS,
	};

	return kernel_project_quota(SET, directory, project, &quota);
}

/* Whether a directory, which is in it by now, is all of an unlimited project. Returns -1 where it
 * cannot be told. */
static int is_alone(int directory, uint32_t project)
{
	struct if_dqblk quota = {0};

	if (kernel_project_quota(GET, directory, project, &quota) < 0 && errno != ENOENT)
		return -1; /* ENOENT: XFS has never heard of it. */
	return quota.dqb_bhardlimit == 0 && quota.dqb_ihardlimit == 0 && quota.dqb_curinodes == 1;
}

int quota_limit(int directory, uint64_t bytes, uint32_t seed)
{
	for (uint32_t number = 0; number < TRIES; number++) {
		uint32_t project = FIRST + (seed + number) % COUNT;
		if (put_into(directory, project) < 0)
			return -1;
		/* Ours is in by now: another that comes at the same time sees it, as we do its. */
		int alone = is_alone(directory, project);
		if (alone < 0)
			return -1;
		if (alone)
			return set_limits(directory, project, bytes);
	}
	errno = EAGAIN; /* No project of the file system is free. */
	return -1;
}

void quota_lift(int directory)
{
	struct fsxattr attributes;

	if (call_for_attributes(directory, FS_IOC_FSGETXATTR, &attributes) < 0)
		return;
	if (attributes.fsx_projid >= FIRST && attributes.fsx_projid < FIRST + COUNT)
		set_limits(directory, attributes.fsx_projid, 0);
}
