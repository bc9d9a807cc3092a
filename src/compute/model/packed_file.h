/* Packed matrices of a model file, kept in a file that processes map and share. Written beside nothing else: the
 * model file stays what is read when the packed one is missing, cut short, of another version or of another file.
 *
 * A packed file is known to belong to a model file by the inode, size and times of that file and by the layout of
 * packed matrices, and to be whole by its size and the digest of its head; it is written under another name and
 * renamed. It also holds the digests of the model file and of its own data, for packed_file_describe. */
#ifndef MODEL_PACKED_FILE_H
#define MODEL_PACKED_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/model/model.h"
#include "ground/base/err.h"

struct packed_file;

/* The path in dir under which the packed form of f for this device would lie (mem_free). -ERR_UNSUPPORTED: f is no
 * GGUF file; those alone are kept packed. */
int packed_file_path(const char *dir, const struct model_file *f, struct dev *d, char **path, struct err *e) MUST_CHECK;
/* Map one. -ERR_NOT_FOUND: there is none; -ERR_INPUT: it cannot be used, the message says why. */
int packed_file_open(struct packed_file **out, const char *path, const struct model_file *f, struct dev *d,
                     struct err *e) MUST_CHECK;
void packed_file_close(struct packed_file *p);
/* The matrix of this tensor, only to be read; NULL when it is not there in this shape. */
void *packed_file_find(const struct packed_file *p, const char *name, enum quant_type type, size_t n_out, size_t n_in);

/* Keep the matrices of a model that was loaded from f. */
int packed_file_write(const char *path, const struct model *m, const struct model_file *f, struct err *e) MUST_CHECK;
/* Bytes that packed_file_write would write, a little more rather than less. */
uint64_t packed_file_bytes(const struct model *m);

struct packed_info {
    char model_path[512];
    uint64_t size_bytes, layout; /* layout: of dev_layout when it was written */
    bool is_current;             /* the model file is there, and is the one that was packed */
};
/* What a packed file is of; with `check`, its data and the model file are read and compared with their digests.
 * -ERR_INPUT as packed_file_open, or when a digest is another. */
int packed_file_describe(const char *path, bool check, struct packed_info *out, struct err *e) MUST_CHECK;

#endif
