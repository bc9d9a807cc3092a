/* Matching messages against the table, and filling in the Chinese form. Owns nothing. What always holds: a text that
 * cannot be translated comes out as it is, whatever the bytes of a file put into it. */
#include "doors/cli/message_zh.h"

#include <stdio.h>
#include <string.h>

enum { CAPTURES_MAX = 6, DEPTH_MAX = 6, MESSAGE_MAX_BYTES = 1 << 16, PART_SIZE = 1 << 12 };

struct span {
    const char *at;
    size_t n;
};

/* The shortest texts for the stars that make the whole text fit. Stars are few and texts short, so trying is fine. */
static bool fits(const char *pattern, const char *text, struct span *capture, int n)
{
    while (*pattern && *pattern != '*')
        if (*pattern++ != *text++) return false;
    if (!*pattern) return !*text;
    if (n == CAPTURES_MAX) return false;
    for (size_t len = 0;; len++) {
        capture[n] = (struct span){text, len};
        if (fits(pattern + 1, text + len, capture, n + 1)) return true;
        if (!text[len]) return false;
    }
}

static bool translate(const char *en, int depth, struct buf *out);

/* A Chinese character, not punctuation, ends what was written; a letter or digit comes next. */
static bool needs_space(const struct buf *out, char next)
{
    static const char *const closed[] = {"，", "。", "：", "；", "（", "“", "、", "？"};
    bool wide = out->len >= 3 && (unsigned char)out->data[out->len - 1] >= 0x80;
    for (size_t i = 0; wide && i < N_ELEM(closed); i++)
        if (memcmp(out->data + out->len - 3, closed[i], 3) == 0) return false;
    return wide && ((next >= '0' && next <= '9') || (next >= 'A' && next <= 'Z') || (next >= 'a' && next <= 'z'));
}

static int put_text(const char *text, size_t n, struct buf *out)
{
    int rc = n && needs_space(out, text[0]) ? buf_add_char(out, ' ') : 0;
    return rc ? rc : buf_add(out, text, n);
}

static int put_list(const char *text, size_t n, struct buf *out)
{
    int rc = 0;
    for (size_t i = 0, len; rc == 0 && i < n; i += len + 2) {
        const char *comma = memmem(text + i, n - i, ", ", 2);
        len = comma ? (size_t)(comma - text) - i : n - i;
        rc = i ? buf_add_str(out, "、") : 0;
        if (rc == 0) rc = put_text(text + i, len, out);
    }
    return rc;
}

static int put_capture(char kind, const struct span *s, int depth, struct buf *out)
{
    char part[PART_SIZE];
    if (kind == '#') return put_list(s->at, s->n, out);
    if (kind == '@' && s->n < sizeof part && depth < DEPTH_MAX) {
        memcpy(part, s->at, s->n);
        part[s->n] = '\0';
        if (translate(part, depth + 1, out)) return 0;
    }
    return put_text(s->at, s->n, out);
}

static bool fill(const char *zh, const struct span *capture, int depth, struct buf *out)
{
    int rc = 0;
    for (; *zh && rc == 0; zh++) {
        bool taken = (*zh == '$' || *zh == '@' || *zh == '#') && zh[1] >= '1' && zh[1] < '1' + CAPTURES_MAX;
        rc = taken ? put_capture(*zh, &capture[zh[1] - '1'], depth, out) : buf_add_char(out, *zh);
        zh += taken;
    }
    return rc == 0;
}

static bool translate(const char *en, int depth, struct buf *out)
{
    struct span capture[CAPTURES_MAX] = {{NULL, 0}};
    const struct message_zh *const tables[] = {message_zh_table_plan, message_zh_table_runs, message_zh_table_tune,
                                               message_zh_table_ask,  message_zh_table,      message_zh_table_reasons};
    for (size_t i = 0; i < N_ELEM(tables); i++)
        for (const struct message_zh *m = tables[i]; m->en; m++)
            if (fits(m->en, en, capture, 0)) return fill(m->zh, capture, depth, out);
    return false;
}

bool message_zh(const char *en, struct buf *out)
{
    return translate(en, 0, out);
}

void cli_print_message(enum lang lang, const char *prefix_en, const char *prefix_zh, const char *message)
{
    struct buf zh;
    buf_init(&zh, MESSAGE_MAX_BYTES);
    bool translated = lang == LANG_ZH && message_zh(message, &zh);
    fprintf(stderr, "%s%s\n", lang == LANG_ZH ? prefix_zh : prefix_en, translated ? zh.data : message);
    buf_deinit(&zh);
}
