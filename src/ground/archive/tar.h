/* Tar archives, read once from front to back: ustar, long names and large sizes as pax and GNU write them. Untrusted:
 * names are checked (archive_name.h), sizes stay inside the file. Compressed ones are not read. */
#ifndef ARCHIVE_TAR_H
#define ARCHIVE_TAR_H

#include <stdint.h>

#include "ground/base/err.h"

struct tar_reader {
    int fd;
    char *path;
    uint64_t size_bytes, next; /* of the file; where the next header is */
    char name[1025];           /* of the entry: a regular file, its name safe */
    uint64_t begin, size;      /* where its bytes are */
};
/* Open before anything else, close at the end (also after a failed open). -ERR_NOT_FOUND, -ERR_INPUT. */
int tar_open(struct tar_reader *t, const char *path, struct err *e) MUST_CHECK;
void tar_close(struct tar_reader *t);
/* The next regular file: 1, or 0 at the end. Directories are passed over; links and devices are refused. */
int tar_next(struct tar_reader *t, struct err *e) MUST_CHECK;

#endif
