/* Shared by the files of the download: its pieces, and what is kept of them on disk. */
#ifndef HUB_DOWNLOAD_INT_H
#define HUB_DOWNLOAD_INT_H

#include "lifecycle/hub/download.h"

struct download;
/* A range of the file, received from its begin on by one request at a time. */
struct piece {
    struct download *d;
    uint64_t begin, size; /* size UINT64_MAX: to the end, wherever that is */
    uint64_t done;
    uint64_t attempt_from; /* done when the attempt began */
    int n_failed;          /* attempts in a row that brought little */
    double wait_until_s;
    bool is_running, is_complete;
};
struct download {
    struct hub_net *net;
    const struct hub_item *item;
    char *part_path, *state_path;
    int fd;
    uint64_t size; /* UINT64_MAX: not known */
    uint64_t piece_bytes;
    struct piece *piece;
    size_t n_piece;
    bool is_whole;       /* the server gives no ranges: one request from the beginning */
    bool wants_whole;    /* it was just found out */
    bool was_resumed;    /* part of it is of an earlier run */
    char validator[200]; /* ETag or Last-Modified; "": none */
    char sha256[DIGEST_HEX_SIZE];
    double saved_s;
    int rc; /* why it cannot be had */
    struct err err;
};

/* Divide the file into pieces of piece_bytes, or one when it is whole or of unknown size; all of them empty. */
int pieces_plan(struct download *d, struct err *e) MUST_CHECK;
/* Read the state of an earlier run into d, which is planned then; false: there is none for this file. */
bool state_load(struct download *d);
/* Write the state; what it says is in the part file was written before. */
int state_save(struct download *d, struct err *e) MUST_CHECK;
/* Remove part and state. */
void state_discard(const struct download *d);
uint64_t pieces_done_bytes(const struct download *d);
/* Whether parts of this file that came at different times can be known to belong together. */
bool download_can_resume(const struct download *d);

#endif
