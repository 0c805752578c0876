/* The table of mounts, whose names any user of the machine with a mount may choose. */

#include "views.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char told[1 << 20];
	const char *hidden[] = {"/etc/jobd", "/srv/state", "/"};
	struct fields fields = FIELDS_IN(told);
	int table = memfd_create("mountinfo", MFD_CLOEXEC);

	if (table < 0 || write(table, data, size) != (ssize_t)size)
		abort();
	/* Without the root among what is hidden, as below that there is nothing to find. */
	if (view_covers(table, "/srv/state", hidden, 2, &fields) < 0)
		abort();
	fields.size = 0;
	if (view_covers(table, "/srv/state", hidden, 3, &fields) < 0)
		abort();
	close(table);
	return 0;
}
