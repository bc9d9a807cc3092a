/* Zip archives (wheels are zips) by libzip: what is in them, and their entries as files. Archives are untrusted: names
 * are checked, sizes are limited, contents are checked against their CRC. */
#ifndef ARCHIVE_ZIP_H
#define ARCHIVE_ZIP_H

#include <stddef.h>
#include <stdint.h>

#include "ground/base/buf.h"
#include "ground/base/err.h"

struct zip_reader;
/* Only the directory is read. -ERR_INPUT: not a zip, a name that is not safe (archive_name.h) or stands twice, an entry
 * that is encrypted; -ERR_LIMIT: more than 65,536 entries. */
int zip_reader_open(struct zip_reader **out, const char *path, struct err *e) MUST_CHECK;
void zip_reader_close(struct zip_reader *z);

struct zip_entry {
    const char *name; /* of a file; directories are left out. Borrowed */
    uint64_t size;    /* unpacked, as the directory says; reading checks it */
    uint64_t index;   /* of the archive */
};
/* The files, sorted by name; idx < n_entry. */
size_t zip_reader_n_entry(const struct zip_reader *z);
const struct zip_entry *zip_reader_entry(const struct zip_reader *z, size_t idx);

/* Takes what is unpacked, in order; anything but 0 gives up. */
typedef int (*zip_sink)(void *arg, const void *p, size_t n, struct err *e);
/* Unpack an entry: exactly its size, or -ERR_INPUT. */
int zip_reader_unpack(struct zip_reader *z, const struct zip_entry *entry, zip_sink sink, void *arg,
                      struct err *e) MUST_CHECK;
/* A small entry into text, up to its maximum. */
int zip_reader_text(struct zip_reader *z, const struct zip_entry *entry, struct buf *text, struct err *e) MUST_CHECK;

#endif
