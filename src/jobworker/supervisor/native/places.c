#include "places.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static unsigned limit_of(const char *name)
{
	if (strcmp(name, "memory") == 0)
		return LIMIT_MEMORY;
	if (strcmp(name, "cpus") == 0)
		return LIMIT_CPUS;
	return strcmp(name, "pids") == 0 ? LIMIT_PIDS : 0;
}

static int refuse(void)
{
	errno = EINVAL;
	return -1;
}

/* Ends the word at its first colon; returns what follows, or NULL. */
static char *split(char *word)
{
	char *colon = strchr(word, ':');

	if (!colon)
		return NULL;
	*colon = '\0';
	return colon + 1;
}

int places_add(struct places *places, char *word)
{
	char *version = split(word);
	char *path = version ? split(version) : NULL;
	unsigned limit = limit_of(word);

	if (!path || !limit)
		return refuse();
	for (int i = 0; i < places->count; i++) {
		if (strcmp(places->all[i].path, path) == 0) {
			places->all[i].limits |= limit;
			return 0;
		}
	}
	if (places->count == PLACES_MOST)
		return refuse();
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return errno == ENOENT ? 0 : -1;
	places->all[places->count++] = (struct place){
		.version = *version == '1' ? 1 : 2,
		.limits = limit,
		.directory = directory,
		.path = path,
	};
	return 0;
}

int places_limit(struct places *places, char *word)
{
	const char *value = split(word);

	if (!value)
		return refuse();
	switch (limit_of(word)) {
	case LIMIT_MEMORY:
		places->memory = value;
		return 0;
	case LIMIT_CPUS:
		places->cpus = value;
		return 0;
	case LIMIT_PIDS:
		places->pids = value;
		return 0;
	default:
		return refuse();
	}
}
