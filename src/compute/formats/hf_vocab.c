/* tokenizer.json (with tokenizer_config.json, chat_template.jinja, config.json beside it) as a vocabulary.
 * Strings are copied into the arena of struct hf_vocab, so the JSON can be let go. What always holds: every id below
 * n_token has a token, holes are unused tokens [PADn] as GGUF converters write them, and n_token is bounded by the
 * number of entries that were read. */
#include "compute/formats/formats_int.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/str.h"

enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5 };
enum { MAX_HOLES = 1 << 16 }; /* ids that a vocabulary may skip */

struct loader {
    struct hf_vocab *h;
    const char *path;
    const char **token;
    uint32_t *len;
    int32_t *type;
    size_t n;
    struct err *e;
};

static int no_memory(const struct loader *l)
{
    return err_set(l->e, ERR_NOMEM, l->path, "cannot read \"%s\": out of memory for its vocabulary", l->path);
}

static char *copy(const struct loader *l, const json_t *text)
{
    return arena_strndup(&l->h->mem, json_string_value(text), json_string_length(text));
}

static bool id_of(const json_t *j, size_t *id)
{
    if (!json_is_integer(j) || json_integer_value(j) < 0 || json_integer_value(j) > INT32_MAX - 1) {
        return false;
    }
    *id = (size_t)json_integer_value(j);
    return true;
}

/* Largest id + 1 of vocabulary and added tokens. */
static int count_tokens(struct loader *l, json_t *vocab, const json_t *added)
{
    const char *text;
    json_t *value;
    size_t id;
    size_t n_entry = json_object_size(vocab) + json_array_size(added);
    bool right = true;
    json_object_foreach(vocab, text, value)
    {
        right = right && id_of(value, &id);
        l->n = right && id >= l->n ? id + 1 : l->n;
    }
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *a = json_array_get(added, i);
        right = right && id_of(json_object_get(a, "id"), &id) && json_is_string(json_object_get(a, "content"));
        l->n = right && id >= l->n ? id + 1 : l->n;
    }
    if (!right || l->n == 0 || l->n > n_entry + MAX_HOLES) {
        return err_set(l->e, ERR_INPUT, l->path,
                       "cannot read \"%s\": its vocabulary must give %zu entries ids from 0 on, with few holes",
                       l->path, n_entry);
    }
    return 0;
}

static int set_token(struct loader *l, size_t id, const char *text, size_t len, int32_t type)
{
    if (l->token[id] && !(l->len[id] == len && !memcmp(l->token[id], text, len))) {
        return err_set(l->e, ERR_INPUT, l->path, "cannot read \"%s\": id %zu is given to \"%.32s\" and to \"%.32s\"",
                       l->path, id, l->token[id], text);
    }
    l->token[id] = l->token[id] ? l->token[id] : arena_strndup(&l->h->mem, text, len);
    l->len[id] = (uint32_t)len;
    l->type[id] = type;
    return l->token[id] ? 0 : no_memory(l);
}

static int fill_tokens(struct loader *l, json_t *vocab, const json_t *added)
{
    const char *text;
    json_t *value;
    char pad[32];
    int rc = 0;
    json_object_foreach(vocab, text, value)
    {
        rc = rc ? rc : set_token(l, (size_t)json_integer_value(value), text, strlen(text), TYPE_NORMAL);
    }
    for (size_t i = 0; !rc && i < json_array_size(added); i++) {
        const json_t *a = json_array_get(added, i);
        const json_t *content = json_object_get(a, "content");
        bool special = json_is_true(json_object_get(a, "special"));
        rc = set_token(l, (size_t)json_integer_value(json_object_get(a, "id")), json_string_value(content),
                       json_string_length(content), special ? TYPE_CONTROL : TYPE_USER);
    }
    for (size_t id = 0; !rc && id < l->n; id++) {
        if (!l->token[id]) {
            snprintf(pad, sizeof pad, "[PAD%zu]", id);
            rc = set_token(l, id, pad, strlen(pad), TYPE_UNUSED);
        }
    }
    return rc;
}

static int load_tokens(struct loader *l, json_t *vocab, const json_t *added)
{
    struct vocab_source *v = &l->h->v;
    int rc = count_tokens(l, vocab, added);
    if (rc) {
        return rc;
    }
    l->token = arena_alloc(&l->h->mem, l->n * sizeof *l->token);
    l->len = arena_alloc(&l->h->mem, l->n * sizeof *l->len);
    l->type = arena_alloc(&l->h->mem, l->n * sizeof *l->type);
    rc = l->token && l->len && l->type ? fill_tokens(l, vocab, added) : no_memory(l);
    v->n_token = l->n;
    v->token = l->token;
    v->token_len = l->len;
    v->type = l->type;
    return rc;
}

/* A merge is "left right", or in newer files ["left", "right"]. */
static char *merge_text(const struct loader *l, const json_t *merge)
{
    const json_t *left = json_array_get(merge, 0);
    const json_t *right = json_array_get(merge, 1);
    if (json_is_string(merge)) {
        return copy(l, merge);
    }
    if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right)) {
        return NULL;
    }
    size_t n = json_string_length(left);
    size_t size = n + 1 + json_string_length(right) + 1;
    char *s = arena_alloc(&l->h->mem, size);
    if (s) {
        snprintf(s, size, "%s %s", json_string_value(left), json_string_value(right));
    }
    return s;
}

static int load_merges(struct loader *l, const json_t *merges)
{
    size_t n = json_array_size(merges);
    const char **merge = n ? arena_alloc(&l->h->mem, n * sizeof *merge) : NULL;
    if (n && !merge) {
        return no_memory(l);
    }
    for (size_t i = 0; i < n; i++) {
        merge[i] = merge_text(l, json_array_get(merges, i));
        if (!merge[i]) {
            return err_set(l->e, ERR_INPUT, l->path,
                           "cannot read \"%s\": merge %zu is neither \"left right\" nor [\"left\", \"right\"]", l->path,
                           i);
        }
    }
    l->h->v.merge = merge;
    l->h->v.n_merge = n;
    return 0;
}

static int find_token(const struct loader *l, const char *text)
{
    for (size_t id = 0; text && id < l->n; id++) {
        if (!strcmp(l->token[id], text)) {
            return (int)id;
        }
    }
    return -1;
}

/* A special token by tokenizer_config.json (text, or an object with its content), else by the id in config.json. */
static int special_id(const struct loader *l, const json_t *tokenizer_config, const json_t *config, const char *name)
{
    char key[64];
    const json_t *j = json_object_get(tokenizer_config, name);
    const json_t *content = json_is_object(j) ? json_object_get(j, "content") : j;
    int id = find_token(l, json_string_value(content));
    snprintf(key, sizeof key, "%s_id", name);
    j = json_object_get(config, key);
    j = json_is_array(j) ? json_array_get(j, 0) : j;
    size_t by_config;
    if (id < 0 && id_of(j, &by_config) && by_config < l->n) {
        id = (int)by_config;
    }
    return id;
}

/* The first or last special token of the post-processor's template for one text; -1: none. */
static int template_end(const struct loader *l, const json_t *processor, bool first)
{
    const json_t *single = json_object_get(processor, "single");
    size_t n = json_array_size(single);
    const json_t *item = json_array_get(single, first ? 0 : n - 1);
    return n ? find_token(l, json_string_value(json_object_get(json_object_get(item, "SpecialToken"), "id"))) : -1;
}

/* What is added at the ends: by the post-processor, unless tokenizer_config.json says it in so many words. */
static void load_ends(struct loader *l, const json_t *tokenizer, const json_t *tokenizer_config)
{
    struct vocab_source *v = &l->h->v;
    const json_t *post = json_object_get(tokenizer, "post_processor");
    const json_t *list = json_object_get(post, "processors");
    const json_t *bos = json_object_get(tokenizer_config, "add_bos_token");
    const json_t *eos = json_object_get(tokenizer_config, "add_eos_token");
    size_t n = list ? json_array_size(list) : 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *p = list ? json_array_get(list, i) : post;
        if (str_eq(json_string_value(json_object_get(p, "type")), "TemplateProcessing")) {
            int first = template_end(l, p, true);
            int last = template_end(l, p, false);
            v->bos_id = v->bos_id < 0 ? first : v->bos_id;
            v->add_bos = first >= 0 && first == v->bos_id;
            v->add_eos = last >= 0 && last == v->eos_id;
        }
    }
    v->add_bos = (json_is_boolean(bos) ? json_is_true(bos) : v->add_bos) && v->bos_id >= 0;
    v->add_eos = (json_is_boolean(eos) ? json_is_true(eos) : v->add_eos) && v->eos_id >= 0;
}

/* chat_template: a text, or a list of {name, template} of which "default" counts. */
static int load_template(struct loader *l, const json_t *tokenizer_config)
{
    const json_t *t = json_object_get(tokenizer_config, "chat_template");
    for (size_t i = 0; json_is_array(t) && i < json_array_size(t); i++) {
        const json_t *item = json_array_get(t, i);
        if (str_eq(json_string_value(json_object_get(item, "name")), "default")) {
            t = json_object_get(item, "template");
        }
    }
    if (json_is_string(t)) {
        l->h->v.chat_template = copy(l, t);
        return l->h->v.chat_template ? 0 : no_memory(l);
    }
    return 0;
}

/* GGUF's name of the kind of tokenizer; others keep their own, so that whoever refuses it can name it. */
static const char *model_kind(const struct loader *l, const json_t *model, bool byte_level)
{
    const json_t *type = json_object_get(model, "type");
    if (str_eq(json_string_value(type), "BPE") || (!type && json_object_get(model, "merges"))) {
        return byte_level ? "gpt2" : "llama";
    }
    return json_is_string(type) ? copy(l, type) : "unknown";
}

static int load(struct loader *l, const json_t *tokenizer, const json_t *tokenizer_config, const json_t *config)
{
    struct vocab_source *v = &l->h->v;
    const json_t *model = json_object_get(tokenizer, "model");
    json_t *vocab = json_object_get(model, "vocab");
    bool byte_level;
    v->pre = hf_pre_tokenizer_name(tokenizer, &byte_level, &v->add_space_prefix);
    v->model = model_kind(l, model, byte_level);
    if (!json_is_object(vocab)) {
        return err_set(l->e, ERR_UNSUPPORTED, l->path,
                       "cannot read \"%s\": tokenizer model \"%.32s\" has no vocabulary of text and id", l->path,
                       v->model ? v->model : "");
    }
    int rc = load_tokens(l, vocab, json_object_get(tokenizer, "added_tokens"));
    rc = rc ? rc : load_merges(l, json_object_get(model, "merges"));
    rc = rc ? rc : load_template(l, tokenizer_config);
    if (rc) {
        return rc;
    }
    v->ignore_merges = json_is_true(json_object_get(model, "ignore_merges"));
    v->bos_id = special_id(l, tokenizer_config, config, "bos_token");
    v->eos_id = special_id(l, tokenizer_config, config, "eos_token");
    v->pad_id = special_id(l, tokenizer_config, config, "pad_token");
    v->unk_id = special_id(l, tokenizer_config, NULL, "unk_token");
    load_ends(l, tokenizer, tokenizer_config);
    return 0;
}

static const struct vocab_source no_vocab = {
    .bos_id = -1, .eos_id = -1, .eot_id = -1, .eom_id = -1, .unk_id = -1, .pad_id = -1};

int hf_vocab_parse(struct hf_vocab *h, const char *path, const json_t *tokenizer, const json_t *tokenizer_config,
                   const json_t *config, struct err *e)
{
    struct loader l = {.h = h, .path = path, .e = e};
    h->v = no_vocab;
    int rc = load(&l, tokenizer, tokenizer_config, config);
    if (rc) {
        h->v = no_vocab;
    }
    return rc;
}

/* A template in a file of its own wins over the one in tokenizer_config.json (transformers since 4.43). */
static int load_template_file(struct hf_vocab *h, const char *path, struct err *e)
{
    char *text;
    size_t n;
    if (!file_exists(path)) {
        return 0;
    }
    int rc = file_read_all(path, LIMIT_STRING_BYTES, &text, &n, e);
    if (rc) {
        return rc;
    }
    h->v.chat_template = strlen(text) == n ? arena_strndup(&h->mem, text, n) : NULL;
    mem_free(text);
    return h->v.chat_template
               ? 0
               : err_set(e, ERR_INPUT, path, "cannot read \"%s\": it has a NUL byte, or out of memory", path);
}

int hf_vocab_load(struct hf_vocab *h, const char *dir, const json_t *config, struct err *e)
{
    char *path = path_join(dir, "tokenizer.json");
    char *config_path = path_join(dir, "tokenizer_config.json");
    char *template_path = path_join(dir, "chat_template.jinja");
    json_t *tokenizer = NULL;
    json_t *tokenizer_config = NULL;
    int rc = 0;
    h->v = no_vocab;
    if (!file_exists(path)) {
        goto out;
    }
    rc = json_load_object(&tokenizer, path, LIMIT_JSON_FILE, 0, e);
    if (!rc && file_exists(config_path)) {
        /* reals: model_max_length is often 10^30 */
        rc = json_load_object(&tokenizer_config, config_path, LIMIT_JSON_FILE, JSON_DECODE_INT_AS_REAL, e);
    }
    rc = rc ? rc : hf_vocab_parse(h, path, tokenizer, tokenizer_config, config, e);
    rc = rc ? rc : load_template_file(h, template_path, e);
    h->v = rc ? no_vocab : h->v;
out:
    json_decref(tokenizer);
    json_decref(tokenizer_config);
    mem_free(path);
    mem_free(config_path);
    mem_free(template_path);
    return rc;
}
