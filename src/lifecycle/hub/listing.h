/* What a repository of a hub holds, from the hub's answer: JSON that nobody vouches for. */
#ifndef HUB_LISTING_H
#define HUB_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "ground/sys/digest.h"

enum { HUB_MAX_FILES = 20000, HUB_MAX_ANSWER_BYTES = 32 << 20 };

struct hub_file {
    char *path;                       /* in the repository; safe (archive_name.h) */
    uint64_t size;                    /* UINT64_MAX: the hub does not say */
    char sha256[DIGEST_HEX_SIZE];     /* "": the hub does not say */
    char git_id[DIGEST_GIT_HEX_SIZE]; /* of files that the hub keeps in git itself; "": not said */
};
struct hub_listing {
    char revision[64]; /* the commit; "": not said */
    struct hub_file *file;
    size_t n;
};
/* The answer of /api/models/ORG/REPO/revision/REV?blobs=true. where: what errors call it. -ERR_INPUT. */
int hub_listing_parse_hf(struct hub_listing *l, const char *text, size_t n, const char *where,
                         struct err *e) MUST_CHECK;
/* The answer of ModelScope's /api/v1/models/ORG/REPO/repo/files?Recursive=true. */
int hub_listing_parse_ms(struct hub_listing *l, const char *text, size_t n, const char *where,
                         struct err *e) MUST_CHECK;
/* The file of this path, or NULL. */
const struct hub_file *hub_listing_find(const struct hub_listing *l, const char *path);
/* Also after a failure of parsing. */
void hub_listing_deinit(struct hub_listing *l);

/* 64 hexadecimal digits, perhaps behind "sha256:" and in quotes, as lower case; false when text is no such thing. */
bool hub_take_sha256(const char *text, char hex[DIGEST_HEX_SIZE]) MUST_CHECK;

#endif
