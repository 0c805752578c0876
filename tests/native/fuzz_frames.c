/* What is typed at a job's terminal, in frames, as it comes through the pipe in the spool. */

#include "terminal.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct terminal terminal;
	/* A terminal that takes everything, and one that has no room for a byte. */
	static int null = NOTHING;
	static int full[2];

	if (null == NOTHING) {
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (null < 0 || pipe2(full, O_CLOEXEC | O_NONBLOCK) < 0)
			abort();
		while (write(full[1], full, 1) == 1)
			continue;
	}
	terminal.inlet = memfd_create("typed", MFD_CLOEXEC);
	terminal.came_size = terminal.typed_size = 0;
	if (terminal.inlet < 0 || write(terminal.inlet, data, size) != (ssize_t)size)
		abort();
	lseek(terminal.inlet, 0, SEEK_SET);
	for (off_t before = -1, at = 0; at != before;) {
		before = at;
		terminal.master = size % 3 ? null : full[1];
		if (!terminal_is_full(&terminal))
			terminal_take_input(&terminal);
		else
			terminal_type(&terminal);
		at = lseek(terminal.inlet, 0, SEEK_CUR);
		if (terminal.came_size >= sizeof terminal.came)
			abort();
	}
	close(terminal.inlet);
	return 0;
}
