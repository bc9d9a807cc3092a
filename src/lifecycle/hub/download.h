/* One file from an address to a place: in parallel ranges, resumable after anything, checked before it appears under
 * its name. */
#ifndef HUB_DOWNLOAD_H
#define HUB_DOWNLOAD_H

#include "ground/sys/digest.h"
#include "lifecycle/hub/net.h"

struct hub_item {
    const char *url, *credential; /* credential: a header line or NULL */
    const char *path;             /* where it appears; PATH.part and PATH.state stand beside it until then */
    uint64_t size;                /* UINT64_MAX: found out */
    char sha256[DIGEST_HEX_SIZE]; /* "": not known; then the server's word (X-Linked-Etag) counts where it gives one */
    char git_id[DIGEST_GIT_HEX_SIZE]; /* the other way to know a file; "": not known */
};
/* Fetch it; a file that is there under its name already counts as fetched. What was received stays for the next try but
 * when it turned out to be wrong. Without digest and without ETag or Last-Modified nothing is resumed, since what is
 * there may be of another file. -ERR_INPUT: wrong contents, a server that contradicts itself; -ERR_IO, -ERR_NOT_FOUND,
 * -ERR_INTERRUPTED. */
int hub_download(struct hub_net *net, const struct hub_item *item, struct err *e) MUST_CHECK;
/* Bytes of the item that lie in its .part already. */
uint64_t hub_download_kept_bytes(const struct hub_item *item);

#endif
