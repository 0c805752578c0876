#include "alarm.h"

#include "small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Seconds after it rang in which to expect a kill: it comes first, and another limit may keep the
 * allocating process from its CPU before it gets to the killing. */
static const double SUSPICION = 2.0;

static int connect_event(const struct alarm *alarm)
{
	char text[32];
	int control = openat(alarm->directory, "memory.oom_control", O_RDONLY | O_CLOEXEC);

	if (control < 0)
		return -1;
	snprintf(text, sizeof text, "%d %d", alarm->event, control);
	int result = small_file_write(alarm->directory, "cgroup.event_control", text);
	int error = errno;
	close(control);
	errno = error;
	return result;
}

int alarm_open(struct alarm *alarm, int directory)
{
	alarm->directory = directory;
	alarm->until = 0;
	alarm->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (alarm->event < 0 || connect_event(alarm) == 0)
		return alarm->event < 0 ? -1 : 0;
	int error = errno;
	close(alarm->event);
	errno = error;
	return -1;
}

void alarm_ring(struct alarm *alarm, double now)
{
	uint64_t count;

	if (read(alarm->event, &count, sizeof count) == sizeof count)
		alarm->until = now + SUSPICION;
}

bool alarm_is_confirmed(struct alarm *alarm, double now)
{
	char text[1024];

	if (alarm->until == 0)
		return false;
	bool killed =
		small_file_read(alarm->directory, "memory.oom_control", text, sizeof text) > 0 &&
		small_file_number(text, "oom_kill") > 0;
	if (killed || now >= alarm->until)
		alarm->until = 0;
	return killed;
}
