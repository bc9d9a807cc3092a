/* Fuzz target: a vocabulary and a text. The input is lines: a line of flags, tokens up to an empty line, merges up to
 * an empty line, then the text. The flags are characters: bits, kind, pre-tokenizer, normalization. A tokenizer that
 * can be made must encode any text, and give it back where no byte is missing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compute/text/pretoken.h"
#include "compute/text/tokenizer.h"
#include "compute/text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MAX_LINES = 400 };

struct input {
    char *text; /* a copy, lines ended by NUL */
    size_t n, at;
    const char *token[MAX_LINES], *merge[MAX_LINES];
    uint32_t len[MAX_LINES];
    int32_t type[MAX_LINES];
    float score[MAX_LINES];
    uint8_t match[MAX_LINES];
    size_t n_token, n_merge;
};

/* The next line, NULL at the end or where it is empty. */
static char *line(struct input *in)
{
    if (in->at >= in->n) {
        return NULL;
    }
    char *s = in->text + in->at, *end = memchr(s, '\n', in->n - in->at);
    in->at = end ? (size_t)(end - in->text) + 1 : in->n;
    in->text[end ? in->at - 1 : in->n] = '\0';
    return *s ? s : NULL;
}

/* The first character of a token line is its type. */
static void read_vocabulary(struct input *in)
{
    char *s;
    while (in->n_token < MAX_LINES && (s = line(in)) != NULL) {
        in->type[in->n_token] = *s - '0';
        in->token[in->n_token] = s + 1;
        in->score[in->n_token] = (float)(strlen(s) * 7 % 5);
        in->match[in->n_token] = (uint8_t)((s[1] ^ s[strlen(s) - 1]) & 7);
        in->len[in->n_token++] = (uint32_t)strlen(s + 1);
    }
    while (in->n_merge < MAX_LINES && (s = line(in)) != NULL) {
        in->merge[in->n_merge++] = s;
    }
}

static void decode(const struct tokenizer *t, const struct token_list *l)
{
    struct detokenizer d;
    struct buf out;
    buf_init(&out, 1 << 24);
    detokenizer_init(&d, t, true);
    for (size_t i = 0; i < l->n; i++) {
        size_t before = out.len;
        if (detokenizer_push(&d, l->ids[i], &out) || (out.data && !utf8_valid(out.data + before, out.len - before))) {
            abort();
        }
    }
    if (detokenizer_finish(&d, &out) || (out.data && !utf8_valid(out.data, out.len))) {
        abort();
    }
    buf_deinit(&out);
}

/* No text of a user becomes a control token (a real unknown token may stand for a byte that is missing). */
static void check_untrusted(const struct tokenizer *t, int unk_id, const struct token_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (tokenizer_is_control(t, l->ids[i]) && l->ids[i] != unk_id) {
            abort();
        }
    }
}

static void encode(const struct tokenizer *t, int unk_id, const char *text, size_t n)
{
    const struct text_span span[] = {{text, n / 3, false, false},
                                     {text + n / 3, n / 3, true, false},
                                     {text + n / 3 * 2, n - n / 3 * 2, false, true}};
    struct token_list l = {0};
    size_t end[3];
    struct err e = {0};
    if (tokenizer_encode(t, text, n, 0, &l, &e) == 0) {
        check_untrusted(t, unk_id, &l);
        decode(t, &l);
    } else if (!e.msg[0] || l.n) {
        abort();
    }
    l.n = 0;
    if (tokenizer_encode_spans(t, span, 3, &l, end, &e) == 0 && (end[0] > end[1] || end[1] > end[2] || end[2] != l.n)) {
        abort();
    }
    l.n = 0;
    if (tokenizer_encode(t, text, n, TOKENIZE_SPECIAL | TOKENIZE_ENDS, &l, &e) == 0) {
        decode(t, &l);
    }
    token_list_deinit(&l);
}

static const char *pre_name(unsigned i)
{
    const char *name = NULL;
    size_t n = 0;
    while (pretoken_rule_at(n, &name)) {
        n++;
    }
    pretoken_rule_at(i % n, &name);
    return name;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input in = {.n = n, .text = malloc(n + 1)};
    if (n > 0) {
        memcpy(in.text, data, n);
    }
    in.text[n] = '\0';
    const char *flags = line(&in);
    unsigned f = flags ? (unsigned char)flags[0] : 0;
    read_vocabulary(&in);
    unsigned kind = flags && f ? (unsigned char)flags[1] : 0, rest = kind ? (unsigned char)flags[2] : 0;
    unsigned steps = rest ? (unsigned char)flags[3] : 0;
    static const char *const model[] = {"gpt2", "llama", "bert", "gemma4"};
    struct vocab_source v = {.model = model[kind & 3],
                             .pre = pre_name(rest),
                             .n_token = in.n_token,
                             .token = in.token,
                             .token_len = in.len,
                             .type = in.type,
                             .score = kind & 4 ? in.score : NULL,
                             .match = kind & 8 ? in.match : NULL,
                             .space_prefix = (enum space_prefix)((kind >> 4 & 3) % 3),
                             .normalize = steps & 0x7F,
                             .n_merge = in.n_merge,
                             .merge = in.merge,
                             .bos_id = (f >> 1 & 3) - 1,
                             .eos_id = (f >> 3 & 1) - 1,
                             .eot_id = -1,
                             .eom_id = -1,
                             .unk_id = (f >> 4 & 1) - 1,
                             .pad_id = -1,
                             .add_bos = f & 2,
                             .add_eos = f & 8,
                             .ignore_merges = f & 32};
    struct tokenizer *t;
    struct err e = {0};
    if (tokenizer_new(&t, &v, &e) == 0) {
        encode(t, v.unk_id, in.text + in.at, n > in.at ? n - in.at : 0);
        tokenizer_free(t);
    } else if (!e.msg[0]) {
        abort();
    }
    free(in.text);
    return 0;
}
