/* The vocabulary that a GGUF carries under tokenizer.*: arrays of one length, special ids inside the vocabulary.
 * Strings and arrays are borrowed from the gguf_file. Defaults for absent keys are llama.cpp's. Keys under
 * tailor.tokenizer say what GGUF has no words for: normalization, and how added tokens take the text around them. */
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
    if (str_eq(v->model, "bert")) { /* [CLS] and [SEP] stand at the ends; the second key is spelled so in files */
        int sep = -1, cls = -1;
        int rc = special_id(g, "cls_token_id", v->n_token, &cls, e);
        rc = rc ? rc : special_id(g, "separator_token_id", v->n_token, &sep, e);
        rc = rc || sep >= 0 ? rc : special_id(g, "seperator_token_id", v->n_token, &sep, e);
        v->bos_id = cls >= 0 ? cls : v->bos_id;
        v->eos_id = sep >= 0 ? sep : v->eos_id;
        return rc;
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

/* "nfc,lower" as bits. */
static int normalization(const struct gguf_file *g, struct vocab_source *v, struct err *e)
{
    const char *text = gguf_get_str(g, TAILOR_NORMALIZE);
    v->normalize = str_eq(v->model, "bert") ? NORMALIZE_CLEAN | NORMALIZE_CJK | NORMALIZE_ACCENTS | NORMALIZE_LOWER
                   : str_eq(v->model, "llama") || str_eq(v->model, "gemma4") ? NORMALIZE_SPACES
                                                                             : 0;
    if (text && !vocab_normalize_parse(text, &v->normalize)) {
        return err_set(e, ERR_INPUT, TAILOR_NORMALIZE, "%s is \"%.64s\", names of steps with commas would be right",
                       TAILOR_NORMALIZE, text);
    }
    return 0;
}

static int space_prefix(const struct gguf_file *g, struct vocab_source *v, struct err *e)
{
    bool add, first, unless;
    int rc = flag(g, "tokenizer.ggml.add_space_prefix", str_eq(v->model, "llama"), &add, e);
    rc = rc ? rc : flag(g, TAILOR_PREFIX_FIRST, false, &first, e);
    rc = rc ? rc : flag(g, TAILOR_PREFIX_UNLESS, str_eq(v->model, "gpt2"), &unless, e);
    if (!rc) {
        v->space_prefix = !add ? SPACE_PREFIX_NONE : first ? SPACE_PREFIX_FIRST : SPACE_PREFIX_EVERY;
        v->prefix_unless_space = unless;
    }
    return rc;
}

/* The ids in an array set a bit each. */
static int match_bit(const struct gguf_file *g, const char *key, unsigned bit, size_t n_token, uint8_t *match,
                     struct err *e)
{
    const struct gguf_value *ids;
    int rc = find_array(g, key, GGUF_I32, 0, &ids, e);
    for (size_t i = 0; !rc && ids && i < ids->arr.n; i++) {
        int32_t id;
        memcpy(&id, (const char *)ids->arr.data + i * sizeof id, sizeof id);
        if (id < 0 || (size_t)id >= n_token) {
            return err_set(e, ERR_INPUT, key, "%s: %d is no id of one of the %zu tokens", key, id, n_token);
        }
        match[id] |= (uint8_t)bit;
    }
    return rc;
}

/* Phi-3's special tokens take the white space behind them, but for three; its files do not say so (llama.cpp goes by
 * the name too). */
static bool is_phi3(const struct gguf_file *g)
{
    const char *name = gguf_get_str(g, "general.name");
    return name && (strcasestr(name, "phi-3") || strcasestr(name, "phi3"));
}

static void match_phi3(const struct vocab_source *v, uint8_t *match)
{
    enum { TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4 };
    for (size_t i = 0; v->type && i < v->n_token; i++) {
        bool special = v->type[i] == TYPE_CONTROL || v->type[i] == TYPE_USER_DEFINED;
        bool plain = str_eq(v->token[i], "<s>") || str_eq(v->token[i], "<|endoftext|>");
        match[i] = special && !plain ? TOKEN_MATCH_RSTRIP : 0;
    }
}

static int matches(const struct gguf_file *g, struct arena *mem, struct vocab_source *v, struct err *e)
{
    bool phi3 = is_phi3(g) && str_eq(v->model, "llama");
    bool said = gguf_find(g, TAILOR_LSTRIP) || gguf_find(g, TAILOR_RSTRIP) || gguf_find(g, TAILOR_SINGLE_WORD);
    if (!phi3 && !said) {
        return 0;
    }
    uint8_t *match = arena_alloc(mem, v->n_token);
    if (!match) {
        return err_set(e, ERR_NOMEM, "tokenizer.ggml.tokens", "out of memory for %zu tokens", v->n_token);
    }
    if (phi3 && !said) {
        match_phi3(v, match);
    }
    v->match = match;
    int rc = match_bit(g, TAILOR_LSTRIP, TOKEN_MATCH_LSTRIP, v->n_token, match, e);
    rc = rc ? rc : match_bit(g, TAILOR_RSTRIP, TOKEN_MATCH_RSTRIP, v->n_token, match, e);
    return rc ? rc : match_bit(g, TAILOR_SINGLE_WORD, TOKEN_MATCH_WORD, v->n_token, match, e);
}

static int flags(const struct gguf_file *g, struct vocab_source *v, struct err *e)
{
    bool spm = str_eq(v->model, "llama");
    bool bert = str_eq(v->model, "bert");
    bool llama3 = v->pre && (str_eq(v->pre, "llama3") || str_eq(v->pre, "llama-v3") || str_eq(v->pre, "llama-bpe"));
    v->ignore_merges = pre_ignores_merges(v->pre);
    int rc = flag(g, "tokenizer.ggml.add_bos_token", (spm || llama3 || bert) && v->bos_id >= 0, &v->add_bos, e);
    rc = rc ? rc : flag(g, "tokenizer.ggml.add_eos_token", bert && v->eos_id >= 0, &v->add_eos, e);
    rc = rc ? rc : space_prefix(g, v, e);
    rc = rc ? rc : normalization(g, v, e);
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

int gguf_vocab(const struct gguf_file *g, struct arena *mem, struct vocab_source *v, struct err *e)
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
    rc = rc ? rc : matches(g, mem, &x, e);
    if (!rc) {
        *v = x;
    }
    return rc;
}
