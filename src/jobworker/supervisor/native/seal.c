#include "seal.h"

#include "kernel.h"
#include "seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	/* The version (Linux 6.12) from which a domain keeps signals and abstract sockets in. */
	LANDLOCK_SCOPES = 6,
	/* The version (Linux 5.19) from which a domain need not change what a job can do with
	 * files. With the first, no file could be moved from one directory to another. */
	LANDLOCK_DOMAINS = 2,

	SCOPE_ABSTRACT_UNIX_SOCKET = 1,
	SCOPE_SIGNAL = 2,
	ACCESS_REFER = 1 << 13,

	LAST_CAPABILITY = 63,
};

/* Rules that deny nothing: the one right that a domain must handle is given everywhere. */
static int rules_that_deny_nothing(void)
{
	const uint64_t handled = ACCESS_REFER;
	int rules = kernel_landlock_rules(&handled, sizeof handled);
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (rules < 0 || root < 0 || kernel_landlock_allow(rules, ACCESS_REFER, root) < 0)
		return -1;
	close(root);
	return rules;
}

int seal_rules(enum level level, int version, int *rules)
{
	const uint64_t handled[3] = {0, 0, SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL};

	*rules = NOTHING;
	if (level == LEVEL_BASIC)
		return 0;
	if (version >= LANDLOCK_SCOPES)
		*rules = kernel_landlock_rules(handled, sizeof handled);
	else if (version >= LANDLOCK_DOMAINS && level == LEVEL_UID)
		*rules = rules_that_deny_nothing();
	else
		return 0;
	return *rules < 0 ? -1 : 0;
}

int seal_open(struct site *site, bool io_uring, struct failure *failure)
{
	site->rules = NOTHING;
	if (site->level == LEVEL_BASIC)
		return 0;
	site->filter = seccomp_filter(io_uring);
	site->sealed = true;
	if (seal_rules(site->level, kernel_landlock_version(), &site->rules) < 0)
		return fail(failure, "landlock");
	return 0;
}

int seal(const struct site *site)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	if (site->rules != NOTHING && kernel_landlock_enter(site->rules) < 0)
		return -1;
	return site->sealed ? kernel_install_filter(&site->filter) : 0;
}

int seal_bounding_set(void)
{
	for (unsigned long capability = 0; capability <= LAST_CAPABILITY; capability++) {
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
			continue;
		return errno == EINVAL && capability > 0 ? 0 : -1; /* Past the kernel's last one. */
	}
	return 0;
}
