/* What files on disk make a model: the door that pull and import share. */
#ifndef HUB_CONTENTS_H
#define HUB_CONTENTS_H

#include <stdbool.h>

#include "ground/base/err.h"

struct hub_options;

/* What in a directory is to be imported: the directory itself (Hugging Face model, adapter, tokenizer), or the only
 * GGUF file in it (the first of a split). *path: mem_free. name: what errors call it. -ERR_INPUT. */
int hub_find_model(const char *dir, const char *name, char **path, struct err *e) MUST_CHECK;
/* Refuse what does not open as what it says it is. Adapters are checked when they are loaded; a family that is not
 * computed here can be kept and inspected all the same: o->note says so. */
int hub_check_model(const char *path, const struct hub_options *o, struct err *e) MUST_CHECK;

#endif
