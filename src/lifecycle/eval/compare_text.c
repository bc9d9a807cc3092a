/* A comparison as lines for people. Owns nothing. What always holds: every number is of the pairs, and cases that are
 * in none of them are counted in a line of their own. */
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"
#include "ground/base/wrap.h"
#include "ground/json/json.h"
#include "lifecycle/eval/compare.h"

enum { VALUE_SHOWN = 54, DIGEST_SHOWN = 12, NAME_COLUMNS = 10, INTERVAL_COLUMNS = 16 };

/* "base         13.0 %  [9.0, 18.4]      "; a signed value is a difference in points, so it has no %. */
static int value_line(struct buf *out, const char *name, double value, struct interval i, bool is_signed, bool zh)
{
    char interval[64], number[32];
    snprintf(interval, sizeof interval, is_signed ? "[%+.1f, %+.1f]" : "[%.1f, %.1f]", 100 * i.low, 100 * i.high);
    snprintf(number, sizeof number, is_signed ? "%+.1f%s" : "%.1f%s", 100 * value,
             is_signed ? (zh ? " " : "  ") : (zh ? "%" : " %"));
    return buf_printf(out, "%s%*s  %*s%s  %s%*s  ", name, str_padding(name, NAME_COLUMNS), "", str_padding(number, 7),
                      "", number, interval, str_padding(interval, INTERVAL_COLUMNS), "");
}

static int score_line(struct buf *out, const char *name, double value, struct interval i, bool zh, size_t n_pair,
                      const struct eval_result *r)
{
    int rc = value_line(out, name, value, i, false, zh);
    return rc ? rc : buf_printf(out, "%zu/%zu  %s\n", n_pair, r->sum.n, r->dir);
}

static int score_lines(const struct comparison *c, bool zh, struct buf *out)
{
    const struct paired *p = &c->stats;
    int rc = score_line(out, zh ? "基准" : "base", p->base.mean, p->base_95, zh, p->n, c->base);
    if (rc == 0) rc = score_line(out, zh ? "新模型" : "new", p->fresh.mean, p->fresh_95, zh, p->n, c->fresh);
    if (rc == 0) rc = value_line(out, zh ? "差值" : "difference", p->difference.mean, p->difference_95, true, zh);
    if (rc == 0) rc = buf_add_str(out, zh ? "个百分点，95% 区间\n" : "points, 95 % interval\n");
    if (rc == 0 && p->binary)
        rc = buf_printf(out,
                        zh ? "由对变错 %zu 题，由错变对 %zu 题（McNemar mid-p %.3g）\n"
                           : "%zu cases broken, %zu fixed (McNemar mid-p %.3g)\n",
                        p->mcnemar.b, p->mcnemar.c, p->mcnemar.p_mid);
    if (rc == 0)
        rc = buf_printf(out,
                        zh ? "%zu 对题目；以此题量可发现的最小差异约为 %.1f 个百分点\n"
                           : "%zu pairs; the smallest difference they can show is about %.1f points\n",
                        p->n, 100 * p->smallest_detectable);
    return rc;
}

static int left_out_line(const struct comparison *c, bool zh, struct buf *out)
{
    size_t a = json_array_size(c->only_base), b = json_array_size(c->only_fresh);
    if (a + b + c->n_unscored == 0) return 0;
    return buf_printf(out,
                      zh ? "未计入以上数字：仅基准有 %zu 题，仅新模型有 %zu 题，有一方未评分 %zu 题\n"
                         : "left out of all numbers above: %zu cases of base only, %zu of new only,\n%zu not scored in "
                           "one of them\n",
                      a, b, c->n_unscored);
}

/* --- in what they differ --- */

static bool is_digest(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

/* Digests and long texts are cut, the latter to one line. */
static int add_string(const char *s, struct buf *out)
{
    if (is_digest(s)) return buf_printf(out, "sha256:%.*s", (int)DIGEST_SHOWN, s);
    char shown[VALUE_SHOWN + 1];
    snprintf(shown, sizeof shown, "%s", s);
    str_cut_utf8(shown);
    for (char *at = shown; (at = strpbrk(at, "\n\t")) != NULL;) *at = ' ';
    str_make_printable(shown);
    return buf_printf(out, "%s%s", shown, strlen(s) > strlen(shown) ? "..." : "");
}

/* What people call the input behind a digest: the model or adapter as it was given; "" when there is none. */
static const char *name_of(const struct eval_result *r, const char *what)
{
    const json_t *inputs = json_object_get(r->manifest, "inputs");
    if (str_eq(what, "model")) return record_str(json_object_get(inputs, "model"), "name");
    return str_eq(what, "adapter") || str_eq(what, "adapter.digest") ? record_str(inputs, "adapter") : "";
}

static int add_json(const json_t *value, struct buf *out)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    int rc = json_format(value, JSON_LINE, &text);
    if (rc == 0) rc = add_string(text.data, out);
    buf_deinit(&text);
    return rc;
}

static int add_value(const struct eval_result *r, const char *what, const json_t *value, bool zh, struct buf *out)
{
    const char *name = name_of(r, what);
    const json_t *digest = json_object_get(value, "digest"); /* of a whole adapter */
    if (!value || json_is_null(value)) return buf_add_str(out, zh ? "无" : "none");
    if (digest) value = digest;
    int rc = name[0] ? buf_printf(out, "%s ", name) : 0;
    if (rc) return rc;
    return json_is_string(value) ? add_string(json_string_value(value), out) : add_json(value, out);
}

/* "  model: a -> b", on two lines where one is too narrow. */
static int difference_line(const struct comparison *c, const json_t *d, bool zh, struct buf *out)
{
    const char *what = record_str(d, "what");
    struct buf base, fresh;
    buf_init(&base, 4096);
    buf_init(&fresh, 4096);
    int rc = add_value(c->base, what, json_object_get(d, "base"), zh, &base);
    if (rc == 0) rc = add_value(c->fresh, what, json_object_get(d, "new"), zh, &fresh);
    if (rc == 0) {
        int columns = str_columns(what) + str_columns(base.data) + str_columns(fresh.data) + 8;
        rc = buf_printf(out, zh ? "  %s：%s%s -> %s\n" : "  %s: %s%s -> %s\n", what, base.data,
                        columns > WRAP_LINE_COLUMNS ? "\n   " : "", fresh.data);
    }
    buf_deinit(&base);
    buf_deinit(&fresh);
    return rc;
}

static int difference_lines(const struct comparison *c, bool zh, struct buf *out)
{
    int rc = json_array_size(c->differences) == 0
                 ? buf_add_str(out, zh ? "\n两次评测的设置完全相同\n" : "\nboth evaluations have the same setup\n")
                 : buf_add_str(out, zh ? "\n不同之处（基准 -> 新模型）：\n" : "\nwhat differs (base -> new):\n");
    for (size_t i = 0; rc == 0 && i < json_array_size(c->differences); i++)
        rc = difference_line(c, json_array_get(c->differences, i), zh, out);
    return rc;
}

static int verdict_lines(const struct comparison *c, enum lang lang, struct buf *out)
{
    struct buf text;
    struct wrap w = {.out = out};
    buf_init(&text, 4096);
    int rc = buf_printf(&text, lang == LANG_ZH ? "%s：" : "%s: ", verdict_label(c->decision.verdict, lang));
    if (rc == 0) rc = verdict_reason(&c->gate, &c->decision, lang, &text);
    if (rc == 0) rc = wrap_text(&w, text.data);
    buf_deinit(&text);
    return rc ? rc : buf_add_str(out, "\n\n");
}

int comparison_to_text(const struct comparison *c, enum lang lang, struct buf *out)
{
    bool zh = lang == LANG_ZH;
    int rc = verdict_lines(c, lang, out);
    if (rc == 0) rc = score_lines(c, zh, out);
    if (rc == 0) rc = left_out_line(c, zh, out);
    return rc ? rc : difference_lines(c, zh, out);
}
