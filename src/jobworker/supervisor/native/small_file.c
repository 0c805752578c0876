#include "small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

ssize_t small_file_read(int directory, const char *name, char *text, size_t size)
{
	int file = openat(directory, name, O_RDONLY | O_CLOEXEC);

	if (file < 0)
		return -1;
	ssize_t length = read(file, text, size - 1);
	int error = errno;
	close(file);
	errno = error;
	text[length < 0 ? 0 : length] = '\0';
	return length;
}

int small_file_write(int directory, const char *name, const char *text)
{
	int file = openat(directory, name, O_WRONLY | O_CLOEXEC);

	if (file < 0)
		return -1;
	ssize_t length = write(file, text, strlen(text));
	int error = errno;
	close(file);
	errno = error;
	return length < 0 ? -1 : 0;
}

uint64_t small_file_number(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (strncmp(line, name, length) != 0 || line[length] != ' ')
			continue;
		uint64_t number = 0;
		for (const char *digit = line + length + 1; *digit >= '0' && *digit <= '9'; digit++)
			number = number * 10 + (uint64_t)(*digit - '0');
		return number;
	}
	return 0;
}

bool number_of(const char *text, uint64_t *number)
{
	uint64_t found = 0;

	if (!text || !*text)
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		uint64_t digit = (uint64_t)(*text - '0');
		if (found > (UINT64_MAX - digit) / 10)
			return false;
		found = found * 10 + digit;
	}
	*number = found;
	return *text == '\0';
}
