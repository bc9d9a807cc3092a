/* The vocabulary that a GGUF carries under tokenizer.*: arrays of one length, special ids inside the vocabulary.
 * Everything is borrowed from the gguf_file. Defaults for absent keys are llama.cpp's. */
#include "compute/formats/formats_int.h"

#include <string.h>

#include "ground/base/str.h"

/* An array of a type; *v NULL when absent, an error when of another type or length (n 0: any length). */
static int find_array(const struct gguf_file *g, const char *key, enum gguf_value_type type, size_t n,
                      const struct gguf_value **v, struct err *e)
{
    *v = gguf_find(g, key);
    if (!*v) {
        return 0;
    }
    if ((*v)->type != GGUF_ARRAY || (*v)->arr.type != type) {
        return err_set(e, ERR_INPUT, key, "%s is no array of %s", key, gguf_type_name(type));
    }
    if (n && (*v)->arr.n != n) {
        return err_set(e, ERR_INPUT, key, "%s has %zu elements, the vocabulary has %zu tokens", key, (*v)->arr.n, n);
    }
    return 0;
}

static int special_id(const struct gguf_file *g, const char *name, size_t n_token, int *id, struct err *e)
{
    char key[64] = "tokenizer.ggml.";
    int64_t i;
    strncat(key, name, sizeof key - strlen(key) - 1);
    *id = -1;
    if (!gguf_find(g, key)) {
        return 0;
    }
    /* converters write "none" as 2^32 - 1 */
    if (!gguf_get_int(g, key, &i) || (i != UINT32_MAX && i != -1 && (i < 0 || (uint64_t)i >= n_token))) {
        return err_set(e, ERR_INPUT, key, "%s is no id of one of the %zu tokens", key, n_token);
    }
    *id = i == UINT32_MAX ? -1 : (int)i;
    return 0;
}

static int special_ids(const struct gguf_file *g, struct vocab_source *v, struct err *e)
{
    const struct {
        const char *name;
        int *id;
    } special[] = {{"bos_token_id", &v->bos_id}, {"eos_token_id", &v->eos_id},     {"eot_token_id", &v->eot_id},
                   {"eom_token_id", &v->eom_id}, {"unknown_token_id", &v->unk_id}, {"padding_token_id", &v->pad_id}};
    for (size_t i = 0; i < N_ELEM(special); i++) {
        int rc = special_id(g, special[i].name, v->n_token, special[i].id, e);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

static int flag(const struct gguf_file *g, const char *key, bool initial, bool *out, struct err *e)
{
    *out = initial;
    if (gguf_find(g, key) && !gguf_get_bool(g, key, out)) {
        return err_set(e, ERR_INPUT, key, "%s is no bool", key);
    }
    return 0;
}

/* Families whose pre-tokens are emitted whole when the vocabulary has them (llama.cpp, llama-vocab.cpp). */
static bool pre_ignores_merges(const char *pre)
{
    static const char *const name[] = {"llama3",   "llama-v3", "llama-bpe",    "falcon3", "falcon-h1", "pixtral",
                                       "midm-2.0", "lfm2",     "jina-v5-nano", "tekken",  "youtu",     "minicpm5"};
    for (size_t i = 0; pre && i < N_ELEM(name); i++) {
        if (str_eq(pre, name[i])) {
            return true;
        }
    }
    return false;
}

static int flags(const struct gguf_file *g, struct vocab_source *v, struct err *e)
{
    bool spm = str_eq(v->model, "llama");
    bool llama3 = v->pre && (str_eq(v->pre, "llama3") || str_eq(v->pre, "llama-v3") || str_eq(v->pre, "llama-bpe"));
    v->ignore_merges = pre_ignores_merges(v->pre);
    int rc = flag(g, "tokenizer.ggml.add_bos_token", (spm || llama3) && v->bos_id >= 0, &v->add_bos, e);
    rc = rc ? rc : flag(g, "tokenizer.ggml.add_eos_token", false, &v->add_eos, e);
    rc = rc ? rc : flag(g, "tokenizer.ggml.add_space_prefix", spm, &v->add_space_prefix, e);
    if (!rc && v->add_bos && v->bos_id < 0) {
        rc = err_set(e, ERR_INPUT, "tokenizer.ggml.add_bos_token",
                     "tokenizer.ggml.add_bos_token is set, but there is no tokenizer.ggml.bos_token_id");
    }
    if (!rc && v->add_eos && v->eos_id < 0) {
        rc = err_set(e, ERR_INPUT, "tokenizer.ggml.add_eos_token",
                     "tokenizer.ggml.add_eos_token is set, but there is no tokenizer.ggml.eos_token_id");
    }
    return rc;
}

static int arrays(const struct gguf_file *g, struct vocab_source *v, struct err *e)
{
    const struct gguf_value *token;
    const struct gguf_value *score;
    const struct gguf_value *type;
    const struct gguf_value *merge;
    int rc = find_array(g, "tokenizer.ggml.tokens", GGUF_STRING, 0, &token, e);
    if (rc) {
        return rc;
    }
    if (!token || token->arr.n == 0 || token->arr.n > INT32_MAX) {
        return err_set(e, ERR_INPUT, "tokenizer.ggml.tokens", "tokenizer.ggml.tokens has no tokens");
    }
    v->n_token = token->arr.n;
    v->token = token->arr.str;
    v->token_len = token->arr.str_len;
    rc = find_array(g, "tokenizer.ggml.scores", GGUF_F32, v->n_token, &score, e);
    rc = rc ? rc : find_array(g, "tokenizer.ggml.token_type", GGUF_I32, v->n_token, &type, e);
    rc = rc ? rc : find_array(g, "tokenizer.ggml.merges", GGUF_STRING, 0, &merge, e);
    if (rc) {
        return rc;
    }
    v->score = score ? score->arr.data : NULL;
    v->type = type ? type->arr.data : NULL;
    v->merge = merge ? merge->arr.str : NULL;
    v->n_merge = merge ? merge->arr.n : 0;
    return 0;
}

int gguf_vocab(const struct gguf_file *g, struct vocab_source *v, struct err *e)
{
    *v = (struct vocab_source){.bos_id = -1, .eos_id = -1, .eot_id = -1, .eom_id = -1, .unk_id = -1, .pad_id = -1};
    struct vocab_source x = *v;
    x.model = gguf_get_str(g, "tokenizer.ggml.model");
    if (!x.model || str_eq(x.model, "none") || str_eq(x.model, "no_vocab")) {
        return 0;
    }
    x.pre = gguf_get_str(g, "tokenizer.ggml.pre");
    x.chat_template = gguf_get_str(g, "tokenizer.chat_template");
    int rc = 0;
    if (x.chat_template && strlen(x.chat_template) != gguf_find(g, "tokenizer.chat_template")->str.len) {
        rc = err_set(e, ERR_INPUT, "tokenizer.chat_template", "tokenizer.chat_template has a NUL byte in it");
    }
    rc = rc ? rc : arrays(g, &x, e);
    rc = rc ? rc : special_ids(g, &x, e);
    rc = rc ? rc : flags(g, &x, e);
    if (!rc) {
        *v = x;
    }
    return rc;
}
