/* Names in archives, manifests and listings: written by strangers, used as paths here. */
#ifndef ARCHIVE_ARCHIVE_NAME_H
#define ARCHIVE_ARCHIVE_NAME_H

#include <stdbool.h>

/* A relative path that stays under the directory it is put into: components of at most 255 bytes of UTF-8 that are not
 * empty, "." or "..", without control characters and backslashes; no leading slash; at most 1,024 bytes. */
bool archive_name_is_safe(const char *name);

#endif
