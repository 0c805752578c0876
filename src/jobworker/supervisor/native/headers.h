/* What the kernel's headers must have for the spawner to be built. */
#ifndef JOBWORKER_HEADERS_H
#define JOBWORKER_HEADERS_H

#include <stddef.h>
#include <stdint.h>

/* A system call of one argument structure and its size; -1 and errno where it fails. */
long call(long number, void *argument, size_t size);

/* The bytes of the structures that are handed to the kernel, as one sum. */
size_t sizes(void);

/* A seccomp filter that lets everything through. */
int install_filter(void);

/* The newest Landlock that the kernel has; 0 where it has none. */
int landlock_version(void);

#endif
