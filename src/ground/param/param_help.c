/* Help lines of a table: arguments, then options, in two columns. Owns nothing. What always holds: what the table knows
 * of a value (unit, range, default) is said, and no option that this version refuses is shown. */
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"
#include "ground/base/wrap.h"
#include "ground/param/param_int.h"

enum { NAME_COLUMNS = 28, FACTS_MAX = 5, FACT_SIZE = 160 };

static const double SHOWN_MAX = 1e9; /* a limit from here on says nothing to people */

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

const char *param_unit_text(const char *unit, enum lang lang)
{
    static const struct {
        const char *en, *zh;
    } word[] = {{"tokens", "词元"},   {"steps", "步"},       {"rows", "行"},         {"bytes", "字节"},
                {"s", "秒"},          {"evaluations", "次"}, {"repetitions", "次"},  {"requests", "请求"},
                {"ms", "毫秒"},       {"cases", "题"},       {"days", "天"},         {"sequences", "序列"},
                {"h", "小时"},        {"years", "年"},       {"people", "人"},       {"calls", "次"},
                {"billions", "十亿"}, {"calls/s", "次/秒"},  {"CNY", "元"},          {"CNY/kWh", "元/千瓦时"},
                {"W", "瓦"},          {"CNY/year", "元/年"}, {"USD/h", "美元/小时"}, {"CNY/Mtok", "元/百万词元"}};
    for (size_t i = 0; lang == LANG_ZH && i < N_ELEM(word); i++) {
        if (str_eq(unit, word[i].en)) return word[i].zh;
    }
    return unit;
}

/* What the table knows besides the words: unit, range, default, whether it may or must be given. */
struct facts {
    char text[FACTS_MAX][FACT_SIZE];
    int n;
};

PRINTF_LIKE(2, 3) static void add_fact(struct facts *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->text[f->n++], FACT_SIZE, fmt, ap);
    va_end(ap);
}

static void gather_facts(const struct param *p, enum lang lang, struct facts *f)
{
    bool zh = lang == LANG_ZH, bounded = p->min < 0 || p->min > 0 || p->max < 0 || p->max > 0;
    char shown[PARAM_NAME_SIZE];
    f->n = 0;
    param_shown_name(p, true, shown);
    if (p->unit) add_fact(f, "%s", param_unit_text(p->unit, lang));
    if (bounded && p->flags & PARAM_ABOVE)
        add_fact(f, zh ? "大于 %.15g，不大于 %.15g" : "above %.15g, at most %.15g", p->min, p->max);
    else if (bounded && p->max >= SHOWN_MAX)
        add_fact(f, zh ? "不小于 %.15g" : "at least %.15g", p->min);
    else if (bounded)
        add_fact(f, zh ? "%.15g 到 %.15g" : "%.15g to %.15g", p->min, p->max);
    if (p->initial && p->type != PARAM_BOOL) add_fact(f, zh ? "默认 %.100s" : "default %.100s", p->initial);
    if (p->initial && p->type == PARAM_BOOL && str_eq(p->initial, "true"))
        add_fact(f, zh ? "默认开启，--no-%s 关闭" : "on by default, --no-%s switches it off", shown + 2);
    if (p->flags & PARAM_REPEAT) add_fact(f, "%s", zh ? "可重复" : "may be repeated");
    if (p->flags & PARAM_REQUIRED && !(p->flags & PARAM_POSITIONAL)) add_fact(f, "%s", zh ? "必填" : "required");
}

/* " (tokens; 1 to 100; default 16)", no fact broken. */
static int write_facts(struct wrap *w, const struct param *p, enum lang lang)
{
    bool zh = lang == LANG_ZH;
    struct facts f;
    int rc = 0;
    gather_facts(p, lang, &f);
    for (int i = 0; i < f.n && rc == 0; i++) {
        char piece[FACT_SIZE + 16];
        const char *before = i ? zh ? "" : " " : zh ? "（" : " (";
        const char *after = i + 1 < f.n ? zh ? "；" : ";" : zh ? "）" : ")";
        snprintf(piece, sizeof piece, "%s%s%s", before, f.text[i], after);
        rc = wrap_piece(w, piece);
    }
    return rc;
}

/* "--max-tokens N" or "MODEL". */
static int write_name(struct wrap *w, const struct param *p)
{
    char shown[PARAM_NAME_SIZE], left[2 * PARAM_NAME_SIZE + 128];
    param_shown_name(p, true, shown);
    bool value = !(p->flags & PARAM_POSITIONAL) && p->type != PARAM_BOOL;
    const char *metavar = param_metavar(p);
    int choices = p->choices ? (int)param_choices_len(p) : (int)strlen(metavar);
    w->column = snprintf(left, sizeof left, "  %s%s%.*s%s", shown, value ? " " : "", value ? choices : 0, metavar,
                         p->flags & PARAM_REST ? "..." : "");
    int rc = buf_add_str(w->out, left);
    if (rc == 0 && w->column + 2 <= NAME_COLUMNS)
        rc = buf_printf(w->out, "%*s", NAME_COLUMNS - w->column, "");
    else if (rc == 0)
        rc = buf_printf(w->out, "\n%*s", NAME_COLUMNS, "");
    w->column = NAME_COLUMNS;
    return rc;
}

static int write_param(const struct param *p, enum lang lang, struct buf *out)
{
    struct wrap w = {.out = out, .indent = NAME_COLUMNS};
    int rc = write_name(&w, p);
    if (rc == 0) rc = wrap_text(&w, lang == LANG_ZH ? p->help_zh : p->help_en);
    if (rc == 0) rc = write_facts(&w, p, lang);
    return rc ? rc : buf_add_char(out, '\n');
}

static int write_group(const struct param *table, size_t n, enum lang lang, bool positional, struct buf *out)
{
    bool any = false;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!(table[i].flags & PARAM_POSITIONAL) == positional || table[i].flags & PARAM_REFUSED) continue;
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
