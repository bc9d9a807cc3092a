/* Clocks. Owns nothing. Durations come from the monotonic clock only, records from UTC only. */
#include "ground/base/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double clock_s(void)
{
    return (double)clock_ns() * 1e-9;
}

int64_t clock_unix_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void clock_format_utc(int64_t unix_ms, char *out, size_t size)
{
    time_t s = (time_t)((unix_ms - (unix_ms < 0 ? 999 : 0)) / 1000); /* floor, before 1970 too */
    struct tm tm;
    if (!gmtime_r(&s, &tm) || strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) snprintf(out, size, "invalid time");
}
