/* Help lines of a table: arguments, then options, in two columns, wrapped by display width (a Chinese character is two
 * columns wide). Owns nothing. */
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"
#include "ground/param/param_int.h"

enum { NAME_COLUMNS = 30, LINE_COLUMNS = 110 };

const char *param_metavar(const struct param *p)
{
    if (p->metavar) return p->metavar;
    switch (p->type) {
    case PARAM_INT:
        return "N";
    case PARAM_FLOAT:
        return "X";
    case PARAM_INTS:
        return "N,N...";
    case PARAM_FLOATS:
        return "X,X...";
    case PARAM_LIST:
        return "A,B...";
    case PARAM_CHOICE:
        return p->choices;
    default:
        return "TEXT";
    }
}

/* Columns of one character: 2 from U+1100 on, which is where East Asian wide text begins; close enough for help. */
static int char_columns(const char *c, int len)
{
    return len == 4 || (len == 3 && (unsigned char)*c >= 0xE3) ? 2 : 1;
}

static int new_line(struct buf *out, int *column)
{
    *column = NAME_COLUMNS;
    return buf_printf(out, "\n%*s", NAME_COLUMNS, "");
}

/* The piece that must stay on one line: a word with the space before it, or one wide character. */
static size_t piece_len(const char *s, int *columns)
{
    size_t n = strlen(s), i = 0;
    *columns = 0;
    while (i < n) {
        int len = str_utf8_char(s + i, n - i);
        len = len ? len : 1;
        int wide = char_columns(s + i, len);
        if (i && (s[i] == ' ' || wide == 2)) break;
        *columns += wide;
        i += (size_t)len;
        if (wide == 2) break;
    }
    return i;
}

static int wrap(struct buf *out, const char *text, int *column)
{
    int rc = 0;
    while (*text && rc == 0) {
        int columns;
        size_t n = piece_len(text, &columns);
        if (*column + columns > LINE_COLUMNS) {
            rc = new_line(out, column);
            size_t space = *text == ' ';
            text += space;
            n -= space;
            columns -= (int)space;
        }
        if (rc == 0) rc = buf_add(out, text, n);
        *column += columns;
        text += n;
    }
    return rc;
}

/* Units are symbols or English words in the table; the words have a Chinese form. */
static const char *unit_text(const char *unit, enum lang lang)
{
    static const struct {
        const char *en, *zh;
    } word[] = {{"tokens", "词元"}, {"steps", "步"},       {"rows", "行"},        {"bytes", "字节"},
                {"s", "秒"},        {"evaluations", "次"}, {"repetitions", "次"}, {"requests", "个请求"},
                {"ms", "毫秒"},     {"cases", "题"},       {"days", "天"},        {"sequences", "个序列"}};
    for (size_t i = 0; lang == LANG_ZH && i < N_ELEM(word); i++) {
        if (str_eq(unit, word[i].en)) return word[i].zh;
    }
    return unit;
}

/* " (tokens; 1 to 100; default 256)": what the table knows besides the words. */
static void facts(const struct param *p, enum lang lang, char *out, size_t size)
{
    char range[96] = "", unit[64] = "", initial[160] = "", repeat[48] = "", joined[400];
    bool zh = lang == LANG_ZH;
    bool bounded = p->min < 0 || p->min > 0 || p->max < 0 || p->max > 0;
    if (p->unit) snprintf(unit, sizeof unit, "; %s", unit_text(p->unit, lang));
    if (bounded && p->flags & PARAM_ABOVE)
        snprintf(range, sizeof range, zh ? "; 大于 %.15g，不大于 %.15g" : "; above %.15g, at most %.15g", p->min,
                 p->max);
    else if (bounded && p->max < 1e15 && p->min > -1e15)
        snprintf(range, sizeof range, "; %.15g %s %.15g", p->min, zh ? "到" : "to", p->max);
    else if (bounded && p->max >= 1e15)
        snprintf(range, sizeof range, "; %s %.15g", zh ? "不小于" : "at least", p->min);
    if (p->initial && p->type != PARAM_BOOL)
        snprintf(initial, sizeof initial, "; %s %.100s", zh ? "默认" : "default", p->initial);
    if (p->initial && p->type == PARAM_BOOL && strcmp(p->initial, "true") == 0)
        snprintf(initial, sizeof initial, "; %s",
                 zh ? "默认开启，用 --no- 关闭" : "on by default, --no- switches it off");
    if (p->flags & PARAM_REPEAT) snprintf(repeat, sizeof repeat, "; %s", zh ? "可重复" : "may be repeated");
    if (p->flags & PARAM_REQUIRED && !(p->flags & PARAM_POSITIONAL))
        snprintf(repeat + strlen(repeat), sizeof repeat - strlen(repeat), "; %s", zh ? "必填" : "required");
    snprintf(joined, sizeof joined, "%s%s%s%s", unit, range, initial, repeat);
    out[0] = '\0';
    if (joined[0]) snprintf(out, size, zh ? "（%s）" : " (%s)", joined + 2);
}

static int write_param(const struct param *p, enum lang lang, struct buf *out)
{
    char shown[PARAM_NAME_SIZE], left[2 * PARAM_NAME_SIZE + 128], more[420];
    param_shown_name(p, true, shown);
    bool value = !(p->flags & PARAM_POSITIONAL) && p->type != PARAM_BOOL;
    int column = snprintf(left, sizeof left, "  %s%s%s%s", shown, value ? " " : "", value ? param_metavar(p) : "",
                          p->flags & PARAM_REST ? "..." : "");
    facts(p, lang, more, sizeof more);
    int rc = buf_add_str(out, left);
    if (rc == 0 && column + 2 > NAME_COLUMNS)
        rc = new_line(out, &column);
    else if (rc == 0)
        rc = buf_printf(out, "%*s", NAME_COLUMNS - column, "");
    column = NAME_COLUMNS;
    if (rc == 0) rc = wrap(out, lang == LANG_ZH ? p->help_zh : p->help_en, &column);
    if (rc == 0) rc = wrap(out, more, &column);
    return rc ? rc : buf_add_char(out, '\n');
}

static int write_group(const struct param *table, size_t n, enum lang lang, bool positional, struct buf *out)
{
    bool any = false;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!(table[i].flags & PARAM_POSITIONAL) == positional) continue;
        if (!any) {
            const char *en = positional ? "Arguments:" : "Options:", *zh = positional ? "参数：" : "选项：";
            rc = buf_printf(out, "%s\n", lang == LANG_ZH ? zh : en);
        }
        any = true;
        if (rc == 0) rc = write_param(&table[i], lang, out);
    }
    return rc == 0 && any ? buf_add_char(out, '\n') : rc;
}

int param_help(const struct param *table, size_t n, enum lang lang, struct buf *out)
{
    int rc = write_group(table, n, lang, true, out);
    return rc ? rc : write_group(table, n, lang, false, out);
}
