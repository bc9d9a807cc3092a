/* tune: fields from a run file and the command line into one set, then the trainer. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "doors/cli/cli_model.h"
#include "doors/cli/message_zh.h"
#include "doors/cli/progress.h"
#include "doors/cli/registry_print.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
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
    {.name = "resume",
     .type = PARAM_STRING,
     .metavar = "DIR",
     .help_en = "go on with this run",
     .help_zh = "继续此运行"},
};

/* Fields that may change when a run goes on: its result does not depend on them. */
static bool may_change(const char *name)
{
    static const char *const free_to[] = {"threads", "recompute", "memory_limit", "save_every"};
    for (size_t i = 0; i < N_ELEM(free_to); i++)
        if (str_eq(name, free_to[i])) return true;
    return false;
}

static int read_yaml_of(struct param_set *s, const char *dir, struct err *e)
{
    char *path = path_join(dir, "run.yaml");
    int rc = file_exists(path) ? param_set_yaml(s, path, e)
                               : err_set(e, ERR_NOT_FOUND, dir, "cannot read the run \"%s\": it has no run.yaml", dir);
    mem_free(path);
    return rc;
}

/* --set and flags, as one object of texts and values, last one wins. */
static int apply_set(struct param_set *s, const char *text, struct err *e)
{
    const char *eq = strchr(text, '=');
    if (eq == NULL || eq == text) return err_set(e, ERR_USAGE, text, "cannot set \"%s\": KEY=VALUE is needed", text);
    char *key = mem_strndup(text, (size_t)(eq - text));
    int rc = param_set_text(s, key, eq + 1, e);
    mem_free(key);
    return rc;
}

static int apply_flags(struct param_set *s, const struct param_set *args, struct err *e)
{
    json_t *values = param_to_json(args);
    int rc = values == NULL ? err_set(e, ERR_NOMEM, NULL, "cannot read the command line: out of memory") : 0;
    for (size_t i = 0; rc == 0 && i < param_count(args, "set"); i++) rc = apply_set(s, param_str_at(args, "set", i), e);
    for (size_t i = 0; rc == 0 && i < train_n_param; i++) {
        const char *name = train_params[i].name;
        if (param_is_set(args, name)) rc = param_set_json(s, name, json_object_get(values, name), e);
    }
    json_decref(values);
    return rc;
}

/* A run's fields are complete, so it names epochs or max_steps; when the command line names the other, that one counts.
 */
static int read_from(struct param_set **s, const struct param_set *args, struct err *e)
{
    int rc = read_yaml_of(*s, param_str(args, "from"), e);
    struct param_set *over = param_set_new(train_params, train_n_param);
    if (rc == 0) rc = apply_flags(over, args, e);
    json_t *values = rc == 0 ? param_to_json(*s) : NULL;
    if (rc == 0 && values == NULL) rc = err_set(e, ERR_NOMEM, NULL, "cannot read the run: out of memory");
    if (rc == 0) {
        if (param_is_set(over, "max_steps")) json_object_del(values, "epochs");
        if (param_is_set(over, "epochs")) json_object_del(values, "max_steps");
        param_set_free(*s);
        *s = param_set_new(train_params, train_n_param);
        rc = param_set_object(*s, values, e);
    }
    json_decref(values);
    param_set_free(over);
    return rc;
}

static int resume_fields(struct param_set *s, const struct param_set *args, struct err *e)
{
    const char *dir = param_str(args, "resume");
    int rc = read_yaml_of(s, dir, e);
    if (rc == 0 && (param_is_set(args, "run") || param_is_set(args, "from") || param_count(args, "set") > 0))
        rc = err_set(e, ERR_USAGE, "resume",
                     "cannot resume \"%s\" with other fields: --resume stands without run, from and set", dir);
    for (size_t i = 0; rc == 0 && i < train_n_param; i++) {
        const char *name = train_params[i].name;
        if (param_is_set(args, name) && !may_change(name))
            rc = err_set(e, ERR_USAGE, name,
                         "cannot resume \"%s\" with another %s: a run keeps its fields (--from copies them "
                         "into a new one)",
                         dir, name);
    }
    if (rc == 0) rc = apply_flags(s, args, e);
    return rc != 0 ? rc : param_set_text(s, "output", dir, e);
}

static int gather(struct param_set **s, const struct param_set *args, struct err *e)
{
    if (param_str(args, "resume") != NULL) return resume_fields(*s, args, e);
    int rc = 0;
    if (param_str(args, "from") != NULL) rc = read_from(s, args, e);
    if (rc == 0 && param_str(args, "run") != NULL) rc = param_set_yaml(*s, param_str(args, "run"), e);
    return rc != 0 ? rc : apply_flags(*s, args, e);
}

/* --- what the trainer says --- */

struct view {
    const struct cli *c;
    struct progress progress;
    bool begun;
};

static bool interrupted(void *arg)
{
    (void)arg;
    return cli_interrupted();
}

static void show_note(void *arg, const char *line)
{
    const struct view *v = arg;
    cli_print_message(v->c->lang, "", "", line);
}

static void show_progress(void *arg, const struct train_progress *p)
{
    struct view *v = arg;
    char note[160];
    if (!v->begun)
        progress_begin(&v->progress, v->c, cli_text(v->c, "tuning", "微调"), cli_text(v->c, "steps", "步"),
                       (double)(p->step - 1), (double)p->n_step);
    v->begun = true;
    snprintf(note, sizeof(note), cli_text(v->c, "loss %.4f, %.0f tok/s", "损失 %.4f，%.0f 词元/秒"), p->loss, p->tok_s);
    progress_update(&v->progress, (double)p->step, note);
}

static void print_result(const struct cli *c, const char *run, const struct train_result *r)
{
    if (c->json) {
        cli_print_json(json_pack("{s:s,s:I,s:o,s:o,s:o,s:o,s:o,s:I}", "run", run, "steps", (json_int_t)r->steps,
                                 "train_loss", json_finite(r->train_loss), "eval_loss", json_finite(r->eval_loss),
                                 "tok_s", json_finite(r->tok_s), "rows_s", json_finite(r->rows_s), "seconds",
                                 json_finite(r->seconds), "peak_rss_bytes", (json_int_t)r->peak_rss_bytes));
        return;
    }
    char rss[32];
    str_format_bytes(r->peak_rss_bytes, rss, sizeof(rss));
    if (r->was_complete) printf("%s\n", cli_text(c, "the run was complete already", "该运行此前已完成"));
    printf(cli_text(c, "adapter: %s/adapter\n", "适配器：%s/adapter\n"), run);
    printf(cli_text(c, "%llu steps, loss %.4f, %.1f s, %.0f tokens/s (%.2f rows/s), memory %s\n",
                    "%llu 步，损失 %.4f，%.1f 秒，%.0f 词元/秒（%.2f 行/秒），内存 %s\n"),
           (unsigned long long)r->steps, r->train_loss, r->seconds, r->tok_s, r->rows_s, rss);
    if (!isnan(r->eval_loss))
        printf(cli_text(c, "loss on eval_data: %.4f\n", "eval_data 上的损失：%.4f\n"), r->eval_loss);
}

static int tune(const struct cli *c, struct param_set *fields, bool resume, struct err *e)
{
    struct cli mine = *c;
    struct train_config cfg;
    struct cli_model m = {0};
    struct dev *d = NULL;
    struct vocab_source vocab;
    struct train_result result;
    struct view view = {.c = c};
    int rc = train_config_precision(fields, c->precision, &mine.precision, e);
    mine.threads = train_config_threads(fields, c->threads);
    if (rc == 0) rc = train_config_read(&cfg, fields, e);
    if (rc == 0 && !resume && file_exists(cfg.output))
        rc = err_set(e, ERR_CONFLICT, cfg.output, "cannot tune into \"%s\": it exists (--resume %s goes on with a run)",
                     cfg.output, cfg.output);
    if (rc == 0) rc = cli_device(&mine, &d, e);
    if (rc == 0) rc = cli_model_open(&m, &mine, d, cfg.base, e);
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
                                   .resume = resume,
                                   .arg = &view,
                                   .interrupted = interrupted,
                                   .note = show_note,
                                   .progress = show_progress};
        rc = train_run(&rq, &result, e);
    }
    if (view.begun) progress_end(&view.progress);
    if (rc == 0) rc = registry_record_run(c, "tune", cfg.output, e);
    if (rc == 0) print_result(c, cfg.output, &result);
    cli_model_close(&m);
    dev_free(d);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct param_set *fields = param_set_new(train_params, train_n_param);
    int rc = gather(&fields, args, e);
    if (rc == 0) rc = tune(c, fields, param_str(args, "resume") != NULL, e);
    param_set_free(fields);
    return rc;
}

const struct command cmd_tune = {
    .name = "tune",
    .summary_en = "tune a model on your data: a LoRA adapter",
    .summary_zh = "用您的数据微调模型：得到 LoRA 适配器",
    .usage = "--run FILE.yaml [--set KEY=VALUE]... | --base MODEL --data FILE --output DIR [FIELDS] | --resume DIR",
    .example = "tailor tune --base model.gguf --data train.jsonl --output runs/first",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
