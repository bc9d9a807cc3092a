/* Reports: loading, and the order of the sections. Owns what it loads. What always holds: the verdict stands first, and
 * every number comes from a stored run. */
#include "lifecycle/eval/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/table/csv.h"
#include "lifecycle/eval/report_int.h"

/* --- loading --- */

static int load_one(struct report_input *in, const char *dir, struct err *e)
{
    char *events = path_join(dir, "events.jsonl"), *manifest = path_join(dir, "manifest.json");
    int rc;
    if (file_exists(events))
        rc = training_load(&in->train[in->n_train++], dir, e);
    else if (file_exists(manifest))
        rc = eval_result_load(&in->eval[in->n_eval++], dir, e);
    else
        rc = err_set(e, ERR_INPUT, dir,
                     "cannot report on \"%s\": neither an evaluation (manifest.json) nor a training run "
                     "(events.jsonl)",
                     dir);
    mem_free(events);
    mem_free(manifest);
    return rc;
}

int report_load(struct report_input *in, const char *const *dirs, size_t n, const struct gate *gate, struct err *e)
{
    in->eval = mem_alloc((n + 1) * sizeof *in->eval);
    in->train = mem_alloc((n + 1) * sizeof *in->train);
    in->cmp = mem_alloc((n + 1) * sizeof *in->cmp);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) rc = load_one(in, dirs[i], e);
    for (size_t i = 1; rc == 0 && i < in->n_eval; i++)
        rc = comparison_make(&in->cmp[in->n_cmp++], &in->eval[0], &in->eval[i], "accuracy", gate, e);
    return rc;
}

void report_input_deinit(struct report_input *in)
{
    for (size_t i = 0; i < in->n_cmp; i++) comparison_deinit(&in->cmp[i]);
    for (size_t i = 0; i < in->n_eval; i++) eval_result_deinit(&in->eval[i]);
    for (size_t i = 0; i < in->n_train; i++) training_deinit(&in->train[i]);
    mem_free(in->cmp);
    mem_free(in->eval);
    mem_free(in->train);
    *in = (struct report_input){0};
}

/* --- the composer --- */

void compose_add(struct composer *c, json_t *block)
{
    if (!block || json_array_append_new(c->blocks, block)) c->failed = true;
}

void compose_heading(struct composer *c, const char *text)
{
    compose_add(c, json_pack("{s:s,s:s}", "type", "heading", "text", text));
}

json_t *compose_printf(const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    str_cut_utf8(text);
    return json_string(text);
}

void compose_fact(struct composer *c, json_t *rows, const char *name, json_t *value)
{
    if (!value || json_array_append_new(rows, json_pack("[s,o]", name, value))) c->failed = true;
}

void compose_eval_name(const struct composer *c, size_t idx, char *out, size_t size)
{
    if (c->in->n_eval == 1)
        snprintf(out, size, "%s", compose_text(c, "Model", "模型"));
    else if (idx == 0)
        snprintf(out, size, "%s", compose_text(c, "Base", "基准"));
    else if (c->in->n_eval == 2)
        snprintf(out, size, "%s", compose_text(c, "New", "新模型"));
    else
        snprintf(out, size, "%s %zu", compose_text(c, "New", "新模型"), idx);
}

static const char *percent_sign(const struct composer *c)
{
    return compose_text(c, " %", "%");
}

static void verdict(struct composer *c, size_t idx)
{
    const struct comparison *cmp = &c->in->cmp[idx];
    char name[32];
    struct buf reason;
    buf_init(&reason, 4096);
    compose_eval_name(c, idx + 1, name, sizeof name);
    if (verdict_reason(&cmp->gate, &cmp->decision, c->in->lang, &reason))
        c->failed = true;
    else
        compose_add(c,
                    json_pack("{s:s,s:s,s:s,s:o,s:s}", "type", "verdict", "state", verdict_name(cmp->decision.verdict),
                              "label", verdict_label(cmp->decision.verdict, c->in->lang), "title",
                              compose_printf(compose_text(c, "%s: %.1f %% against %.1f %%, %+.1f points",
                                                          "%s：%.1f%%，基准 %.1f%%，相差 %+.1f 个百分点"),
                                             name, 100 * cmp->stats.fresh.mean, 100 * cmp->stats.base.mean,
                                             100 * cmp->stats.difference.mean),
                              "text", reason.data));
    buf_deinit(&reason);
}

/* "94.0 %", in Chinese "94.0%". */
static json_t *percent(const struct composer *c, double fraction)
{
    return compose_printf("%.1f%s", 100 * fraction, percent_sign(c));
}

static json_t *percent_range(const struct composer *c, double low, double high)
{
    return compose_printf("%.1f \xE2\x80\x93 %.1f%s", 100 * low, 100 * high, percent_sign(c));
}

static void score_row(struct composer *c, json_t *plot, json_t *rows, size_t i)
{
    const struct eval_result *r = &c->in->eval[i];
    const struct eval_summary *s = &r->sum;
    const json_t *inputs = json_object_get(r->manifest, "inputs");
    const char *adapter = record_str(inputs, "adapter");
    char name[32];
    compose_eval_name(c, i, name, sizeof name);
    if (json_array_append_new(plot, json_pack("{s:s,s:f,s:f,s:f}", "label", name, "value", s->mean.mean, "low",
                                              s->accuracy.low, "high", s->accuracy.high)) ||
        json_array_append_new(
            rows, json_pack("[s,s,s,o,o,o,o]", name, record_str(json_object_get(inputs, "model"), "name"),
                            adapter[0] ? adapter : "\xE2\x80\x93", percent(c, s->mean.mean),
                            percent_range(c, s->accuracy.low, s->accuracy.high),
                            compose_printf("%zu / %zu", s->n_scored, s->n), percent_range(c, s->worst, s->best))))
        c->failed = true;
}

static void scores(struct composer *c)
{
    json_t *plot = json_array(), *rows = json_array();
    compose_heading(c, compose_text(c, "Accuracy", "准确率"));
    for (size_t i = 0; i < c->in->n_eval; i++) score_row(c, plot, rows, i);
    compose_add(c, json_pack("{s:s,s:f,s:f,s:s,s:o}", "type", "intervals", "min", 0.0, "max", 1.0, "unit",
                             percent_sign(c), "rows", plot));
    compose_add(c, json_pack("{s:s,s:[{s:s},{s:s},{s:s},{s:s,s:b},{s:s,s:b},{s:s,s:b},{s:s,s:b}],s:o}", "type", "table",
                             "columns", "text", "", "text", compose_text(c, "Model", "模型"), "text",
                             compose_text(c, "Adapter", "适配器"), "text", compose_text(c, "Accuracy", "准确率"),
                             "right", 1, "text", compose_text(c, "95 % interval (Wilson)", "95% 区间（Wilson）"),
                             "right", 1, "text", compose_text(c, "Scored", "已评分"), "right", 1, "text",
                             compose_text(c, "Unscored all wrong \xE2\x80\x93 right", "未评分全错 \xE2\x80\x93 全对"),
                             "right", 1, "rows", rows));
}

static void difference_facts(struct composer *c, const struct comparison *cmp)
{
    const struct paired *p = &cmp->stats;
    json_t *rows = json_array();
    compose_fact(c, rows, compose_text(c, "Pairs", "题目对数"), compose_printf("%zu", p->n));
    compose_fact(c, rows, compose_text(c, "Difference, 95 % interval", "差值与 95% 区间"),
                 compose_printf("%+.1f [%+.1f, %+.1f]", 100 * p->difference.mean, 100 * p->difference_95.low,
                                100 * p->difference_95.high));
    if (p->binary)
        compose_fact(
            c, rows, compose_text(c, "Fixed / broken", "由错变对 / 由对变错"),
            compose_printf(compose_text(c, "%zu / %zu (McNemar mid-p %.3g)", "%zu / %zu（McNemar mid-p %.3g）"),
                           p->mcnemar.c, p->mcnemar.b, p->mcnemar.p_mid));
    compose_fact(c, rows, compose_text(c, "Margin", "允许的下降"),
                 compose_printf(compose_text(c, "%.1f points", "%.1f 个百分点"), 100 * cmp->gate.margin));
    if (cmp->gate.has_floor) compose_fact(c, rows, compose_text(c, "Floor", "最低要求"), percent(c, cmp->gate.floor));
    compose_fact(
        c, rows, compose_text(c, "Smallest difference these cases can show", "此题量可发现的最小差异"),
        compose_printf(compose_text(c, "about %.1f points", "约 %.1f 个百分点"), 100 * p->smallest_detectable));
    compose_add(c, json_pack("{s:s,s:o}", "type", "facts", "rows", rows));
}

/* The paired difference with the margin marked. */
static void difference(struct composer *c, size_t idx)
{
    const struct comparison *cmp = &c->in->cmp[idx];
    const struct paired *p = &cmp->stats;
    char name[32];
    compose_eval_name(c, idx + 1, name, sizeof name);
    double reach = fmax(fmax(fabs(p->difference_95.low), fabs(p->difference_95.high)), 2 * cmp->gate.margin);
    reach = fmin(ceil(reach * 10 + 0.2) / 10, 1);
    compose_heading(c, compose_text(c, "Paired difference, points", "配对差值（百分点）"));
    compose_add(c, json_pack("{s:s,s:f,s:f,s:f,s:[{s:s,s:f,s:f,s:f}]}", "type", "intervals", "min", -reach, "max",
                             reach, "mark", -cmp->gate.margin, "rows", "label", name, "value", p->difference.mean,
                             "low", p->difference_95.low, "high", p->difference_95.high));
    difference_facts(c, cmp);
}

static const char *title(const struct composer *c)
{
    if (c->in->n_cmp) return compose_text(c, "Is the new model good enough?", "新模型够好吗？");
    return c->in->n_eval ? compose_text(c, "Evaluation", "评测报告") : compose_text(c, "Training run", "训练报告");
}

int report_compose(const struct report_input *in, json_t **doc, struct err *e)
{
    struct composer c = {.in = in, .blocks = json_array()};
    for (size_t i = 0; i < in->n_cmp; i++) verdict(&c, i);
    if (in->n_eval) scores(&c);
    for (size_t i = 0; i < in->n_cmp; i++) difference(&c, i);
    if (in->n_eval) compose_setup(&c);
    for (size_t i = 0; i < in->n_train; i++) compose_training(&c, &in->train[i]);
    for (size_t i = 0; i < in->n_eval; i++) compose_confusion(&c, i);
    for (size_t i = 0; i < in->n_cmp; i++) compose_changes(&c, &in->cmp[i]);
    if (in->n_eval) compose_exclusions(&c);
    compose_origin(&c);
    *doc = c.failed ? NULL
                    : json_pack("{s:s,s:s,s:O}", "title", title(&c), "lang", in->lang == LANG_ZH ? "zh" : "en",
                                "blocks", c.blocks);
    json_decref(c.blocks);
    return *doc ? 0 : err_set(e, ERR_NOMEM, NULL, "cannot compose the report: out of memory");
}

/* --- JSON and CSV --- */

int report_to_json(const struct report_input *in, json_t **out, struct err *e)
{
    json_t *evals = json_array(), *cmps = json_array(), *trains = json_array();
    int rc = 0;
    for (size_t i = 0; i < in->n_eval; i++)
        if (json_array_append_new(evals,
                                  json_pack("{s:s,s:O}", "run", in->eval[i].dir, "manifest", in->eval[i].manifest)))
            rc = err_set(e, ERR_NOMEM, NULL, "cannot write the report: out of memory");
    for (size_t i = 0; rc == 0 && i < in->n_cmp; i++) {
        json_t *cmp;
        rc = comparison_to_json(&in->cmp[i], &cmp, e);
        if (rc == 0) rc = json_array_append_new(cmps, cmp);
    }
    for (size_t i = 0; i < in->n_train; i++)
        (void)json_array_append_new(trains, json_pack("{s:s,s:O,s:O,s:O,s:O?}", "run", in->train[i].dir, "loss",
                                                      in->train[i].loss, "eval_loss", in->train[i].eval_loss, "score",
                                                      in->train[i].score, "done", in->train[i].done));
    *out = rc ? NULL
              : json_pack("{s:i,s:s,s:O,s:O,s:O,s:s?}", "schema", 1, "kind", "report", "evaluations", evals,
                          "comparisons", cmps, "trainings", trains, "command", in->command);
    json_decref(evals);
    json_decref(cmps);
    json_decref(trains);
    return *out ? 0 : rc ? rc : err_set(e, ERR_NOMEM, NULL, "cannot write the report: out of memory");
}

static int csv_value(struct buf *out, const json_t *v, bool first)
{
    struct buf text;
    if (json_is_string(v)) return csv_write_field(out, json_string_value(v), json_string_length(v), first, true);
    if (!v || json_is_null(v)) return csv_write_field(out, "", 0, first, true);
    buf_init(&text, 1 << 26);
    int rc = json_format(v, JSON_LINE, &text);
    if (rc == 0) rc = csv_write_field(out, text.data, text.len, first, true);
    buf_deinit(&text);
    return rc;
}

static int csv_record(struct buf *out, const struct eval_result *r, const json_t *record)
{
    static const char *const column[] = {"id",    "stratum", "input",    "expected", "state",
                                         "score", "output",  "n_answer", "latency_s"};
    int rc = csv_write_field(out, r->dir, strlen(r->dir), true, true);
    for (size_t i = 0; rc == 0 && i < N_ELEM(column); i++)
        rc = csv_value(out, json_object_get(record, column[i]), false);
    return rc ? rc : csv_write_end(out);
}

int report_to_csv(const struct report_input *in, bool bom, struct buf *out, struct err *e)
{
    int rc =
        in->n_eval ? 0 : err_set(e, ERR_INPUT, NULL, "cannot write CSV: it lists cases, and no evaluation is given");
    if (rc) return rc;
    rc = buf_add_str(out, bom ? "\xEF\xBB\xBF" : "");
    if (rc == 0) rc = buf_add_str(out, "run,id,stratum,input,expected,state,score,output,n_answer,latency_s\r\n");
    for (size_t k = 0; rc == 0 && k < in->n_eval; k++)
        for (size_t i = 0; rc == 0 && i < json_array_size(in->eval[k].records); i++)
            rc = csv_record(out, &in->eval[k], json_array_get(in->eval[k].records, i));
    return rc ? err_set(e, -rc, NULL, "cannot write the report: longer than %zu bytes", out->max) : 0;
}
