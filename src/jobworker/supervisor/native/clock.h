/* Times in seconds: of the monotonic clock, so that no job gains time or loses it by a change of
 * the machine's, and of the latter. */

#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

static inline double clock_of(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static inline double clock_now(void)
{
	return clock_of(CLOCK_MONOTONIC);
}

/* Seconds since 1970, and nanoseconds. */
static inline double clock_date(void)
{
	return clock_of(CLOCK_REALTIME);
}

static inline uint64_t clock_date_in_nanoseconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static inline void clock_pause(double seconds)
{
	const struct timespec time = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};

	nanosleep(&time, NULL);
}

#endif
