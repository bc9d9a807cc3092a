/* tokenizer.json or tokenizer.model (with tokenizer_config.json, chat_template.jinja, config.json beside) as a
 * vocabulary.
 * Strings are copied into the arena of struct hf_vocab, so the JSON can be let go. What always holds: every id below
 * n_token has a token, holes are unused tokens [PADn] as GGUF converters write them, and n_token is bounded by the
 * number of entries that were read. */
#include "compute/formats/formats_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/str.h"

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5, TYPE_BYTE = 6 };
enum { MAX_HOLES = 1 << 16 }; /* ids that a vocabulary may skip */

struct loader {
    struct hf_vocab *h;
    const char *path;
    const char **token;
    uint32_t *len;
    int32_t *type;
    uint8_t *match;
    size_t n;
    const char *word_prefix; /* WordPiece: what stands in front of a piece that goes on a word; else NULL */
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

/* An entry of the vocabulary. WordPiece is turned round: U+2581 in front of what begins a word, nothing in front of
 * what goes on, as GGUF has it. */
static int set_entry(struct loader *l, size_t id, const char *text)
{
    char marked[512];
    size_t n = strlen(text), n_prefix = l->word_prefix ? strlen(l->word_prefix) : 0;
    if (!l->word_prefix) {
        return set_token(l, id, text, n, TYPE_NORMAL);
    }
    if (n > n_prefix && !strncmp(text, l->word_prefix, n_prefix)) {
        return set_token(l, id, text + n_prefix, n - n_prefix, TYPE_NORMAL);
    }
    int len = snprintf(marked, sizeof marked, "\xE2\x96\x81%s", text);
    if (len >= (int)sizeof marked) {
        return err_set(l->e, ERR_INPUT, l->path, "cannot read \"%s\": token %zu is longer than %zu bytes", l->path, id,
                       sizeof marked - 4);
    }
    return set_token(l, id, marked, (size_t)len, TYPE_NORMAL);
}

/* <|...|>, also with full-width bars: what only templates write, though some files do not mark it special. */
static bool looks_special(const char *s, size_t n)
{
    static const char wide[] = "\xEF\xBD\x9C";
    bool plain = n > 4 && !strncmp(s, "<|", 2) && !strcmp(s + n - 2, "|>");
    return plain ||
           (n > 8 && s[0] == '<' && !strncmp(s + 1, wide, 3) && s[n - 1] == '>' && !strncmp(s + n - 4, wide, 3));
}

/* An added token replaces what the vocabulary says of its id: the same text, but for WordPiece's mark. */
static int set_added(struct loader *l, const json_t *a)
{
    size_t id = (size_t)json_integer_value(json_object_get(a, "id"));
    const char *text = json_string_value(json_object_get(a, "content"));
    size_t n = json_string_length(json_object_get(a, "content"));
    bool control = json_is_true(json_object_get(a, "special")) || looks_special(text, n);
    if (l->word_prefix && l->token[id] && str_ends(l->token[id], text)) {
        l->token[id] = NULL;
    }
    int rc = set_token(l, id, text, n, control ? TYPE_CONTROL : TYPE_USER);
    l->match[id] = (uint8_t)((json_is_true(json_object_get(a, "lstrip")) ? TOKEN_MATCH_LSTRIP : 0) |
                             (json_is_true(json_object_get(a, "rstrip")) ? TOKEN_MATCH_RSTRIP : 0) |
                             (json_is_true(json_object_get(a, "single_word")) ? TOKEN_MATCH_WORD : 0));
    l->h->v.match = l->match[id] ? l->match : l->h->v.match;
    return rc;
}

static int fill_tokens(struct loader *l, json_t *vocab, const json_t *added)
{
    const char *text;
    json_t *value;
    char pad[32];
    int rc = 0;
    json_object_foreach(vocab, text, value)
    {
        rc = rc ? rc : set_entry(l, (size_t)json_integer_value(value), text);
    }
    for (size_t i = 0; !rc && i < json_array_size(added); i++) {
        rc = set_added(l, json_array_get(added, i));
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
    l->match = arena_alloc(&l->h->mem, l->n);
    rc = l->token && l->len && l->type && l->match ? fill_tokens(l, vocab, added) : no_memory(l);
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

/* One post-processor: what it puts at the ends of a text. */
static void read_ends(const struct loader *l, const json_t *p, struct vocab_source *v)
{
    const char *type = json_string_value(json_object_get(p, "type"));
    int first = -1, last = -1;
    if (str_eq(type, "TemplateProcessing")) {
        first = template_end(l, p, true);
        last = template_end(l, p, false);
    } else if (str_eq(type, "BertProcessing") || str_eq(type, "RobertaProcessing")) {
        first = find_token(l, json_string_value(json_array_get(json_object_get(p, "cls"), 0)));
        last = find_token(l, json_string_value(json_array_get(json_object_get(p, "sep"), 0)));
    } else {
        return;
    }
    bool word = str_eq(v->model, "bert"); /* has no BOS of its own: what stands at the ends is meant */
    v->bos_id = v->bos_id < 0 || (word && first >= 0) ? first : v->bos_id;
    v->eos_id = (v->eos_id < 0 || word) && last >= 0 ? last : v->eos_id;
    v->add_bos = first >= 0 && first == v->bos_id;
    v->add_eos = last >= 0 && last == v->eos_id;
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
        read_ends(l, list ? json_array_get(list, i) : post, v);
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
    if (str_eq(json_string_value(type), "WordPiece")) {
        return "bert";
    }
    return json_is_string(type) ? copy(l, type) : "unknown";
}

/* Options of the model that change what comes out and that no tokenizer of ours has. */
static void check_options(const json_t *model, struct vocab_source *v)
{
    const json_t *suffix = json_object_get(model, "end_of_word_suffix");
    const json_t *prefix = json_object_get(model, "continuing_subword_prefix");
    const json_t *max = json_object_get(model, "max_input_chars_per_word");
    bool words = str_eq(v->model, "bert");
    if (json_is_number(json_object_get(model, "dropout")) && json_number_value(json_object_get(model, "dropout")) > 0) {
        v->unsupported = "dropout of its BPE";
    }
    if (json_string_length(suffix) > 0 || (!words && json_string_length(prefix) > 0)) {
        v->unsupported = "BPE with marks at the ends of words";
    }
    if (words && json_is_integer(max) && json_integer_value(max) != 100) {
        v->unsupported = "WordPiece with other than 100 characters a word";
    }
}

/* Tokens that bytes fall back to, and the one for what is unknown. */
static void mark_types(struct loader *l, const json_t *model, struct vocab_source *v)
{
    const json_t *unk = json_object_get(model, "unk_token");
    int id = find_token(l, json_string_value(unk));
    if (id >= 0) {
        v->unk_id = id;
        l->type[id] = str_eq(v->model, "gpt2") ? l->type[id] : TYPE_UNKNOWN;
    }
    for (size_t i = 0; json_is_true(json_object_get(model, "byte_fallback")) && i < l->n; i++) {
        bool byte = l->len[i] == 6 && !strncmp(l->token[i], "<0x", 3) && l->token[i][5] == '>';
        l->type[i] = byte && l->type[i] == TYPE_NORMAL ? TYPE_BYTE : l->type[i];
    }
}

static int load(struct loader *l, const json_t *tokenizer, const json_t *tokenizer_config, const json_t *config)
{
    struct vocab_source *v = &l->h->v;
    const json_t *model = json_object_get(tokenizer, "model");
    json_t *vocab = json_object_get(model, "vocab");
    v->model = model_kind(l, model, hf_is_byte_level(tokenizer));
    if (!json_is_object(vocab)) {
        return err_set(l->e, ERR_UNSUPPORTED, l->path,
                       "cannot read \"%s\": tokenizer model \"%.32s\" has no vocabulary of text and id", l->path,
                       v->model ? v->model : "");
    }
    if (str_eq(v->model, "bert")) {
        const char *prefix = json_string_value(json_object_get(model, "continuing_subword_prefix"));
        l->word_prefix = prefix && *prefix ? prefix : "##";
    }
    hf_read_preparation(tokenizer, v);
    check_options(model, v);
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
    mark_types(l, model, v);
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

/* added_tokens_decoder of tokenizer_config.json, {"5": {"content": ...}}, as added_tokens of a tokenizer.json; NULL
 * without memory. */
static json_t *added_tokens(const json_t *tokenizer_config)
{
    json_t *list = json_array();
    json_t *decoder = json_object_get(tokenizer_config, "added_tokens_decoder");
    const char *key;
    json_t *value;
    json_object_foreach(decoder, key, value)
    {
        char *end;
        long id = strtol(key, &end, 10);
        json_t *a = json_is_object(value) ? json_copy(value) : NULL;
        bool ok = a && *key && !*end && id >= 0 && id < INT32_MAX && json_is_string(json_object_get(a, "content")) &&
                  !json_object_set_new(a, "id", json_integer(id)) && !json_array_append(list, a);
        json_decref(a);
        if (!ok) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static const char *unsupported_pieces(const struct spm_model *m)
{
    return !m->is_bpe           ? "a SentencePiece model other than BPE (unigram, word or char)"
           : m->maps_chars      ? "a SentencePiece normalizer other than identity"
           : m->joins_spaces    ? "a SentencePiece model that joins spaces (remove_extra_whitespaces)"
           : m->space_behind    ? "a SentencePiece model with spaces behind words"
           : !m->escapes_spaces ? "a SentencePiece model that does not escape spaces"
                                : NULL;
}

/* The pieces, then what tokenizer_config.json adds to them. */
static int load_pieces(struct loader *l, const struct spm_model *m, const json_t *added)
{
    struct vocab_source *v = &l->h->v;
    int rc = 0;
    l->n = m->n;
    size_t id;
    for (size_t i = 0; i < json_array_size(added); i++) {
        if (id_of(json_object_get(json_array_get(added, i), "id"), &id) && id >= l->n) {
            l->n = id + 1;
        }
    }
    if (l->n > m->n + json_array_size(added) + MAX_HOLES) {
        return err_set(l->e, ERR_INPUT, l->path, "cannot read \"%s\": an added token has id %zu, %zu pieces are there",
                       l->path, l->n - 1, m->n);
    }
    l->token = arena_alloc(&l->h->mem, l->n * sizeof *l->token);
    l->len = arena_alloc(&l->h->mem, l->n * sizeof *l->len);
    l->type = arena_alloc(&l->h->mem, l->n * sizeof *l->type);
    l->match = arena_alloc(&l->h->mem, l->n);
    float *score = arena_alloc(&l->h->mem, l->n * sizeof *score);
    if (!l->token || !l->len || !l->type || !l->match || !score) {
        return no_memory(l);
    }
    for (size_t i = 0; i < m->n; i++) {
        l->token[i] = m->text[i];
        l->len[i] = m->len[i];
        l->type[i] = m->type[i];
        score[i] = m->score[i];
    }
    *v = (struct vocab_source){.model = "llama",
                               .pre = "default",
                               .n_token = l->n,
                               .token = l->token,
                               .token_len = l->len,
                               .type = l->type,
                               .score = score,
                               .bos_id = m->bos_id,
                               .eos_id = m->eos_id,
                               .unk_id = m->unk_id,
                               .pad_id = m->pad_id,
                               .eot_id = -1,
                               .eom_id = -1,
                               .normalize = NORMALIZE_SPACES};
    rc = fill_tokens(l, NULL, added);
    return rc;
}

int spm_vocab_parse(struct hf_vocab *h, const char *path, const void *data, size_t n, const json_t *tokenizer_config,
                    const json_t *config, struct err *e)
{
    struct loader l = {.h = h, .path = path, .e = e};
    struct vocab_source *v = &h->v;
    struct spm_model m;
    json_t *added = NULL;
    int rc = spm_model_parse(&m, &h->mem, path, data, n, e);
    if (!rc) {
        added = added_tokens(tokenizer_config);
        rc = added ? load_pieces(&l, &m, added)
                   : err_set(e, ERR_INPUT, path,
                             "cannot read \"%s\": added_tokens_decoder of tokenizer_config.json must map ids to tokens",
                             path);
    }
    rc = rc ? rc : load_template(&l, tokenizer_config);
    if (!rc) {
        const json_t *bos = json_object_get(tokenizer_config, "add_bos_token");
        const json_t *prefix = json_object_get(tokenizer_config, "add_prefix_space");
        /* SentencePiece by itself puts the space at the beginning only; Hugging Face's "legacy" behind every special
         * token too */
        bool first = !tokenizer_config || json_is_false(json_object_get(tokenizer_config, "legacy"));
        int id = special_id(&l, tokenizer_config, config, "bos_token");
        v->bos_id = id >= 0 ? id : v->bos_id;
        id = special_id(&l, tokenizer_config, config, "eos_token");
        v->eos_id = id >= 0 ? id : v->eos_id;
        id = special_id(&l, tokenizer_config, config, "pad_token");
        v->pad_id = id >= 0 ? id : v->pad_id;
        v->add_bos = v->bos_id >= 0 && !json_is_false(bos);
        v->add_eos = v->eos_id >= 0 && json_is_true(json_object_get(tokenizer_config, "add_eos_token"));
        v->space_prefix = !m.dummy_prefix || json_is_false(prefix) ? SPACE_PREFIX_NONE
                          : first                                  ? SPACE_PREFIX_FIRST
                                                                   : SPACE_PREFIX_EVERY;
        v->unsupported = unsupported_pieces(&m);
    }
    h->v = rc ? no_vocab : h->v;
    json_decref(added);
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

/* tokenizer.model, where there is no tokenizer.json. */
static int load_sentencepiece(struct hf_vocab *h, const char *path, const json_t *tokenizer_config,
                              const json_t *config, struct err *e)
{
    char *data;
    size_t n;
    int rc = file_read_all(path, LIMIT_STRING_BYTES, &data, &n, e);
    if (!rc) {
        rc = spm_vocab_parse(h, path, data, n, tokenizer_config, config, e);
        mem_free(data);
    }
    return rc;
}

int hf_vocab_load(struct hf_vocab *h, const char *dir, const json_t *config, struct err *e)
{
    char *path = path_join(dir, "tokenizer.json");
    char *pieces_path = path_join(dir, "tokenizer.model");
    char *config_path = path_join(dir, "tokenizer_config.json");
    char *template_path = path_join(dir, "chat_template.jinja");
    json_t *tokenizer = NULL;
    json_t *tokenizer_config = NULL;
    int rc = 0;
    h->v = no_vocab;
    bool is_json = file_exists(path);
    if (!is_json && !file_exists(pieces_path)) {
        goto out;
    }
    if (file_exists(config_path)) {
        /* reals: model_max_length is often 10^30 */
        rc = json_load_object(&tokenizer_config, config_path, LIMIT_JSON_FILE, JSON_DECODE_INT_AS_REAL, e);
    }
    if (!rc && is_json) {
        rc = json_load_object(&tokenizer, path, LIMIT_JSON_FILE, 0, e);
        rc = rc ? rc : hf_vocab_parse(h, path, tokenizer, tokenizer_config, config, e);
    } else if (!rc) {
        rc = load_sentencepiece(h, pieces_path, tokenizer_config, config, e);
    }
    rc = rc ? rc : load_template_file(h, template_path, e);
    h->v = rc ? no_vocab : h->v;
out:
    json_decref(tokenizer);
    json_decref(tokenizer_config);
    mem_free(path);
    mem_free(pieces_path);
    mem_free(config_path);
    mem_free(template_path);
    return rc;
}
