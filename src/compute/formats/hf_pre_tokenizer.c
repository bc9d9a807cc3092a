/* The pre-tokenizer of a tokenizer.json as the name that GGUF gives it. Owns nothing.
 * A name is given only when every step is known: one that is read over would split text otherwise than the model was
 * trained on. Regexes are the published ones of the families, compared as text. */
#include "compute/formats/formats_int.h"

#include <string.h>

#include "ground/base/str.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define TAIL         "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
    const char *regex, *name;
} known[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", "gpt-2"},
    {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" TAIL, "llama-bpe"},
    {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" TAIL, "qwen2"},
    {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
                  "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     "qwen35"},
    {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"
     "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| "
     "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     "tekken"},
};

/* The steps of a pre-tokenizer, a single one or a Sequence; at most max. */
static size_t list_steps(const json_t *pre, const json_t **step, size_t max)
{
    const json_t *list = json_object_get(pre, "pretokenizers");
    if (!str_eq(json_string_value(json_object_get(pre, "type")), "Sequence")) {
        step[0] = pre;
        return json_is_object(pre) ? 1 : 0;
    }
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n && i < max; i++) {
        step[i] = json_array_get(list, i);
    }
    return n;
}

static bool is_type(const json_t *step, const char *type)
{
    return str_eq(json_string_value(json_object_get(step, "type")), type);
}

static const char *split_name(const json_t *step)
{
    const char *regex = json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex"));
    bool isolated = str_eq(json_string_value(json_object_get(step, "behavior")), "Isolated");
    if (!regex || !isolated || json_is_true(json_object_get(step, "invert"))) {
        return NULL;
    }
    for (size_t i = 0; i < N_ELEM(known); i++) {
        if (!strcmp(regex, known[i].regex)) {
            return known[i].name;
        }
    }
    return NULL;
}

/* Absent, or what the pre-tokenizer's name implies: NFC with the splits of Qwen. */
static bool normalizer_fits(const json_t *normalizer, const char *name)
{
    if (!json_is_object(normalizer)) {
        return true;
    }
    if (is_type(normalizer, "Sequence")) {
        return json_array_size(json_object_get(normalizer, "normalizers")) == 0;
    }
    return is_type(normalizer, "NFC") && (str_eq(name, "qwen2") || str_eq(name, "qwen35"));
}

const char *hf_pre_tokenizer_name(const json_t *tokenizer, bool *byte_level, bool *prefix_space)
{
    enum { MAX_STEPS = 4 };
    const json_t *step[MAX_STEPS];
    const char *name = NULL;
    size_t n = list_steps(json_object_get(tokenizer, "pre_tokenizer"), step, MAX_STEPS);
    const json_t *last = n > 0 && n <= MAX_STEPS ? step[n - 1] : NULL;
    *byte_level = is_type(last, "ByteLevel") || is_type(json_object_get(tokenizer, "decoder"), "ByteLevel");
    *prefix_space = is_type(last, "ByteLevel") && json_is_true(json_object_get(last, "add_prefix_space"));
    if (!is_type(last, "ByteLevel")) {
        return NULL;
    }
    bool use_regex = !json_is_false(json_object_get(last, "use_regex"));
    bool digits = n == 2 && is_type(step[0], "Digits") && json_is_true(json_object_get(step[0], "individual_digits"));
    if (n == 1 && use_regex) {
        name = "gpt-2";
    } else if (digits && use_regex) {
        name = "smollm";
    } else if (n == 2 && is_type(step[0], "Split") && !use_regex) {
        name = split_name(step[0]);
    }
    return name && normalizer_fits(json_object_get(tokenizer, "normalizer"), name) ? name : NULL;
}
