#include "seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The columns of the tables: the conventions by which calls are made. */
enum convention { X86_64, I386, AARCH64, CONVENTIONS };

enum { NO_CALL = -1 };

/* What becomes of a call. */
enum verdict {
	ALLOW,
	REFUSE,	      /* EPERM. */
	UNKNOWN,      /* ENOSYS. */
	JUDGE_FLAGS,  /* EPERM with CLONE_NEWUSER among its flags, the first argument. */
	JUDGE_REQUEST /* EPERM where its second argument is one of ATTRIBUTES. */
};

struct call {
	enum verdict verdict;
	int numbers[CONVENTIONS]; /* Each from its unistd.h. */
};

static const struct call CALLS[] = {
	/* setns: into a namespace of somebody else. */
	{REFUSE, {308, 346, 268}},
	/* mount, umount, umount2, pivot_root, open_tree, move_mount, fsopen, fsconfig, fsmount,
	 * fspick, mount_setattr, open_tree_attr: change the file system that hides the server's
	 * files. */
	{REFUSE, {165, 21, 40}},
	{REFUSE, {NO_CALL, 22, NO_CALL}},
	{REFUSE, {166, 52, 39}},
	{REFUSE, {155, 217, 41}},
	{REFUSE, {428, 428, 428}},
	{REFUSE, {429, 429, 429}},
	{REFUSE, {430, 430, 430}},
	{REFUSE, {431, 431, 431}},
	{REFUSE, {432, 432, 432}},
	{REFUSE, {433, 433, 433}},
	{REFUSE, {442, 442, 442}},
	{REFUSE, {467, 467, 467}},
	/* init_module, delete_module, finit_module, kexec_load, kexec_file_load, reboot, swapon,
	 * swapoff: change the kernel, or the machine's state. */
	{REFUSE, {175, 128, 105}},
	{REFUSE, {176, 129, 106}},
	{REFUSE, {313, 350, 273}},
	{REFUSE, {246, 283, 104}},
	{REFUSE, {320, NO_CALL, 294}},
	{REFUSE, {169, 88, 142}},
	{REFUSE, {167, 87, 224}},
	{REFUSE, {168, 115, 225}},
	/* add_key, request_key, keyctl: keys belong to a user and to no namespace, and asking for
	 * one may start a program outside (request_key(2)). */
	{REFUSE, {248, 286, 217}},
	{REFUSE, {249, 287, 218}},
	{REFUSE, {250, 288, 219}},
	/* bpf: programs in the kernel; useless without a capability. */
	{REFUSE, {321, 357, 280}},
	/* file_setattr: as ioctl with one of ATTRIBUTES. */
	{REFUSE, {469, 469, 469}},
	/* clone, unshare: other namespaces need a capability, which only a user namespace would
	 * give. */
	{JUDGE_FLAGS, {56, 120, 220}},
	{JUDGE_FLAGS, {272, 310, 97}},
	/* ioctl */
	{JUDGE_REQUEST, {16, 54, 29}},
	/* clone3: its flags lie in memory, which no filter sees (seccomp(2)). On ENOSYS the C
	 * libraries fall back on clone(2) (glibc's spawni.c and clone-internal.c); Docker and
	 * systemd do the same. */
	{UNKNOWN, {435, 435, 435}},
};

/* io_uring_setup, io_uring_enter, io_uring_register: what goes through a ring no filter sees, and
 * many of the kernel's flaws of recent years were in there. Programs and libraries (libuv,
 * liburing's callers) know kernels without it, and take ENOSYS to mean such a one; EPERM some of
 * them report and end. */
static const struct call IO_URING[] = {
	{UNKNOWN, {425, 425, 425}},
	{UNKNOWN, {426, 426, 426}},
	{UNKNOWN, {427, 427, 427}},
};

/* FS_IOC_FSSETXATTR, FS_IOC_SETFLAGS and FS_IOC32_SETFLAGS of fs.h: an owner could take a file out
 * of its project, and so out of the limit of tmp. The kernel looks at the lower 32 bits, as we
 * do. */
static const uint32_t ATTRIBUTES[] = {0x401C5820, 0x40086602, 0x40046602};

enum {
	CALL_COUNT = sizeof CALLS / sizeof *CALLS,
	IO_URING_COUNT = sizeof IO_URING / sizeof *IO_URING,
	ATTRIBUTE_COUNT = sizeof ATTRIBUTES / sizeof *ATTRIBUTES,
	MOST_STARTS = 2 * (CALL_COUNT + IO_URING_COUNT) + 4,
	MOST_INSTRUCTIONS = 3 * MOST_STARTS + 32,
	/* The bit in the numbers of x86_64's third convention, hardly used and mostly not built
	 * in: its calls do not exist here. */
	X32 = 0x40000000,
	NEW_USER = 0x10000000, /* CLONE_NEWUSER */
};

/* The number of a call that a tracer has cancelled (ptrace(2)): it is never made. */
static const uint32_t SKIPPED = 0xFFFFFFFF;

/* Instructions from the last to the first, as jumps only lead forward (bpf(4)): the target of one
 * is in place already. An index counts from the end. */
struct program {
	struct sock_filter code[MOST_INSTRUCTIONS];
	int used;
};

static int put_whole(struct program *program, uint16_t code, uint32_t value, int yes, int no)
{
	program->used++;
	program->code[MOST_INSTRUCTIONS - program->used] =
		(struct sock_filter){code, (uint8_t)yes, (uint8_t)no, value};
	return program->used;
}

static int put(struct program *program, uint16_t code, uint32_t value)
{
	return put_whole(program, code, value, 0, 0);
}

/* Puts an instruction in front that goes on at the index `yes` or at `no`. */
static int put_jump(struct program *program, uint16_t code, uint32_t value, int yes, int no)
{
	return put_whole(program, code, value, program->used - yes, program->used - no);
}

/* From a number on, what becomes of calls. */
struct start {
	uint32_t number;
	enum verdict verdict;
};

static int by_number(const void *one, const void *other)
{
	const struct start *a = one;
	const struct start *b = other;

	return a->number < b->number ? -1 : a->number > b->number;
}

static int add_calls(struct start *starts, int count, const struct call *calls, int call_count,
		     enum convention column)
{
	for (int i = 0; i < call_count; i++)
		if (calls[i].numbers[column] != NO_CALL)
			starts[count++] = (struct start){(uint32_t)calls[i].numbers[column],
							 calls[i].verdict};
	return count;
}

/* The starts of all ranges of numbers, in order, without those that go on as before. */
static int ranges(struct start *ranges, enum convention column, bool io_uring)
{
	struct start calls[MOST_STARTS];
	int count = add_calls(calls, 0, CALLS, CALL_COUNT, column);
	int found = 0;
	uint32_t next = 0;

	if (!io_uring)
		count = add_calls(calls, count, IO_URING, IO_URING_COUNT, column);
	qsort(calls, (size_t)count, sizeof *calls, by_number);
	for (int i = 0; i < count; i++) {
		if (calls[i].number > next || found == 0)
			ranges[found++] = (struct start){next, ALLOW};
		if (ranges[found - 1].verdict != calls[i].verdict)
			ranges[found++] = calls[i];
		next = calls[i].number + 1;
	}
	ranges[found++] = (struct start){next, ALLOW};
	if (column == X86_64) {
		ranges[found++] = (struct start){X32, UNKNOWN};
		ranges[found++] = (struct start){SKIPPED, ALLOW};
	}
	return found;
}

/* Puts a search tree, as the kernel walks the filter for every number at its installation. */
static int put_tree(struct program *program, const struct start *starts, int count,
		    const int *targets)
{
	if (count == 1)
		return targets[starts->verdict];
	int middle = count / 2;
	int below = put_tree(program, starts, middle, targets);
	int above = put_tree(program, starts + middle, count - middle, targets);
	return put_jump(program, BPF_JMP | BPF_JGE | BPF_K, starts[middle].number, above, below);
}

static int put_return(struct program *program, uint32_t action)
{
	return put(program, BPF_RET | BPF_K, action);
}

static int put_load(struct program *program, size_t offset)
{
	return put(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static int put_search(struct program *program, enum convention column, bool io_uring)
{
	struct start starts[MOST_STARTS];
	int targets[JUDGE_REQUEST + 1];
	int count = ranges(starts, column, io_uring);

	int allow = targets[ALLOW] = put_return(program, SECCOMP_RET_ALLOW);
	int refuse = targets[REFUSE] = put_return(program, SECCOMP_RET_ERRNO | EPERM);
	targets[UNKNOWN] = put_return(program, SECCOMP_RET_ERRNO | ENOSYS);
	put_jump(program, BPF_JMP | BPF_JSET | BPF_K, NEW_USER, refuse, allow);
	/* Of arguments, the lower half: both machines are little-endian. */
	targets[JUDGE_FLAGS] = put_load(program, offsetof(struct seccomp_data, args[0]));
	int other = allow;
	for (int i = 0; i < ATTRIBUTE_COUNT; i++)
		other = put_jump(program, BPF_JMP | BPF_JEQ | BPF_K, ATTRIBUTES[i], refuse, other);
	targets[JUDGE_REQUEST] = put_load(program, offsetof(struct seccomp_data, args[1]));
	put_tree(program, starts, count, targets);
	return put_load(program, offsetof(struct seccomp_data, nr));
}

/* One search for each convention; a call by any other kills the process. */
struct sock_fprog seccomp_filter(bool io_uring)
{
	static struct program program;
	int other;

	program.used = 0;
	other = put_return(&program, SECCOMP_RET_KILL_PROCESS);
#if defined __x86_64__
	int search = put_search(&program, I386, io_uring);
	other = put_jump(&program, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, search, other);
	search = put_search(&program, X86_64, io_uring);
	put_jump(&program, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, search, other);
#elif defined __aarch64__
	/* The calls of 32-bit programs are not known. */
	int search = put_search(&program, AARCH64, io_uring);
	put_jump(&program, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_AARCH64, search, other);
#else
#error "the numbers of this machine's system calls are not known"
#endif
	put_load(&program, offsetof(struct seccomp_data, arch));
	return (struct sock_fprog){
		.len = (unsigned short)program.used,
		.filter = program.code + MOST_INSTRUCTIONS - program.used,
	};
}
