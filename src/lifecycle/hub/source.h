/* SOURCE of `tailor pull`: where a model comes from. */
#ifndef HUB_SOURCE_H
#define HUB_SOURCE_H

#include "ground/base/err.h"

enum hub_kind {
    HUB_HF,      /* hf:org/repo[@revision][:file] */
    HUB_MS,      /* ms:org/repo[@revision][:file] */
    HUB_ADDRESS, /* https://... */
    HUB_OCI      /* a folder in the OCI image layout, [:tag] */
};
struct hub_source {
    enum hub_kind kind;
    char *text;     /* as it was given */
    char *repo;     /* "org/repo"; the folder of HUB_OCI; NULL for an address */
    char *revision; /* branch, tag or commit; NULL: the default */
    char *selector; /* a file of the repository or a quantization; the tag of HUB_OCI; NULL: none */
    char name[104]; /* what it is called in the registry unless another name is given */
};
/* -ERR_USAGE with what would be right. Free with deinit, also after a failure. */
int hub_source_parse(struct hub_source *s, const char *text, struct err *e) MUST_CHECK;
void hub_source_deinit(struct hub_source *s);

#endif
