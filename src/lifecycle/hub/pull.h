/* Getting models: from a hub, an address, an OCI layout folder or a package on disk into the registry. */
#ifndef HUB_PULL_H
#define HUB_PULL_H

#include <jansson.h>

#include "govern/registry/registry.h"
#include "lifecycle/hub/net.h"

/* What source (source.h) means, into the registry under name (NULL: from the source). Nothing appears under the name
 * before all of it came, was checked and opens as a model. What came stays in HOME/downloads after a failure, and the
 * next call goes on from there; files that the registry holds already are not fetched. Processes that want the same
 * wait for each other. */
int hub_pull(const struct hub_options *o, struct registry *r, const char *home, const char *source, const char *name,
             struct registered *out, struct err *e) MUST_CHECK;
/* What a repository holds, and which of it hub_pull would fetch: {"source","revision","bytes","files":[{"path","bytes",
 * "sha256","chosen"}]}; new reference. -ERR_USAGE for a source that is no repository. */
int hub_list(const struct hub_options *o, const char *source, json_t **out, struct err *e) MUST_CHECK;
/* A model on disk: GGUF file, directory, or package (package.h). Packages are unpacked in HOME/downloads first. */
int hub_import(const struct hub_options *o, struct registry *r, const char *home, const char *path, const char *name,
               struct registered *out, struct err *e) MUST_CHECK;

#endif
