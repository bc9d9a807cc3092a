/* The registry: what exists under the home directory and where it came from. Blobs are files named by their SHA-256,
 * objects are manifests named by the SHA-256 of their canonical JSON, names move in an append-only log whose rows are
 * chained by hash. Everything is written so that a crash at any moment leaves a registry that opens.
 *
 *   HOME/registry/blobs/sha256/ab/abcd...      contents, read-only
 *   HOME/registry/objects/sha256/ab/abcd....json
 *   HOME/registry/views/DIGEST/...             files of a model under their own names, links to blobs
 *   HOME/registry/names.log  runs.log          one JSON object a line
 */
#ifndef REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "ground/sys/digest.h"

struct registry;
/* Open under an existing home; nothing is written before something is stored. One thread a handle; processes may share
 * a home. */
int registry_open(struct registry **out, const char *home, struct err *e) MUST_CHECK;
void registry_close(struct registry *r);

/* What a name stands for after import. */
struct registered {
    char name[128];
    int version;                  /* from 1 */
    char digest[DIGEST_HEX_SIZE]; /* of the manifest */
    uint64_t bytes;               /* of all files */
    bool added;                   /* false: that version was there already, nothing was written */
    int newest;                   /* version that the bare name means */
};
/* Take a model file (GGUF, tokenizer.json) or a directory of files into the registry under name (NULL: from the path).
 * Files are shared with the source by reflink where the file system can, hard-linked where it cannot, else copied.
 * A version is its contents: what a GGUF file is called where it lies makes no other one. */
int registry_import(struct registry *r, const char *path, const char *name, struct registered *out,
                    struct err *e) MUST_CHECK;
/* The same, noting where it came from ("hf:org/repo@commit") instead of the last component of path. */
int registry_import_from(struct registry *r, const char *path, const char *name, const char *source,
                         struct registered *out, struct err *e) MUST_CHECK;
/* Where contents that the registry holds already lie: a file (mem_free), read to see that it has its digest still;
 * NULL: it holds none. digest: 64 lower-case digits. */
char *registry_blob(struct registry *r, const char *digest) MUST_CHECK;
/* Store an object (dataset, evaluation ...) under a name: it becomes the next version unless one is the same already.
 * manifest must hold "kind"; the same name may not change its kind. */
int registry_put(struct registry *r, const char *name, const json_t *manifest, struct registered *out,
                 struct err *e) MUST_CHECK;

/* Store a dataset: the files of its manifest's "outputs", which lie in dir, are copied into the registry, then as
 * registry_put. */
int registry_put_dataset(struct registry *r, const char *name, const json_t *manifest, const char *dir,
                         struct registered *out, struct err *e) MUST_CHECK;
/* The file of this name in the dataset behind a reference -> its path (mem_free) and the dataset's manifest (new
 * reference). Its contents are checked against their digest. -ERR_NOT_FOUND when the dataset has no such file. */
int registry_dataset_file(struct registry *r, const char *ref, const char *file, char **path, json_t **manifest,
                          struct err *e) MUST_CHECK;

/* `name`, `name:2` or `name@alias` -> the file or directory to open (mem_free). -ERR_NOT_FOUND offers near names;
 * -ERR_INPUT when a blob is missing or has another size than its manifest says. */
int registry_resolve(struct registry *r, const char *ref, char **path, struct err *e) MUST_CHECK;
/* `name`, `name:2` or `name@alias` -> "name:2" (mem_free), which means the same whatever moves later. -ERR_NOT_FOUND.
 */
int registry_pin(struct registry *r, const char *ref, char **pinned, struct err *e) MUST_CHECK;
/* A move of an alias: what was, what will be, who moves it and why. */
struct alias_move {
    const char *name, *alias;
    int version;
    int expected_version; /* what it must point at now, else -ERR_CONFLICT; 0: nothing yet, -1: whatever it does */
    const char *actor, *reason; /* kept in the log; NULL: not said */
};
/* Point an alias at a version. *from: what it pointed at (0: nothing). Pointing it where it points already writes
 * nothing. -ERR_NOT_FOUND: no such name or version. */
int registry_move_alias(struct registry *r, const struct alias_move *m, int *from, struct err *e) MUST_CHECK;

/* All names of a kind ("model", "dataset"): array of {"name","version","digest","time","aliases":{}}; new reference. */
int registry_list(struct registry *r, const char *kind, json_t **out, struct err *e) MUST_CHECK;
/* The manifest behind a reference, with "name", "version", "digest", "aliases" and "history" (versions and moves of
 * aliases, oldest first) added; new reference. */
int registry_show(struct registry *r, const char *ref, json_t **out, struct err *e) MUST_CHECK;

/* Note that a run directory exists (tune, eval ...); the newest note of a path counts. */
int registry_note_run(struct registry *r, const char *kind, const char *dir, struct err *e) MUST_CHECK;
/* Runs, newest first: array of {"kind","path","time","exists"}; new reference. */
int registry_runs(struct registry *r, json_t **out, struct err *e) MUST_CHECK;

/* The digest that identifies a model or adapter at path: of the file, or of the sorted names and digests of a
 * directory's files. Remembered by inode, size and time of change, so that large files are read once. */
int registry_digest_path(struct registry *r, const char *path, char hex[DIGEST_HEX_SIZE], struct err *e) MUST_CHECK;

#endif
