/* Shared by the files of the registry: the handle, and the log that names and runs are kept in. */
#ifndef REGISTRY_REGISTRY_INT_H
#define REGISTRY_REGISTRY_INT_H

#include "govern/registry/registry.h"

struct registry {
    char *root; /* HOME/registry */
};

enum { REGISTRY_MAX_MANIFEST = 64 * 1024 * 1024, REGISTRY_MAX_LOG = 512 * 1024 * 1024 };

/* An exclusive lock on the registry across processes; *fd >= 0 on success. */
int registry_lock(struct registry *r, int *fd, struct err *e) MUST_CHECK;
void registry_unlock(int fd);

/* All whole rows of a log: array, new reference; a missing log is empty. A torn last line is not a row. A broken hash
 * chain is -ERR_INPUT naming the row. */
int log_read(struct registry *r, const char *name, json_t **rows, struct err *e) MUST_CHECK;
/* Append a row under the lock, with "seq", "time", "prev_hash" and "hash" added; takes row. Durable when 0. */
int log_append(struct registry *r, const char *name, json_t *row, struct err *e) MUST_CHECK;

/* registry_put that notes where the content came from (NULL: nowhere) in the version's row. */
int put_version(struct registry *r, const char *name, const json_t *manifest, const char *source,
                struct registered *out, struct err *e) MUST_CHECK;

/* Path of a blob or an object (suffix ".json"); mem_free. */
char *store_path(struct registry *r, const char *kind, const char *digest, const char *suffix) MUST_CHECK;
/* Put a file into blobs; digest and size are set. share: it may become a hard link, else it never shares bytes with
 * what somebody may edit. */
int store_blob(struct registry *r, const char *path, bool share, char digest[DIGEST_HEX_SIZE], uint64_t *bytes,
               struct err *e) MUST_CHECK;
/* Put a manifest into objects under the digest of its canonical form. */
int store_object(struct registry *r, const json_t *manifest, char digest[DIGEST_HEX_SIZE], struct err *e) MUST_CHECK;
int store_load_object(struct registry *r, const char *digest, json_t **out, struct err *e) MUST_CHECK;

/* Where a manifest lists its files: "files" of a model or adapter, "outputs" of a dataset. */
const char *manifest_files_key(const json_t *manifest);
/* The directory views/DIGEST of a manifest, made when it is not there; mem_free. */
int view_make(struct registry *r, const char *digest, const json_t *manifest, char **dir, struct err *e) MUST_CHECK;

#endif
