/* How a tokenizer.json prepares text: its normalizer and pre_tokenizer as a struct vocab_source says it, pre-tokenizers
 * by the names that GGUF gives them. Owns nothing.
 * A step is taken over only when it is known: one that is read over would tokenize otherwise than the model was trained
 * on, so v->unsupported names it then. Regexes are the published ones of the families, compared as text. */
#include "compute/formats/formats_int.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/buf.h"
#include "ground/base/str.h"

#define CT     "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define TAIL   "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LEAD   "[^\\r\\n\\p{L}\\p{N}]?"
#define UPPER  "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER  "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define TAIL_O "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define O200K  LEAD UPPER "*" LOWER "+" CT "?|" LEAD UPPER "+" LOWER "*" CT "?|\\p{N}{1,3}" TAIL_O
#define GPT2   "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define DS3                                                                                               \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| " \
    "?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The steps before ByteLevel, one a line: "Digits", "ByteLevel" (with its own regex), or the regex of a Split. */
static const struct {
    const char *steps, *name;
    bool covers; /* the last pattern leaves nothing of a text out, so that to keep its matches is to isolate them */
} known[] = {
    {"ByteLevel\n", "gpt-2", true},
    {GPT2 "\n", "gpt-2", true},
    {"Digits\nByteLevel\n", "smollm", true},
    {"\\p{N}\n" GPT2 "\n", "smollm", true},
    {CT "|" LEAD "\\p{L}+|\\p{N}{1,3}" TAIL "\n", "llama-bpe", true},
    {CT "|" LEAD "\\p{L}+|\\p{N}" TAIL "\n", "deepseek-r1-qwen", true},
    {CT "|" LEAD "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+\n",
     "qwen35", true},
    {LEAD UPPER "*" LOWER "+|" LEAD UPPER "+" LOWER "*|\\p{N}" TAIL_O "\n", "tekken", true},
    {O200K "\n", "gpt-4o", true},
    {"\\d{1,3}(?=(?:\\d{3})*\\b)\n" O200K "\n", "tiny_aya", false},
    {"\\p{N}{1,3}\n[一-龥぀-ゟ゠-ヿ]+\n" DS3 "\n", "deepseek-v3", false},
    {"[\\r\\n]\n\\s?\\p{L}+\n\\s?\\p{P}+\n[一-龥ࠀ-一가-퟿]+\n\\p{N}\n", "deepseek-coder", false},
    {"[\\r\\n]\n\\s?\\p{L}+\n\\s?\\p{P}+\n[一-龥ࠀ-一가-퟿]+\nDigits\n", "deepseek-coder", false},
    {"Punctuation\nByteLevel\nDigits\n[0-9][0-9][0-9]\n", "falcon", false},
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!"
     "\\S)|\\s+\n",
     "bailingmoe", true},
    {CT "|" LEAD "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+\n", "seed-coder", true},
    {" ?[^(\\s|.,!?…。，、।۔،)]+\n", "bloom", false},
    {" ?[^(\\s|[.,!?…。，、।۔،])]+\n", "bloom", false},
    {" ?[^(\\s|.,!?…。，、।۔،)]+\n\\p{N}\n", "viking", false},
};

enum { MAX_STEPS = 8, MAX_PATTERN = 1 << 14 };

static const char *type_of(const json_t *step)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    return type ? type : "";
}

/* The steps of a pre-tokenizer or normalizer: a single one, or those of a Sequence. At most max are written, the return
 * value counts all. */
static size_t list_steps(const json_t *j, const char *list_name, const json_t **step, size_t max)
{
    const json_t *list = json_object_get(j, list_name);
    if (!str_eq(type_of(j), "Sequence")) {
        step[0] = j;
        return json_is_object(j) ? 1 : 0;
    }
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n && i < max; i++) {
        step[i] = json_array_get(list, i);
    }
    return n;
}

static const char *string_in(const json_t *j, const char *outer, const char *inner)
{
    const char *s = json_string_value(json_object_get(json_object_get(j, outer), inner));
    return s ? s : "";
}

/* A pattern with line breaks and tabs written as escapes: files have both. */
static int add_pattern(struct buf *b, const char *regex)
{
    int rc = 0;
    for (const char *s = regex; !rc && *s; s++) {
        const char *escape = *s == '\r' ? "\\r" : *s == '\n' ? "\\n" : *s == '\t' ? "\\t" : NULL;
        rc = escape ? buf_add_str(b, escape) : buf_add_char(b, *s);
    }
    return rc ? rc : buf_add_char(b, '\n');
}

/* One step as a line of `known`; false when no line can say it. *keeps: it keeps its matches and drops the rest. */
static bool describe(const json_t *step, bool last, struct buf *b, bool *keeps)
{
    const char *type = type_of(step);
    if (str_eq(type, "Split")) {
        const char *behavior = json_string_value(json_object_get(step, "behavior"));
        bool invert = json_is_true(json_object_get(step, "invert"));
        const char *regex = string_in(step, "pattern", "Regex");
        *keeps = str_eq(behavior, "Removed") && invert;
        return *regex && (*keeps || (str_eq(behavior, "Isolated") && !invert)) && !add_pattern(b, regex);
    }
    if (str_eq(type, "Digits") && json_is_true(json_object_get(step, "individual_digits"))) {
        return !buf_add_str(b, "Digits\n");
    }
    if (str_eq(type, "ByteLevel")) {
        bool own = !json_is_false(json_object_get(step, "use_regex"));
        return own ? !buf_add_str(b, "ByteLevel\n") : last;
    }
    return str_eq(type, "Punctuation") && !buf_add_str(b, "Punctuation\n");
}

static const char *find_known(const struct buf *b, bool keeps)
{
    for (size_t i = 0; b->data && i < N_ELEM(known); i++) {
        if (str_eq(b->data, known[i].steps) && (known[i].covers || !keeps)) {
            return known[i].name;
        }
    }
    return NULL;
}

/* Byte-level BPE: the name of its steps. */
static void byte_level_pre(const json_t *const *step, size_t n, struct vocab_source *v)
{
    struct buf b;
    bool keeps = false, ok = n > 0 && n <= MAX_STEPS;
    buf_init(&b, MAX_PATTERN);
    for (size_t i = 0; ok && i < n; i++) {
        ok = describe(step[i], i + 1 == n, &b, &keeps);
        if (ok && str_eq(type_of(step[i]), "ByteLevel") && json_is_true(json_object_get(step[i], "add_prefix_space"))) {
            v->space_prefix = SPACE_PREFIX_EVERY;
            v->prefix_unless_space = true;
        }
    }
    v->pre = ok ? find_known(&b, keeps) : NULL;
    if (!v->pre) {
        v->unsupported = "the pre-tokenizer of its tokenizer.json";
    } else if (str_eq(v->pre, "deepseek-r1-qwen") && (v->normalize & NORMALIZE_NFC)) {
        v->pre = "qwen2"; /* the same pattern; this name says that the text is NFC */
    }
    buf_deinit(&b);
}

/* SentencePiece's BPE: what only moves spaces. */
static void char_pre(const json_t *const *step, size_t n, struct vocab_source *v)
{
    for (size_t i = 0; i < n && i < MAX_STEPS; i++) {
        const json_t *s = step[i];
        const char *scheme = json_string_value(json_object_get(s, "prepend_scheme"));
        bool metaspace = str_eq(type_of(s), "Metaspace") && json_is_false(json_object_get(s, "split")) &&
                         str_eq(json_string_value(json_object_get(s, "replacement")), "\xE2\x96\x81");
        /* spaces are U+2581 by now, so this finds none */
        bool nothing = str_eq(type_of(s), "Split") && str_eq(string_in(s, "pattern", "String"), " ") &&
                       (v->normalize & NORMALIZE_SPACES);
        if (metaspace) {
            v->normalize |= NORMALIZE_SPACES;
            v->space_prefix = str_eq(scheme, "never")   ? SPACE_PREFIX_NONE
                              : str_eq(scheme, "first") ? SPACE_PREFIX_FIRST
                                                        : SPACE_PREFIX_EVERY;
            v->prefix_unless_space = true;
        } else if (!nothing) {
            v->unsupported = "the pre-tokenizer of its tokenizer.json";
        }
    }
    v->pre = "default"; /* what GGUF files of this kind say */
}

static void word_pre(const json_t *const *step, size_t n, struct vocab_source *v)
{
    if (n != 1 || !str_eq(type_of(step[0]), "BertPreTokenizer")) {
        v->unsupported = "the pre-tokenizer of its tokenizer.json";
    }
    v->pre = "default";
}

/* Bits of one step of the normalizer; 0 for a step that does nothing, -1 for one that is not known. */
static int normalizer_bits(const json_t *s, unsigned before)
{
    const char *type = type_of(s);
    if (str_eq(type, "NFC") || str_eq(type, "NFD")) {
        return type[2] == 'C' ? NORMALIZE_NFC : NORMALIZE_NFD;
    }
    if (str_eq(type, "Lowercase")) {
        return NORMALIZE_LOWER;
    }
    if (str_eq(type, "StripAccents") && (before & NORMALIZE_NFD)) {
        return NORMALIZE_ACCENTS;
    }
    if (str_eq(type, "Replace") && str_eq(string_in(s, "pattern", "String"), " ") &&
        str_eq(json_string_value(json_object_get(s, "content")), "\xE2\x96\x81")) {
        return NORMALIZE_SPACES;
    }
    if (str_eq(type, "BertNormalizer")) {
        bool lower = json_is_true(json_object_get(s, "lowercase"));
        const json_t *accents = json_object_get(s, "strip_accents");
        return (json_is_true(json_object_get(s, "clean_text")) ? NORMALIZE_CLEAN : 0) |
               (json_is_true(json_object_get(s, "handle_chinese_chars")) ? NORMALIZE_CJK : 0) |
               ((json_is_boolean(accents) ? json_is_true(accents) : lower) ? NORMALIZE_ACCENTS : 0) |
               (lower ? NORMALIZE_LOWER : 0);
    }
    return -1;
}

/* The steps must come in the order in which they will be done. */
static void read_normalizer(const json_t *normalizer, struct vocab_source *v)
{
    const json_t *step[MAX_STEPS];
    size_t n = list_steps(normalizer, "normalizers", step, MAX_STEPS);
    for (size_t i = 0; i < n && i < MAX_STEPS; i++) {
        if (str_eq(type_of(step[i]), "Prepend")) {
            const char *text = json_string_value(json_object_get(step[i], "prepend"));
            if (!str_eq(text, "\xE2\x96\x81") || (v->normalize & NORMALIZE_SPACES)) {
                v->unsupported = "the normalizer of its tokenizer.json";
            }
            v->space_prefix = SPACE_PREFIX_EVERY;
            continue;
        }
        int bits = normalizer_bits(step[i], v->normalize);
        if (bits < 0 || (bits && (unsigned)bits <= v->normalize)) {
            v->unsupported = "the normalizer of its tokenizer.json";
            return;
        }
        v->normalize |= (unsigned)bits;
    }
    if (n > MAX_STEPS) {
        v->unsupported = "the normalizer of its tokenizer.json";
    }
}

bool hf_is_byte_level(const json_t *tokenizer)
{
    const json_t *step[MAX_STEPS];
    size_t n = list_steps(json_object_get(tokenizer, "pre_tokenizer"), "pretokenizers", step, MAX_STEPS);
    bool found = str_eq(type_of(json_object_get(tokenizer, "decoder")), "ByteLevel");
    for (size_t i = 0; i < n && i < MAX_STEPS; i++) {
        found = found || str_eq(type_of(step[i]), "ByteLevel");
    }
    return found;
}

void hf_read_preparation(const json_t *tokenizer, struct vocab_source *v)
{
    const json_t *step[MAX_STEPS];
    size_t n = list_steps(json_object_get(tokenizer, "pre_tokenizer"), "pretokenizers", step, MAX_STEPS);
    read_normalizer(json_object_get(tokenizer, "normalizer"), v);
    if (str_eq(v->model, "gpt2")) {
        byte_level_pre(step, n, v);
    } else if (str_eq(v->model, "llama")) {
        char_pre(step, n, v);
    } else if (str_eq(v->model, "bert")) {
        word_pre(step, n, v);
    }
    if (str_eq(v->model, "llama") && !(v->normalize & NORMALIZE_SPACES)) {
        v->unsupported = "a BPE over characters whose spaces are not U+2581";
    }
}
