/* tune: fields from a run file and the command line into one set, then the trainer. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "doors/cli/adapter_origin.h"
#include "doors/cli/cli_model.h"
#include "doors/cli/message_zh.h"
#include "doors/cli/progress.h"
#include "doors/cli/registry_print.h"
#include "doors/cli/remote_chat.h"
#include "doors/cli/text_plot.h"
#include "doors/cli/tune_cases.h"
#include "doors/cli/tune_fields.h"
#include "doors/cli/tune_preset.h"
#include "doors/cli/tune_sweep.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/machine.h"
#include "lifecycle/train/params.h"
#include "lifecycle/train/train.h"

extern const struct command cmd_tune;

static const struct param params[] = {
    TRAIN_PARAMS,
    {.name = "run",
     .type = PARAM_STRING,
     .metavar = "FILE.yaml",
     .help_en = "run file: the fields as YAML",
     .help_zh = "运行文件：以 YAML 给出各字段"},
    {.name = "set",
     .type = PARAM_STRING,
     .flags = PARAM_REPEAT,
     .metavar = "KEY=VALUE",
     .help_en = "one field, over the run file",
     .help_zh = "单个字段，优先于运行文件"},
    {.name = "from",
     .type = PARAM_STRING,
     .metavar = "DIR",
     .help_en = "take the fields of another run",
     .help_zh = "采用另一次运行的字段"},
    {.name = "grid",
     .type = PARAM_STRING,
     .flags = PARAM_REPEAT,
     .metavar = "KEY=V1,V2",
     .help_en = "a run for each of these values of a field; several grids: for each combination",
     .help_zh = "该字段的每个值各运行一次；多个 grid 时各种组合都运行"},
    {.name = "resume",
     .type = PARAM_STRING,
     .metavar = "DIR",
     .help_en = "go on with this run",
     .help_zh = "继续此运行"},
};

/* --- what the trainer says --- */

enum { CURVE_POINTS = 24 };

struct view {
    const struct cli *c;
    double loss[CURVE_POINTS]; /* of the last steps */
    size_t n_loss;
    struct progress progress;
    bool begun;
    struct tune_cases *cases;
};

static bool interrupted(void *arg)
{
    (void)arg;
    return cli_interrupted();
}

static void show_note(void *arg, const char *line)
{
    struct view *v = arg;
    if (v->begun) progress_end(&v->progress); /* the line goes on below it */
    cli_print_message(v->c->lang, "", "", line);
}

static int score_cases(void *arg, const struct train_state *state, struct train_score *out, struct err *e)
{
    const struct view *v = arg;
    return tune_cases_score(v->cases, state, out, e);
}

/* What samples were worth, for methods that sample answers. */
static void reward_note(const struct cli *c, const struct train_progress *p, char *note, size_t size)
{
    snprintf(note, size,
             cli_text(c,
                      "reward %.3f (spread %.3f, equal groups %.0f %%), entropy %.2f, KL %.3g, clipped %.0f %%, "
                      "%.0f tokens an answer",
                      "奖励 %.3f（离散度 %.3f，组内无差异 %.0f %%），熵 %.2f，KL %.3g，截断 %.0f %%，每答案 %.0f 词元"),
             p->reward, p->reward_std, 100 * p->equal_groups, p->entropy, p->kl, 100 * p->clipped, p->answer_tokens);
}

static void loss_note(struct view *v, const struct train_progress *p, char *note, size_t size)
{
    char curve[3 * CURVE_POINTS + 2] = "", memory[32];
    if (v->n_loss == CURVE_POINTS) memmove(v->loss, v->loss + 1, sizeof(v->loss) - sizeof(v->loss[0]));
    v->n_loss -= v->n_loss == CURVE_POINTS;
    v->loss[v->n_loss++] = p->loss;
    if (v->c->stderr_is_tty) text_bars(v->loss, v->n_loss, CURVE_POINTS, curve + 1);
    if (v->c->stderr_is_tty) curve[0] = ' ';
    str_format_bytes(machine_rss_bytes(), memory, sizeof(memory));
    snprintf(note, size, cli_text(v->c, "loss %.4f%s, %.0f tok/s, memory %s", "损失 %.4f%s，%.0f 词元/秒，内存 %s"),
             p->loss, curve, p->tok_s, memory);
}

/* The last score on eval_cases, where there is one. */
static void add_score(const struct cli *c, const struct train_progress *p, char *note, size_t size)
{
    size_t n = strlen(note);
    if (!isnan(p->score)) snprintf(note + n, size - n, cli_text(c, ", score %.1f %%", "，得分 %.1f%%"), 100 * p->score);
}

static void show_progress(void *arg, const struct train_progress *p)
{
    struct view *v = arg;
    char note[240];
    if (!v->begun)
        progress_begin(&v->progress, v->c, cli_text(v->c, "tuning", "微调"), cli_text(v->c, "steps", "步"),
                       (double)(p->step - 1), (double)p->n_step);
    v->begun = true;
    if (p->has_reward)
        reward_note(v->c, p, note, sizeof(note));
    else
        loss_note(v, p, note, sizeof(note));
    add_score(v->c, p, note, sizeof(note));
    progress_update(&v->progress, (double)p->step, note);
}

/* {"read", "refused", "kept", "truncated", ...}: what became of the rows. */
static json_t *rows_json(const struct train_door *d)
{
    json_t *rows = json_pack("{s:I,s:I}", "read", (json_int_t)d->n_read, "refused", (json_int_t)d->n_refused);
    for (int v = 0; v < ROW_N_VERDICT; v++)
        if (json_object_set_new(rows, row_verdict_name((enum row_verdict)v),
                                json_integer((json_int_t)d->n_verdict[v])) != 0)
            return rows;
    return rows;
}

/* What was said before the first step, beside what it took. */
static void print_prediction(const struct cli *c, const struct train_result *r)
{
    double seconds = r->seconds + r->eval_seconds;
    char memory[32];
    if (!(r->predicted_peak_bytes > 0)) return;
    str_format_bytes((uint64_t)r->predicted_peak_bytes, memory, sizeof(memory));
    printf(cli_text(c, "predicted: memory %s (was %+.1f %%)", "预测：内存 %s（实际 %+.1f%%）"), memory,
           100 * ((double)r->peak_rss_bytes / r->predicted_peak_bytes - 1));
    if (r->predicted_seconds > 0 && !r->stopped_early) /* the time is that of all steps */
        printf(cli_text(c, ", %.1f s (took %+.0f %%)", "，%.1f 秒（实际 %+.0f%%）"), r->predicted_seconds,
               100 * (seconds / r->predicted_seconds - 1));
    printf("\n");
}

static void print_result(const struct cli *c, const char *run, bool full, const struct train_result *r)
{
    if (c->json) {
        cli_print_json(json_pack(
            "{s:s,s:I,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:o}", "run", run, "steps", (json_int_t)r->steps,
            "stopped_early", (int)r->stopped_early, "train_loss", json_finite(r->train_loss), "eval_loss",
            json_finite(r->eval_loss), "score", json_finite(r->score), "tok_s", json_finite(r->tok_s), "rows_s",
            json_finite(r->rows_s), "seconds", json_finite(r->seconds), "peak_rss_bytes", (json_int_t)r->peak_rss_bytes,
            "eval_seconds", json_finite(r->eval_seconds), "score_seconds", json_finite(r->score_seconds),
            "predicted_seconds", json_finite(r->predicted_seconds), "predicted_peak_bytes",
            json_finite(r->predicted_peak_bytes), "rows", rows_json(&r->rows)));
        return;
    }
    char rss[32];
    str_format_bytes(r->peak_rss_bytes, rss, sizeof(rss));
    if (r->rows.n_refused > 0)
        printf(cli_text(c, "%llu of %llu rows were refused: %s/refused.jsonl\n",
                        "未采用 %llu 行（共 %llu 行）：%s/refused.jsonl\n"),
               (unsigned long long)r->rows.n_refused, (unsigned long long)r->rows.n_read, run);
    if (r->was_complete) printf("%s\n", cli_text(c, "the run was complete already", "该运行此前已完成"));
    if (full)
        printf(cli_text(c, "model: %s/model\n", "模型：%s/model\n"), run);
    else
        printf(cli_text(c, "adapter: %s/adapter\n", "适配器：%s/adapter\n"), run);
    printf(cli_text(c, "%llu steps, loss %.4f, %.1f s, %.0f tokens/s (%.2f rows/s), memory %s\n",
                    "%llu 步，损失 %.4f，%.1f 秒，%.0f 词元/秒（%.2f 行/秒），内存 %s\n"),
           (unsigned long long)r->steps, r->train_loss, r->seconds, r->tok_s, r->rows_s, rss);
    print_prediction(c, r);
    if (!isnan(r->eval_loss))
        printf(cli_text(c, "loss on eval_data: %.4f\n", "eval_data 上的损失：%.4f\n"), r->eval_loss);
    if (!isnan(r->score))
        printf(cli_text(c, "score on eval_cases: %.1f %% (answers: %s/evals)\n",
                        "eval_cases 上的得分：%.1f%%（回答：%s/evals）\n"),
               100 * r->score, run);
}

/* What stands below must be of this base, as adapters that are served must be. */
static int check_stack(const struct train_config *cfg, const struct model_file *f, struct err *e)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < cfg->n_adapter; i++) rc = adapter_origin_check(cfg->adapters[i], f, false, e);
    return rc;
}

static int open_base(struct cli_model *m, struct tune_cases *cases, const struct cli *c, struct dev *d,
                     const struct train_config *cfg, struct err *e)
{
    int rc = cli_model_open(m, c, d, cfg->base, e);
    if (rc == 0 && cfg->is_chat) rc = cli_model_check_text(m, e);
    if (rc == 0) rc = check_stack(cfg, m->file, e);
    return rc ? rc : tune_cases_bind(cases, c, m, e);
}

static int tune(const struct cli *c, struct param_set *fields, bool resume, struct train_result *result, struct err *e)
{
    struct cli mine = *c;
    struct train_config cfg = {0};
    struct tune_places places = {0};
    struct cli_model m = {0};
    struct dev *d = NULL;
    struct vocab_source vocab;
    struct tune_cases cases = {0};
    struct view view = {.c = c, .cases = &cases};
    struct remote_chat remote = {.cli = c};
    const struct asker asker = {&remote, remote_chat_ask};
    struct tune_preset preset = {0};
    if (!resume) tune_preset_begin(&preset, fields);
    int rc = train_config_precision(fields, c->precision, &mine.precision, e);
    mine.threads = train_config_threads(fields, c->threads);
    if (rc == 0) rc = tune_places_find(&places, c, fields, e);
    if (rc == 0) rc = train_config_read(&cfg, fields, e);
    if (rc == 0) tune_places_put(&places, &cfg);
    if (rc == 0 && !resume && file_exists(cfg.output))
        rc = err_set(e, ERR_CONFLICT, cfg.output, "cannot tune into \"%s\": it exists (--resume %s goes on with a run)",
                     cfg.output, cfg.output);
    if (rc == 0) rc = tune_cases_read(&cases, &mine, fields, cfg.eval_cases, e);
    if (rc == 0) rc = cli_device(&mine, &d, e);
    if (rc == 0) rc = open_base(&m, &cases, &mine, d, &cfg, e);
    if (rc == 0) rc = tune_preset_fill(&preset, fields, &cfg, &places, &m, show_note, &view, e);
    if (rc == 0) rc = model_file_vocab(m.file, &vocab, e);
    if (rc == 0) {
        struct train_request rq = {.config = &cfg,
                                   .fields = fields,
                                   .model = m.model,
                                   .file = m.file,
                                   .tok = m.tok,
                                   .tmpl = m.chat,
                                   .template_text = vocab.chat_template,
                                   .version = cli_version(),
                                   .asker = &asker,
                                   .resume = resume,
                                   .arg = &view,
                                   .interrupted = interrupted,
                                   .note = show_note,
                                   .progress = show_progress,
                                   .score = score_cases,
                                   .score_bytes = cases.bytes};
        rc = train_run(&rq, result, e);
    }
    if (view.begun) progress_end(&view.progress);
    if (rc == 0) rc = registry_record_run(c, "tune", cfg.output, e);
    tune_cases_deinit(&cases);
    cli_model_close(&m);
    dev_free(d);
    tune_places_deinit(&places);
    train_config_deinit(&cfg);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    if (param_count(args, "grid") > 0) return tune_sweep(c, args, tune, e);
    struct param_set *fields = param_set_new(train_params, train_n_param);
    struct train_result result;
    char *place = NULL;
    int rc = tune_fields_read(fields, args, e);
    if (rc == 0) place = mem_strdup(param_str(fields, "output")); /* as it was given, for people */
    if (rc == 0) rc = tune(c, fields, param_str(args, "resume") != NULL, &result, e);
    if (rc == 0) print_result(c, place, str_eq(param_str(fields, "adapter"), "full"), &result);
    mem_free(place);
    param_set_free(fields);
    return rc;
}

const struct command cmd_tune = {
    .name = "tune",
    .summary_en = "tune a model on your data: an adapter, or the model in full",
    .summary_zh = "用您的数据微调模型：得到适配器，或全量微调的模型",
    .usage = "--run FILE.yaml [--set KEY=VALUE]... | --base MODEL --data FILE [FIELDS] | --from DIR [--set "
             "KEY=VALUE]... | --resume DIR",
    .example = "tailor tune --base model.gguf --data train.jsonl --output runs/first",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
