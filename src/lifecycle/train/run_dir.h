/* The directory of a run: created whole or not at all, locked while a process works in it, with an append-only list of
 * events whose length checkpoints remember. */
#ifndef TRAIN_RUN_DIR_H
#define TRAIN_RUN_DIR_H

#include <jansson.h>
#include <stdint.h>

#include "ground/base/err.h"

struct run_dir {
    char *path, *events_path;
    int lock_fd, events_fd; /* -1: not open */
    uint64_t events_bytes;
};

/* Make path with run.yaml and manifest.json, no events and no checkpoints. -ERR_CONFLICT when something is there. */
int run_dir_create(const char *path, const char *yaml, const json_t *manifest, struct err *e) MUST_CHECK;
/* Open and lock. -ERR_CONFLICT: another process works in it; -ERR_NOT_FOUND: no run is there. */
int run_dir_open(struct run_dir *r, const char *path, struct err *e) MUST_CHECK;
void run_dir_close(struct run_dir *r);
/* Append one event, durably. Takes the reference, also on failure. */
int run_dir_event(struct run_dir *r, json_t *event, struct err *e) MUST_CHECK;
/* Forget events behind the first `bytes` bytes. */
int run_dir_truncate(struct run_dir *r, uint64_t bytes, struct err *e) MUST_CHECK;
/* The last event when it is "done" (new reference), else NULL. */
json_t *run_dir_done(const struct run_dir *r);
/* The manifest: new reference. */
int run_dir_manifest(const struct run_dir *r, json_t **out, struct err *e) MUST_CHECK;

#endif
