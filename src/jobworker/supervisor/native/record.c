#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTION_BEGIN "section"
#define SECTION_END "end"

/* The text of a record that has none. Nothing may be added to a null pointer, not even 0. */
static char no_text[1];

static int read_whole(int file, struct record *record)
{
	struct stat status;

	if (fstat(file, &status) < 0)
		return -1;
	if (status.st_size <= 0)
		return 0;
	if (status.st_size > RECORD_MOST) {
		errno = EFBIG;
		return -1;
	}
	size_t most = (size_t)status.st_size;
	char *text = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (text == MAP_FAILED)
		return -1;
	*record = (struct record){text, 0, most};
	while (record->size < most) {
		ssize_t size = read(file, text + record->size, most - record->size);
		if (size < 0) {
			int error = errno;
			record_release(record);
			errno = error;
			return -1;
		}
		if (size == 0)
			break;
		record->size += (size_t)size;
	}
	return 0;
}

int record_read(int directory, const char *name, struct record *record)
{
	*record = (struct record){.text = no_text};
	int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (file < 0)
		return errno == ENOENT ? 0 : -1;
	int result = read_whole(file, record);
	int error = errno;
	close(file);
	errno = error;
	return result;
}

void record_release(struct record *record)
{
	if (record->mapped)
		munmap(record->text, record->mapped);
	*record = (struct record){.text = no_text};
}

static struct span whole(const struct record *record)
{
	return (struct span){record->text, record->text + record->size};
}

bool record_section(const struct record *record, const char *name, struct span *section)
{
	struct span rest = whole(record);
	struct field field;
	const char *begin = rest.at;
	bool found = false;

	while (fields_next(&rest, &field)) {
		if (field_is(&field, SECTION_BEGIN)) {
			begin = rest.at;
		} else if (field_is(&field, SECTION_END) && strcmp(field.value, name) == 0) {
			*section = (struct span){begin, field.key};
			found = true;
		}
	}
	return found;
}

bool record_has_others(const struct record *record, const char *name)
{
	struct span rest = whole(record);
	struct field field;

	while (fields_next(&rest, &field))
		if (field_is(&field, SECTION_END) && strcmp(field.value, name) != 0)
			return true;
	return false;
}

int record_open(int directory)
{
	return openat(directory, RECORD, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
}

/* Calls writev(2) until everything is written. */
static int write_all(int file, struct iovec *parts, int count)
{
	while (count > 0) {
		ssize_t size = writev(file, parts, count);
		if (size < 0)
			return -1;
		while (count > 0 && (size_t)size >= parts->iov_len) {
			size -= (ssize_t)parts->iov_len;
			parts++;
			count--;
		}
		if (count > 0) {
			parts->iov_base = (char *)parts->iov_base + size;
			parts->iov_len -= (size_t)size;
		}
	}
	return 0;
}

ssize_t record_add(int file, const char *section, const struct fields *fields)
{
	char begin[64] = "";
	char end[64];
	/* The NUL in front ends a field that an earlier section may have left torn. */
	int before = 2 + snprintf(begin + 1, sizeof begin - 1, SECTION_BEGIN "=%s", section);
	int after = 1 + snprintf(end, sizeof end, SECTION_END "=%s", section);
	struct iovec parts[] = {
		{begin, (size_t)before},
		{fields->data, fields->size},
		{end, (size_t)after},
	};

	if (write_all(file, parts, 3) < 0)
		return -1;
	return before + (ssize_t)fields->size + after;
}

int record_append(int directory, const char *section, const struct fields *fields, bool durable)
{
	int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
	int file = openat(directory, RECORD, flags, 0600);

	if (file < 0)
		return -1;
	int result = 0;
	if (record_add(file, section, fields) < 0 || (durable && fdatasync(file) < 0))
		result = -1;
	int error = errno;
	close(file);
	errno = error;
	return result;
}

int record_is_void(int file, int directory, off_t size)
{
	struct stat status;
	struct record record;
	struct span section;

	if (fstat(file, &status) < 0)
		return -1;
	if (status.st_size == size)
		return 0;
	if (record_read(directory, RECORD, &record) < 0)
		return -1;
	bool found = record_section(&record, SECTION_VOID, &section);
	record_release(&record);
	return found;
}
