/* The stages of normalization: characters (a list that each step rewrites), then spaces (bytes). A text that no step
 * would change is borrowed, which is the rule for NFC. */
#include "compute/text/normalize.h"

#include <string.h>

#include "compute/formats/model_file.h"
#include "compute/text/normal_form.h"
#include "compute/text/unicode.h"
#include "compute/text/utf8.h"
#include "ground/base/attr.h"
#include "ground/base/err.h"
#include "ground/base/mem.h"

enum {
    CHARACTER_STEPS =
        NORMALIZE_CLEAN | NORMALIZE_CJK | NORMALIZE_NFC | NORMALIZE_NFD | NORMALIZE_ACCENTS | NORMALIZE_LOWER
};

static int decode(const char *s, size_t n, struct char_list *out)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n;) {
        uint32_t cp;
        size_t len = utf8_decode(s + i, n - i, &cp);
        cp = cp == UTF8_BAD ? BAD_BYTE | (unsigned char)s[i] : cp;
        i += len;
        rc = char_list_add(out, cp, i);
    }
    return rc;
}

static bool is_nfc(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += utf8_decode(s + i, n - i, &cp);
        if (cp != UTF8_BAD && normal_form_unsure(cp)) {
            return false;
        }
    }
    return true;
}

/* BERT's clean_text: no U+FFFD, control, format or private characters; white space is a space. */
static int clean(struct char_list *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct origin_char c = l->c[i];
        bool line = c.cp == '\t' || c.cp == '\n' || c.cp == '\r';
        bool control = unicode_category(c.cp) & (UNICODE_CC | UNICODE_CF | UNICODE_CO);
        bool space = line || unicode_is_space(c.cp);
        if (c.cp == 0xFFFD || (control && !line && c.cp < BAD_BYTE)) {
            continue;
        }
        c.cp = space ? ' ' : c.cp;
        l->c[n++] = c;
    }
    l->n = n;
    return 0;
}

/* The blocks of ideographs that BERT gives spaces around. */
static bool is_ideograph(uint32_t cp)
{
    static const uint32_t block[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                                        {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    for (size_t i = 0; i < N_ELEM(block); i++) {
        if (cp >= block[i][0] && cp <= block[i][1]) {
            return true;
        }
    }
    return false;
}

static int part_ideographs(struct char_list *l)
{
    struct char_list out = {0};
    int rc = 0;
    for (size_t i = 0; !rc && i < l->n; i++) {
        struct origin_char c = l->c[i];
        bool alone = is_ideograph(c.cp);
        rc = alone ? char_list_add(&out, ' ', i ? l->c[i - 1].end : 0) : 0;
        rc = rc ? rc : char_list_add(&out, c.cp, c.end);
        rc = !rc && alone ? char_list_add(&out, ' ', c.end) : rc;
    }
    char_list_deinit(l);
    *l = out;
    return rc;
}

static int strip_accents(struct char_list *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (!(unicode_category(l->c[i].cp) & UNICODE_MN)) {
            l->c[n++] = l->c[i];
        }
    }
    l->n = n;
    return 0;
}

static int lower(struct char_list *l)
{
    struct char_list out = {0};
    int rc = 0;
    for (size_t i = 0; !rc && i < l->n; i++) {
        uint32_t to[3] = {l->c[i].cp};
        size_t n = l->c[i].cp < BAD_BYTE ? unicode_map_case(l->c[i].cp, UNICODE_LOWER, to) : 1;
        for (size_t k = 0; !rc && k < n; k++) {
            rc = char_list_add(&out, to[k], l->c[i].end);
        }
    }
    char_list_deinit(l);
    *l = out;
    return rc;
}

static int rewrite(unsigned what, struct char_list *l)
{
    int rc = what & NORMALIZE_CLEAN ? clean(l) : 0;
    rc = !rc && (what & NORMALIZE_CJK) ? part_ideographs(l) : rc;
    rc = !rc && (what & (NORMALIZE_NFC | NORMALIZE_NFD | NORMALIZE_ACCENTS)) ? normal_form_decompose(l) : rc;
    if (!rc && (what & NORMALIZE_NFC)) {
        normal_form_compose(l);
    }
    rc = !rc && (what & NORMALIZE_ACCENTS) ? strip_accents(l) : rc;
    return !rc && (what & NORMALIZE_LOWER) ? lower(l) : rc;
}

/* The list as bytes. Every byte of a character but its last stands for what the character before it did. */
static int encode(const struct char_list *l, size_t n_source, struct normalized *out)
{
    out->own = mem_try_alloc(4 * l->n + 1);
    out->origin = mem_try_array(4 * l->n + 1, sizeof *out->origin);
    if (!out->own || !out->origin) {
        normalized_deinit(out);
        return -ERR_NOMEM;
    }
    size_t n = 0;
    uint32_t before = 0;
    for (size_t i = 0; i < l->n; i++) {
        char c[UTF8_MAX_BYTES] = {(char)l->c[i].cp};
        size_t len = l->c[i].cp < BAD_BYTE ? utf8_encode(l->c[i].cp, c) : 1;
        for (size_t k = 0; k < len; k++) {
            out->origin[n] = before;
            out->own[n++] = c[k];
        }
        before = l->c[i].end > before ? l->c[i].end : before;
    }
    out->origin[n] = (uint32_t)n_source;
    out->text = out->own;
    out->n = n;
    return 0;
}

static int normalize_characters(unsigned what, const char *s, size_t n, struct normalized *out)
{
    *out = (struct normalized){.text = s, .n = n};
    if (!(what & CHARACTER_STEPS) || ((what & CHARACTER_STEPS) == NORMALIZE_NFC && is_nfc(s, n))) {
        return 0;
    }
    struct char_list l = {0};
    int rc = decode(s, n, &l);
    rc = rc ? rc : rewrite(what, &l);
    rc = rc ? rc : encode(&l, n, out);
    char_list_deinit(&l);
    return rc;
}

static void put(struct normalized *out, const char *s, size_t n, size_t origin)
{
    for (size_t k = 0; k < n; k++) {
        out->origin[out->n] = (uint32_t)origin;
        out->own[out->n++] = s[k];
    }
}

/* The prefix, and U+2581 for spaces. */
static int normalize_spaces(bool escape, bool prefix, struct normalized *t)
{
    static const char mark[] = "\xE2\x96\x81";
    const char *space = escape ? mark : " ";
    size_t n_space = strlen(space), n_spaces = prefix;
    for (size_t i = 0; i < t->n; i++) {
        n_spaces += t->text[i] == ' ';
    }
    size_t n = t->n + n_spaces * n_space;
    struct normalized out = {.own = mem_try_alloc(n + 1), .origin = mem_try_array(n + 1, sizeof *out.origin)};
    if (!out.own || !out.origin) {
        normalized_deinit(&out);
        return -ERR_NOMEM;
    }
    if (prefix) {
        put(&out, space, n_space, 0);
    }
    for (size_t i = 0; i < t->n; i++) {
        bool is_space = t->text[i] == ' ';
        put(&out, is_space ? space : t->text + i, is_space ? n_space : 1, normalized_origin(t, i));
    }
    out.origin[out.n] = (uint32_t)normalized_origin(t, t->n);
    out.text = out.own;
    normalized_deinit(t);
    *t = out;
    return 0;
}

int normalize(unsigned what, bool prefix, const char *s, size_t n, struct normalized *out)
{
    int rc = normalize_characters(what, s, n, out);
    bool escape = what & NORMALIZE_SPACES;
    prefix = prefix && n > 0;
    if (!rc && (prefix || escape)) {
        rc = normalize_spaces(escape, prefix, out);
    }
    if (rc) {
        normalized_deinit(out);
    }
    return rc;
}

void normalized_deinit(struct normalized *t)
{
    mem_free(t->own);
    mem_free(t->origin);
    *t = (struct normalized){0};
}

size_t normalized_origin(const struct normalized *t, size_t pos)
{
    return t->origin ? t->origin[pos] : pos;
}
