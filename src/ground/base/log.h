/* Log lines on stderr, as text or as one JSON object a line. Set up once in main(), before threads start.
 * Library code logs only what no return value can carry (a fallback, a recovery); errors are returned. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "ground/base/attr.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above `level` are dropped; json: one object a line. */
void log_init(enum log_level level, bool json);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

#endif
