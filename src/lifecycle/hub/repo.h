/* Repositories of hubs: their addresses, their listing, what is to be fetched of them. */
#ifndef HUB_REPO_H
#define HUB_REPO_H

#include "lifecycle/hub/choose.h"
#include "lifecycle/hub/net.h"
#include "lifecycle/hub/source.h"

struct hub_repo {
    const struct hub_source *source;
    struct hub_net *net;
    const char *endpoint, *revision;
    char *credential; /* a header line; NULL: no token */
    struct hub_listing listing;
    struct hub_choice choice;
};
/* Ask the hub what there is; source is borrowed. Free with close, also after a failure. */
int hub_repo_open(struct hub_repo *r, struct hub_net *net, const struct hub_source *source, struct err *e) MUST_CHECK;
void hub_repo_close(struct hub_repo *r);
/* Fill choice with what makes the model. */
int hub_repo_choose(struct hub_repo *r, struct err *e) MUST_CHECK;
/* The address of a file of the listing, at the commit that was listed (mem_free). */
char *hub_repo_url(const struct hub_repo *r, const struct hub_file *f) MUST_CHECK;
/* "hf:org/repo@commit:file" of what was chosen (mem_free). */
char *hub_repo_origin(const struct hub_repo *r) MUST_CHECK;
/* "Authorization: Bearer TOKEN" (mem_free); NULL for no token. */
char *hub_bearer(const char *token) MUST_CHECK;

#endif
