#include "commons.h"

#include "small_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static int open_files(struct commons *commons, int version, const char *path)
{
	const char *events = version == 2 ? "memory.events" : "memory.oom_control";
	/* The limit is that of the directory above, which also has the jobs under limits. */
	const char *usage = version == 2 ? "../memory.current" : "../memory.usage_in_bytes";
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (directory < 0)
		return -1;
	commons->events = openat(directory, events, O_RDONLY | O_CLOEXEC);
	commons->usage = openat(directory, usage, O_RDONLY | O_CLOEXEC);
	int entered = small_file_write(directory, "cgroup.procs", "0");
	close(directory);
	return commons->events < 0 || commons->usage < 0 ? -1 : entered;
}

void commons_open(struct commons *commons, char *word)
{
	char *limit = strchr(word, ':');
	char *path = limit ? strchr(limit + 1, ':') : NULL;

	if (!path)
		return;
	*limit++ = '\0';
	*path++ = '\0';
	commons->limit_text = limit;
	commons->there = number_of(limit, &commons->limit) &&
			 open_files(commons, *word == '1' ? 1 : 2, path) == 0;
}

static bool read_again(int file, char *text, size_t size)
{
	ssize_t length = pread(file, text, size - 1, 0);

	text[length < 0 ? 0 : length] = '\0';
	return length > 0;
}

bool commons_kills(const struct commons *commons, uint64_t *kills)
{
	char text[1024];

	if (!read_again(commons->events, text, sizeof text))
		return false;
	*kills = small_file_number(text, "oom_kill");
	return true;
}

bool commons_is_tight(const struct commons *commons)
{
	char text[64];
	uint64_t usage;

	if (!read_again(commons->usage, text, sizeof text))
		return false;
	text[strcspn(text, "\n")] = '\0';
	return number_of(text, &usage) && usage > commons->limit / 8 * 7;
}

void commons_evidence(const struct commons *commons, uint64_t kills, struct fields *fields)
{
	fields_add(fields, "evidence.memoryLimitOfAll", commons->limit_text);
	fields_print(fields, "evidence.oomKillsOfAll", "%" PRIu64, kills);
}
