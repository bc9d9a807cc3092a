/* What the files of the hub share while a model is fetched: the client, the rules of trying again, the counts that
 * progress is made of. */
#ifndef HUB_NET_H
#define HUB_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "ground/http/http_client.h"

/* How a command of the door wants it. */
struct hub_options {
    const char *hf_endpoint, *ms_endpoint; /* base addresses, http:// or https:// */
    const char *hf_token, *ms_token;       /* NULL: none */
    const char *token;                     /* for an address of SOURCE itself; NULL: none */
    const char *ca_file;                   /* certificates to trust instead of the system's; NULL */
    int timeout_s, n_retry, n_connection;
    const char *const *sha256; /* [n_sha256] what the files of an address must have; n_sha256 0: not known */
    size_t n_sha256;
    /* done of total bytes of all files; total 0: not known. May be called often. */
    void (*progress)(void *arg, uint64_t done, uint64_t total);
    void (*note)(void *arg, const char *text); /* a finished sentence for the user */
    bool (*is_cancelled)(void *arg);
    void *arg;
};

struct hub_net {
    const struct hub_options *o;
    struct http_client *client;
    uint64_t done_bytes, total_bytes; /* of all files of this pull */
    double paused_until_s;            /* what a server that had enough asked for; clock_s */
};
/* -ERR_INTERRUPTED, with *e set, when the user wants to stop; else 0. */
int hub_check_cancelled(const struct hub_net *net, struct err *e) MUST_CHECK;
/* One answer as text; body's maximum is the limit. */
int hub_get_text(struct hub_net *net, const char *url, const char *credential, struct buf *body,
                 struct err *e) MUST_CHECK;

#endif
