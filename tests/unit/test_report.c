/* Reports over stored runs: hostile text stays text, nothing is fetched, the numbers are those of the runs. The run
 * directories are made here, as eval and tune write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/report/document.h"
#include "lifecycle/eval/report.h"

#define DIR "build/test_report"
enum { N = 60 };

/* An evaluation of N cases, of which the first n_right are right; the last one answers with markup. */
static void make_eval(const char *dir, int n_right, int n, bool partial)
{
    json_t *records = json_array();
    struct eval_summary sum;
    assert_int_equal(file_mkdirs(dir, NULL), 0);
    for (int i = 0; i < n; i++) {
        char id[16], hash[32];
        snprintf(id, sizeof id, "c-%03d", i);
        snprintf(hash, sizeof hash, "hash%d", i);
        const char *output = i < n_right ? "yes" : i == n - 1 ? "<script>alert(1)</script>" : "=cmd|' /C calc'!A0";
        assert_int_equal(
            json_array_append_new(records, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:f}", "id", id, "hash", hash, "state",
                                                     "scored", "input", "ask & \"me\"", "expected", "yes", "output",
                                                     output, "score", i < n_right ? 1.0 : 0.0)),
            0);
    }
    assert_int_equal(eval_records_write(dir, records, NULL), 0);
    assert_int_equal(eval_summarize(records, &sum, NULL), 0);
    json_t *m =
        json_pack("{s:s,s:s,s:b,s:{s:s,s:{s:s},s:{s:s,s:s}},s:[s,s],s:s}", "kind", "evaluation", "state", "done",
                  "partial", partial, "identity", "model", dir, "cases", "digest", "abc", "prompt", "choices", "free",
                  "template", "{{ input }}", "labels", "no", "yes", "command", "tailor eval m --cases c.jsonl");
    char *path = path_join(dir, "manifest.json");
    assert_int_equal(json_write_file(path, m, NULL), 0);
    mem_free(path);
    json_decref(m);
    json_decref(records);
}

static void make_training(const char *dir)
{
    char *path = path_join(dir, "events.jsonl");
    static const char events[] =
        "{\"event\":\"step\",\"step\":1,\"loss\":3.5}\n{\"event\":\"step\",\"step\":2,\"loss\":1.25}\n"
        "{\"event\":\"eval\",\"step\":2,\"loss\":1.5}\n{\"event\":\"done\",\"steps\":2,\"train_loss\":1.25}\n"
        "{\"event\":\"st";
    assert_int_equal(file_mkdirs(dir, NULL), 0);
    assert_int_equal(file_write_atomic(path, events, sizeof events - 1, NULL), 0);
    mem_free(path);
}

static void load(struct report_input *in, enum lang lang)
{
    static const char *const dirs[] = {DIR "/base", DIR "/tuned", DIR "/tune"};
    struct gate gate = {.margin = 0.02};
    struct err e = {0};
    make_eval(DIR "/base", 12, N, false);
    make_eval(DIR "/tuned", 54, N, false);
    make_training(DIR "/tune");
    *in = (struct report_input){.lang = lang, .command = "tailor report a b --out c.html"};
    if (report_load(in, dirs, 3, &gate, &e)) fail_msg("%s", e.msg);
}

static size_t occurrences(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what)) n++;
    return n;
}

static char *render(enum lang lang, bool html)
{
    struct report_input in;
    struct buf out;
    json_t *doc;
    struct err e = {0};
    load(&in, lang);
    buf_init(&out, 1 << 24);
    if (report_compose(&in, &doc, &e) || (html ? report_html(doc, &out, &e) : report_markdown(doc, &out, &e)))
        fail_msg("%s", e.msg);
    json_decref(doc);
    report_input_deinit(&in);
    return buf_take(&out, NULL);
}

static void html_is_inert_and_complete(void **state)
{
    (void)state;
    char *html = render(LANG_EN, true);
    assert_null(strstr(html, "<script"));
    assert_non_null(strstr(html, "&lt;script&gt;alert(1)"));
    assert_null(strstr(html, "http://"));
    assert_null(strstr(html, "https://"));
    assert_null(strstr(html, "src="));
    assert_null(strstr(html, "@import"));
    assert_null(strstr(html, "url("));
    assert_non_null(strstr(html, "ask &amp; &quot;me&quot;"));
    static const char *const needed[] = {
        "PASS",         "20.0 %",        "90.0 %",      "+70.0",         "Fixed: 42 cases",      "Broken: 0 cases",
        "<svg",         "training loss", "{{ input }}", "tailor eval m", "prefers-color-scheme", "@media print",
        "not mentioned"};
    for (size_t i = 0; i < N_ELEM(needed); i++)
        if (!strstr(html, needed[i])) fail_msg("\"%s\" is missing", needed[i]);
    assert_true(strstr(html, "PASS") < strstr(html, "Accuracy")); /* the verdict stands first */
    static const char *const pair[][2] = {{"<table", "</table>"}, {"<svg", "</svg>"}, {"<details", "</details>"},
                                          {"<dl", "</dl>"},       {"<tr", "</tr>"},   {"<section", "</section>"}};
    for (size_t i = 0; i < N_ELEM(pair); i++)
        assert_int_equal(occurrences(html, pair[i][0]), occurrences(html, pair[i][1]));
    mem_free(html);
}

static void chinese(void **state)
{
    (void)state;
    char *html = render(LANG_ZH, true);
    assert_non_null(strstr(html, "lang=\"zh-CN\""));
    assert_non_null(strstr(html, "\xE5\x87\x86\xE7\xA1\xAE\xE7\x8E\x87"));
    assert_null(strstr(html, "Accuracy"));
    assert_null(strstr(html, " %<")); /* a percent sign follows its number at once */
    assert_non_null(strstr(html, "90.0%<"));
    mem_free(html);
    char *md = render(LANG_ZH, false);
    assert_null(strstr(md, "\xE5\x9F\xBA\xE5\x87\x86: ")); /* nor a half-width colon a Chinese word */
    assert_null(strstr(md, "(McNemar"));
    assert_non_null(strstr(md, "+70.0 ["));
    mem_free(md);
}

static void markdown_is_inert(void **state)
{
    (void)state;
    char *md = render(LANG_EN, false);
    assert_null(strstr(md, "<script"));
    assert_non_null(strstr(md, "**PASS**"));
    assert_non_null(strstr(md, "| id |"));
    mem_free(md);
}

static void confusion_counts_every_case_once(void **state)
{
    (void)state;
    struct report_input in;
    json_t *doc;
    load(&in, LANG_EN);
    assert_int_equal(report_compose(&in, &doc, NULL), 0);
    size_t index, n_matrix = 0;
    json_t *block;
    json_array_foreach(json_object_get(doc, "blocks"), index, block)
    {
        if (!str_eq(json_string_value(json_object_get(block, "type")), "matrix")) continue;
        json_int_t sum = 0;
        for (size_t r = 0; r < 2; r++)
            for (size_t k = 0; k < 3; k++)
                sum += json_integer_value(json_array_get(json_array_get(json_object_get(block, "counts"), r), k));
        assert_int_equal(sum, N);
        n_matrix++;
    }
    assert_int_equal(n_matrix, 2);
    json_decref(doc);
    report_input_deinit(&in);
}

static void csv_is_guarded(void **state)
{
    (void)state;
    struct report_input in;
    struct buf out;
    load(&in, LANG_EN);
    buf_init(&out, 1 << 24);
    assert_int_equal(report_to_csv(&in, true, &out, NULL), 0);
    assert_int_equal(memcmp(out.data, "\xEF\xBB\xBFrun,id", 9), 0);
    assert_null(strstr(out.data, ",=cmd"));
    assert_non_null(strstr(out.data, ",'=cmd"));
    assert_int_equal(occurrences(out.data, "\r\n"), 1 + 2 * N);
    buf_deinit(&out);
    report_input_deinit(&in);
}

static void json_has_the_comparison(void **state)
{
    (void)state;
    struct report_input in;
    json_t *o;
    load(&in, LANG_EN);
    assert_int_equal(report_to_json(&in, &o, NULL), 0);
    const json_t *cmp = json_array_get(json_object_get(o, "comparisons"), 0);
    assert_string_equal(json_string_value(json_object_get(cmp, "verdict")), "PASS");
    assert_int_equal(json_integer_value(json_object_get(cmp, "n_pairs")), N);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(cmp, "mcnemar"), "c")), 42);
    json_decref(o);
    report_input_deinit(&in);
}

/* --- comparisons of stored runs --- */

static enum verdict compared(const char *a, const char *b, struct comparison *c, struct eval_result *x,
                             struct eval_result *y)
{
    struct gate gate = {.margin = 0.02};
    struct err e = {0};
    if (eval_result_load(x, a, &e) || eval_result_load(y, b, &e) || comparison_make(c, x, y, "accuracy", &gate, &e))
        fail_msg("%s", e.msg);
    return c->decision.verdict;
}

static void partial_or_unpaired_is_invalid(void **state)
{
    (void)state;
    struct eval_result x, y;
    struct comparison c;
    make_eval(DIR "/whole", 50, N, false);
    make_eval(DIR "/short", 50, N - 3, false);
    make_eval(DIR "/limited", 50, N, true);
    assert_int_equal(compared(DIR "/whole", DIR "/short", &c, &x, &y), VERDICT_INVALID);
    assert_int_equal(c.decision.cause, INVALID_UNPAIRED);
    assert_int_equal(json_array_size(c.only_base), 3);
    assert_int_equal(json_array_size(c.only_fresh), 0);
    assert_int_equal(c.stats.n, N - 3);
    struct buf text;
    buf_init(&text, 1 << 16);
    assert_int_equal(comparison_to_text(&c, LANG_EN, &text), 0);
    assert_non_null(strstr(text.data, "left out of all numbers above: 3 cases of base only, 0 of new only"));
    buf_deinit(&text);
    comparison_deinit(&c);
    eval_result_deinit(&x);
    eval_result_deinit(&y);
    assert_int_equal(compared(DIR "/whole", DIR "/limited", &c, &x, &y), VERDICT_INVALID);
    assert_int_equal(c.decision.cause, INVALID_PARTIAL);
    comparison_deinit(&c);
    eval_result_deinit(&x);
    eval_result_deinit(&y);
}

static void an_unfinished_run_is_refused(void **state)
{
    (void)state;
    struct eval_result r;
    struct err e = {0};
    assert_int_equal(file_mkdirs(DIR "/none", NULL), 0);
    assert_int_equal(eval_result_load(&r, DIR "/none", &e), -ERR_INPUT);
    eval_result_deinit(&r);
    assert_non_null(strstr(e.msg, "it is no evaluation"));
}

static void text_escaping(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_int_equal(html_text(&b, "a<b>&\"c'\x01\n"), 0);
    assert_string_equal(b.data, "a&lt;b&gt;&amp;&quot;c&#39;\xEF\xBF\xBD\n");
    buf_deinit(&b);
    json_t *doc = json_pack("{s:s,s:[{s:s}]}", "title", "t", "blocks", "type", "nonsense");
    struct err e = {0};
    buf_init(&b, 100000);
    assert_int_equal(report_html(doc, &b, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "nonsense"));
    buf_deinit(&b);
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(html_is_inert_and_complete),
                                       cmocka_unit_test(chinese),
                                       cmocka_unit_test(markdown_is_inert),
                                       cmocka_unit_test(confusion_counts_every_case_once),
                                       cmocka_unit_test(csv_is_guarded),
                                       cmocka_unit_test(json_has_the_comparison),
                                       cmocka_unit_test(partial_or_unpaired_is_invalid),
                                       cmocka_unit_test(an_unfinished_run_is_refused),
                                       cmocka_unit_test(text_escaping)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
