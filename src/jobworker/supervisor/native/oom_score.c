#include "oom_score.h"

#include "site.h"
#include "small_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OWN "self/oom_score_adj"

/* In thousandths of all memory: more than a supervisor holds. */
enum { STEP = 50 };

int oom_score_open(struct oom_scores *scores, int wanted, int proc)
{
	char text[32];

	if (small_file_read(proc, OWN, text, sizeof text) < 0)
		return -1;
	scores->own = atoi(text);
	scores->job = wanted > scores->own ? wanted : scores->own;
	scores->differ = scores->job != scores->own;
	return 0;
}

static int write_score(int descriptor, int score)
{
	char text[16];
	int length = snprintf(text, sizeof text, "%d", score);

	return write(descriptor, text, (size_t)length) < 0 ? -1 : 0;
}

int oom_score_take(const struct oom_scores *scores, int proc, bool tight)
{
	if (!scores->differ)
		return NOTHING;
	int score = scores->job;
	if (tight)
		score = score - STEP > scores->own ? score - STEP : scores->own;
	int descriptor = openat(proc, OWN, O_WRONLY | O_CLOEXEC);
	if (descriptor < 0 || write_score(descriptor, score) < 0)
		return -2;
	return descriptor;
}

void oom_score_give_back(const struct oom_scores *scores, int descriptor)
{
	if (descriptor == NOTHING)
		return;
	/* If it fails, the supervisor is as likely as its job. */
	write_score(descriptor, scores->own);
	close(descriptor);
}

void oom_score_raise(const struct oom_scores *scores, int proc, pid_t machine_pid)
{
	char name[64];

	if (!scores->differ)
		return;
	snprintf(name, sizeof name, "%d/oom_score_adj", machine_pid);
	int descriptor = openat(proc, name, O_WRONLY | O_CLOEXEC);
	if (descriptor < 0)
		return; /* It has ended. */
	write_score(descriptor, scores->job);
	close(descriptor);
}
