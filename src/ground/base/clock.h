/* Time: a monotonic clock for durations, UTC for records. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

double clock_s(void);        /* monotonic seconds */
uint64_t clock_ns(void);     /* monotonic nanoseconds */
int64_t clock_unix_ms(void); /* milliseconds since 1970, UTC */
/* "2026-11-25T09:58:17Z" of unix_ms; size >= 32. */
void clock_format_utc(int64_t unix_ms, char *out, size_t size);

#endif
