/* Private to packed files: what stands in one. */
#ifndef MODEL_PACKED_FILE_INT_H
#define MODEL_PACKED_FILE_INT_H

#include "compute/model/packed_file.h"
#include "ground/base/file.h"
#include "ground/sys/digest.h"

enum { PACKED_VERSION = 1, PACKED_ALIGN = 64, PACKED_MAX_HEAD_BYTES = 1 << 26 };
#define PACKED_MAGIC "TAILORPK"

/* A file: this, parts, entries, names, then matrices, each aligned. Numbers as this machine has them: a file is used
 * on the machine that wrote it. */
struct packed_head {
    char magic[8];
    uint32_t version, n_part, n_entry, name_bytes;
    uint64_t file_bytes, data_at; /* data_at: end of names, aligned */
    uint64_t layout;              /* dev_layout */
    char model_path[512];
    char model_digest[DIGEST_HEX_SIZE + 7]; /* of the file; of a split, of the digests of its files */
    char data_digest[DIGEST_HEX_SIZE + 7];  /* of everything from data_at on */
    char head_digest[DIGEST_HEX_SIZE + 7];  /* of everything before data_at, with this member zero */
};

struct packed_entry {
    uint64_t at, n_bytes, n_out, n_in; /* at: from the beginning of the file */
    uint32_t type, name_at;            /* name_at: into the names, NUL-terminated */
};

/* A head in memory with what follows it up to data_at; one allocation. */
static inline const struct file_identity *packed_parts(const struct packed_head *h)
{
    return (const void *)(h + 1);
}
static inline const struct packed_entry *packed_entries(const struct packed_head *h)
{
    return (const void *)(packed_parts(h) + h->n_part);
}
static inline const char *packed_names(const struct packed_head *h)
{
    return (const char *)(packed_entries(h) + h->n_entry);
}

/* The digest of the head's bytes (data_at of them). */
int packed_head_digest(const struct packed_head *h, char hex[DIGEST_HEX_SIZE], struct err *e) MUST_CHECK;

#endif
