/* Small files of the kernel's, in /proc and of cgroups. */

#ifndef SMALL_FILE_H
#define SMALL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads the text of a file by one read(2), and ends it with a NUL. Returns its length, or -1. */
ssize_t small_file_read(int directory, const char *name, char *text, size_t size);

/* Writes a file by one write(2). */
int small_file_write(int directory, const char *name, const char *text);

/* The number after `name` in a text of `name number` lines; 0 without one. */
uint64_t small_file_number(const char *text, const char *name);

/* Reads a whole decimal number, of digits alone. */
bool number_of(const char *text, uint64_t *number);

#endif
