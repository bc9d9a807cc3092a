/* Which files of a repository make the model. Nothing is downloaded here. */
#ifndef HUB_CHOOSE_H
#define HUB_CHOOSE_H

#include "lifecycle/hub/listing.h"

struct hub_choice {
    const struct hub_file **file; /* borrowed from the listing */
    size_t n;
    const struct hub_file *index; /* model.safetensors.index.json, whose files must be added; NULL: there is none */
    bool is_dir; /* a Hugging Face directory or an adapter; else a GGUF file (or its parts) or a tokenizer */
};
/* selector: a path in the listing, a quantization ("Q4_K_M", any case), or NULL. Without one: safetensors with the
 * files beside them; else the only GGUF. -ERR_USAGE lists what there is to choose from; -ERR_NOT_FOUND,
 * -ERR_UNSUPPORTED. */
int hub_choose(struct hub_choice *c, const struct hub_listing *l, const char *source, const char *selector,
               struct err *e) MUST_CHECK;
/* Add the files that the index names; text is its contents. -ERR_INPUT when one is not in the listing. */
int hub_choose_shards(struct hub_choice *c, const struct hub_listing *l, const char *source, const char *text, size_t n,
                      struct err *e) MUST_CHECK;
/* Also after a failure. */
void hub_choice_deinit(struct hub_choice *c);

/* "stem-00001-of-00003.gguf": the number of parts and the length of the stem; 1 for other names. */
int hub_split_parts(const char *name, int *part, size_t *n_stem);
/* A file beside the weights that a model needs or its owner should see: configuration, tokenizer, template, licence.
 * name: its path from where the weights lie. */
bool hub_is_companion(const char *name);
/* What a file of a model is called where all its files lie side by side: the last part of its path, but for the one
 * file of a directory below (how sentence-transformers pools), which has the registry's name. Borrowed. */
const char *hub_flat_name(const char *path);

#endif
