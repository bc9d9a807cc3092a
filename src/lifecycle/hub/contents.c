/* Finding and checking a model on disk. Owns nothing. */
#include "lifecycle/hub/contents.h"

#include <stdio.h>
#include <string.h>

#include "compute/formats/model_file.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "lifecycle/hub/choose.h"
#include "lifecycle/hub/net.h"

static bool dir_has(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    bool has = file_exists(path);
    mem_free(path);
    return has;
}

/* The only GGUF file, or the first of the only split; NULL with *n the number of those that are there. */
static char *only_gguf(const char *dir, char *const *names, size_t n_name, size_t *n)
{
    const char *found = NULL;
    *n = 0;
    for (size_t i = 0; i < n_name; i++) {
        int part;
        size_t n_stem;
        if (!str_ends(names[i], ".gguf")) continue;
        (void)hub_split_parts(names[i], &part, &n_stem);
        if (part != 1) continue;
        found = names[i];
        (*n)++;
    }
    return *n == 1 ? path_join(dir, found) : NULL;
}

int hub_find_model(const char *dir, const char *name, char **path, struct err *e)
{
    char **names;
    size_t n_name, n_gguf;
    if (dir_has(dir, "config.json") || dir_has(dir, "adapter_config.json")) {
        *path = mem_strdup(dir);
        return 0;
    }
    int rc = file_list_dir(dir, &names, &n_name, e);
    if (rc) return rc;
    *path = only_gguf(dir, names, n_name, &n_gguf);
    for (size_t i = 0; i < n_name; i++) mem_free(names[i]);
    mem_free(names);
    if (!*path && n_gguf == 0 && dir_has(dir, "tokenizer.json")) *path = path_join(dir, "tokenizer.json");
    if (*path) return 0;
    if (n_gguf)
        return err_set(e, ERR_INPUT, name, "cannot import \"%s\": it has %zu GGUF models, name the file of one", name,
                       n_gguf);
    return err_set(
        e, ERR_INPUT, name,
        "cannot import \"%s\": config.json (a model), adapter_config.json (an adapter) or a GGUF file is needed", name);
}

/* A file without tensors may be a vocabulary, a directory may not: its weights were forgotten. Hyper-parameters must
 * not contradict the tensors. */
static int check_opened(const struct model_file *f, bool is_dir, struct err *e)
{
    struct model_params p;
    struct encoder_params encoder;
    struct vocab_source v;
    const char *path = model_file_path(f);
    if (model_file_n_tensor(f) == 0) {
        if (is_dir)
            return err_set(e, ERR_INPUT, path,
                           "cannot import \"%s\": it has no tensors, model.safetensors or "
                           "model.safetensors.index.json with its files is needed",
                           path);
        int rc = model_file_vocab(f, &v, e);
        return rc || v.model
                   ? rc
                   : err_set(e, ERR_INPUT, path, "cannot import \"%s\": it has neither tensors nor a vocabulary", path);
    }
    if (model_file_is_encoder(f)) return model_file_encoder(f, &encoder, e);
    return is_dir || model_file_find(f, "token_embd.weight") ? model_file_params(f, &p, e) : 0;
}

/* What stands before the reason is where the file lies for the moment: nothing to tell. */
static void tell_unsupported(const struct hub_options *o, const struct err *why)
{
    char text[sizeof why->msg + 64];
    const char *reason = strstr(why->msg, "\": ");
    snprintf(text, sizeof text, "it is kept, but it cannot be run here: %s", reason ? reason + 3 : why->msg);
    if (o->note) o->note(o->arg, text);
}

int hub_check_model(const char *path, const struct hub_options *o, struct err *e)
{
    struct model_file *f;
    if (dir_has(path, "adapter_config.json")) return 0;
    int rc = model_file_open(&f, path, e);
    if (rc) return rc;
    struct err why = {0};
    rc = check_opened(f, file_is_dir(path), &why);
    model_file_close(f);
    if (rc == -ERR_UNSUPPORTED) {
        tell_unsupported(o, &why);
        return 0;
    }
    if (rc && e) *e = why;
    return rc;
}
