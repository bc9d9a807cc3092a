/* eval: a model, with or without an adapter, answers the cases of a file. */
#include <stdio.h>
#include <string.h>

#include "doors/cli/cli_data.h"
#include "doors/cli/cli_engine.h"
#include "doors/cli/command_text.h"
#include "doors/cli/eval_identity.h"
#include "doors/cli/progress.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/eval/run.h"

extern const struct command cmd_eval;

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model", "模型的路径或名称"},
    {"cases", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "F.jsonl",
     "test cases, one JSON object a line, or name of a registered dataset",
     "测试题（每行一个 JSON 对象）或已注册的数据集名称"},
    {"adapter", PARAM_STRING, PARAM_ONCE, NULL, 0, 0, NULL, NULL, "A[,scale=S]", "LoRA adapter on top of the model",
     "叠加在模型上的 LoRA 适配器"},
    {"limit", PARAM_INT, 0, "cases", 1, 10000000, NULL, NULL, "N",
     "only the first N cases; the run stays marked as partial", "只测前 N 题；结果会标记为部分评测"},
    {"out", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "DIR",
     "directory of the run; an interrupted run in it goes on (default: by identity, in the home directory)",
     "结果目录；其中被中断的评测会继续（默认按评测身份放在主目录中）"},
    {"overwrite", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL,
     "discard another evaluation that DIR holds; this same one still goes on or is reused",
     "丢弃目录中已有的其他评测；同一评测仍会继续或复用"},
    {"choices", PARAM_CHOICE, 0, NULL, 0, 0, "free|listed|constrained", "free", NULL,
     "free: the prompt does not name the labels; listed: it lists them; constrained: it lists them and the answer is "
     "forced "
     "to be one of them",
     "free：提示词中不列出标签；listed：列出标签；constrained：列出标签且回答只能是其中之一"},
    {"labels", PARAM_LIST, 0, NULL, 0, 0, NULL, NULL, "A,B,...",
     "the labels (default: the expected answers of all cases)", "标签（默认取全部题目的标准答案）"},
    {"system", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "TEXT", "system message before every case",
     "每题之前的系统消息"},
    {"prompt_template", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "Jinja template of the user message: variables input, context, choices",
     "用户消息的 Jinja 模板，变量 input、context、choices"},
    {"max_tokens", PARAM_INT, 0, "tokens", 1, 1048576, NULL, NULL, "N",
     "longest answer (default: 32 for classification, else 512)", "回答的最大长度（分类默认 32，其他 512）"},
    {"batch", PARAM_INT, 0, "cases", 1, 1024, NULL, "16", "N", "cases answered at a time", "同时回答的题数"},
    {"ctx", PARAM_INT, 0, "tokens", 2, 1048576, NULL, "2048", "N", "longest prompt and answer together",
     "提示词与回答合计的最大长度"},
    {"temperature", PARAM_FLOAT, 0, NULL, 0, 100, NULL, "0", "X", "0: always the most likely token",
     "0 表示总取概率最大的词元"},
    {"top_k", PARAM_INT, 0, "tokens", 0, 16777216, NULL, "0", "N", "draw from the N most likely tokens; 0: all",
     "只在概率最大的 N 个词元中采样；0 为不限"},
    {"top_p", PARAM_FLOAT, PARAM_ABOVE, NULL, 0, 1, NULL, "1", "X",
     "draw from the smallest set with this probability; 1: all", "只在累计概率达到它的最小集合中采样；1 为不限"},
    {"seed", PARAM_INT, 0, NULL, 0, 9007199254740992.0, NULL, "0", "N", "equal seeds draw equal tokens",
     "相同种子得到相同词元"},
};

/* Everything that lives as long as one evaluation. */
struct session {
    const struct cli *c;
    const struct param_set *args;
    struct registry *registry;
    struct cli_data data;
    struct case_set cases;
    struct cli_engine x;
    struct prompt_builder prompt;
    char *template_text, *dir;
    json_t *labels, *identity, *description;
    struct buf command;
    struct eval_options o;
    struct progress progress;
};

static enum choices_mode read_mode(const struct param_set *args)
{
    const char *s = param_str(args, "choices");
    return str_eq(s, "listed") ? CHOICES_LISTED : str_eq(s, "constrained") ? CHOICES_CONSTRAINED : CHOICES_FREE;
}

static bool has_label(const json_t *labels, const char *text)
{
    size_t i;
    json_t *v;
    json_array_foreach(labels, i, v) if (str_eq(json_string_value(v), text)) return true;
    return false;
}

/* A list without the right answer would make a case impossible and count as the model's failure. */
static int check_labels(const struct session *s, struct err *e)
{
    for (size_t i = 0; i < s->cases.n; i++) {
        const struct eval_case *c = &s->cases.item[i];
        if (str_eq(c->task, "classification") && json_is_string(c->expected) &&
            !has_label(s->labels, json_string_value(c->expected)))
            return err_set(e, ERR_USAGE, "labels", "cannot use --labels: \"%s\", expected by case \"%s\", is not in it",
                           json_string_value(c->expected), c->id);
    }
    return 0;
}

static int read_labels(struct session *s, struct err *e)
{
    size_t n = param_count(s->args, "labels");
    if (s->o.choices == CHOICES_FREE)
        return n ? err_set(e, ERR_USAGE, "labels",
                           "cannot use --labels with --choices free: the prompt would not name them")
                 : 0;
    if (n == 0 && !s->cases.labels)
        return err_set(e, ERR_USAGE, "labels",
                       "cannot list the choices of \"%s\": not every case is a classification; give "
                       "--labels",
                       s->cases.path);
    if (n == 0) {
        s->labels = json_incref(s->cases.labels);
        return 0;
    }
    s->labels = json_array();
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(s->labels, json_string(param_str_at(s->args, "labels", i))))
            return err_set(e, ERR_INPUT, "labels", "cannot use label %zu: it is not UTF-8", i + 1);
    return check_labels(s, e);
}

static int make_prompt(struct session *s, struct err *e)
{
    const char *path = param_str(s->args, "prompt_template");
    int rc = read_labels(s, e);
    if (rc == 0 && path) rc = file_read_all(path, 1 << 20, &s->template_text, NULL, e);
    if (rc) return rc;
    s->prompt = (struct prompt_builder){
        .tok = s->x.model.tok, .chat = s->x.model.chat, .labels = s->labels, .system = param_str(s->args, "system")};
    return prompt_builder_init(&s->prompt, s->o.choices, s->template_text, s->cases.item[0].lang, e);
}

static bool all_classification(const struct case_set *cases)
{
    for (size_t i = 0; i < cases->n; i++)
        if (!str_eq(cases->item[i].task, "classification")) return false;
    return true;
}

static void read_sampling(struct session *s)
{
    struct sampling *p = &s->o.sampling;
    sampling_init(p);
    p->temperature = (float)param_float(s->args, "temperature");
    p->greedy = p->temperature <= 0;
    if (p->greedy) p->temperature = 1;
    p->top_k = (int)param_int(s->args, "top_k");
    p->top_p = (float)param_float(s->args, "top_p");
    p->seed = (uint64_t)param_int(s->args, "seed");
    s->o.max_tokens = param_is_set(s->args, "max_tokens") ? (int)param_int(s->args, "max_tokens")
                      : all_classification(&s->cases)     ? 32
                                                          : 512;
}

static int context(const struct session *s)
{
    int wanted = (int)param_int(s->args, "ctx"), trained = model_params(s->x.model.model)->n_ctx_train;
    bool given = param_is_set(s->args, "ctx");
    return !given && trained > 1 && trained < wanted ? trained : wanted;
}

static int open_all(struct session *s, struct err *e)
{
    const struct param_set *a = s->args;
    size_t limit = param_is_set(a, "limit") ? (size_t)param_int(a, "limit") : 0;
    int rc = cli_data_find(&s->data, s->c, param_str(a, "cases"), "cases.jsonl", e);
    if (rc == 0) rc = case_set_load(&s->cases, s->data.path, limit, e);
    if (rc == 0) rc = case_set_runnable(&s->cases, e);
    if (rc == 0) rc = registry_open(&s->registry, s->c->home, e);
    if (rc == 0) rc = cli_engine_load(&s->x, s->c, param_str(a, "model"), param_str(a, "adapter"), e);
    if (rc == 0) rc = cli_model_check_text(&s->x.model, e);
    if (rc == 0) rc = cli_model_need_text(&s->x.model, "answer cases", e);
    if (rc == 0) {
        struct engine_options opt = {
            .n_ctx = context(s), .max_batch = (int)param_int(a, "batch"), .prefix_cache = true};
        rc = cli_engine_start(&s->x, &opt, e);
    }
    return rc;
}

/* --out, or a directory named by the identity, so that the same evaluation finds itself again. */
static int choose_dir(struct session *s, struct err *e)
{
    char hex[DIGEST_HEX_SIZE];
    const char *out = param_str(s->args, "out");
    if (out) {
        s->dir = mem_strdup(out);
        return 0;
    }
    int rc = json_digest(s->identity, hex, e);
    if (rc) return rc;
    struct buf b;
    buf_init(&b, 8192);
    if (buf_printf(&b, "%s/runs/eval-%.16s", s->c->home, hex))
        rc = err_set(e, ERR_LIMIT, s->c->home, "cannot make a run in \"%s\": the path is too long", s->c->home);
    else
        s->dir = mem_strdup(b.data);
    buf_deinit(&b);
    return rc;
}

static void show_progress(void *arg, size_t done, size_t n, double accuracy)
{
    struct session *s = arg;
    char note[64];
    (void)n;
    snprintf(note, sizeof note, cli_text(s->c, "accuracy %.1f %%", "准确率 %.1f%%"), 100 * accuracy);
    progress_update(&s->progress, (double)done, note);
}

static int describe(struct session *s, struct err *e)
{
    const char *model = param_str(s->args, "model"), *adapter = param_str(s->args, "adapter");
    int rc = command_text("eval", params, N_ELEM(params), s->args, &s->command);
    if (rc) return err_set(e, -rc, NULL, "cannot describe the evaluation: out of memory");
    rc = eval_identity(s->c, s->registry, &s->x, adapter, &s->o, &s->identity, e);
    return rc ? rc
              : eval_description(s->c, &s->x, model, adapter, s->data.is_registered ? s->data.pinned : NULL, &s->o,
                                 s->command.data, &s->description, e);
}

static int prepare(struct session *s, struct err *e)
{
    s->o = (struct eval_options){.cases = &s->cases,
                                 .choices = read_mode(s->args),
                                 .batch = (int)param_int(s->args, "batch"),
                                 .prompt = &s->prompt,
                                 .progress = show_progress,
                                 .interrupted = cli_interrupted,
                                 .arg = s};
    const char *out = param_str(s->args, "out");
    int rc = out ? eval_dir_check(out, e) : 0; /* before minutes of loading, and before --overwrite discards anything */
    if (rc == 0) rc = open_all(s, e);
    if (rc) return rc;
    s->o.engine = s->x.engine;
    s->o.tok = s->x.model.tok;
    s->o.adapter = cli_engine_adapter(&s->x);
    read_sampling(s);
    rc = sampling_check(&s->o.sampling, e);
    if (rc == 0) rc = make_prompt(s, e);
    if (rc == 0) rc = describe(s, e);
    if (rc == 0) rc = choose_dir(s, e);
    s->o.identity = s->identity;
    s->o.description = s->description;
    s->o.dir = s->dir;
    return rc;
}

/* Whether the directory holds this same evaluation, finished or not. */
static bool holds_same(const struct session *s)
{
    char *path = path_join(s->dir, "manifest.json");
    json_t *manifest = NULL;
    bool same = json_read_file(path, 1 << 26, &manifest, NULL) == 0 &&
                json_equal(json_object_get(manifest, "identity"), s->identity);
    json_decref(manifest);
    mem_free(path);
    return same;
}

/* With --overwrite: what another evaluation left in the directory goes; the same one is gone on with or reused. */
static int clear_dir(const struct session *s, struct err *e)
{
    static const char *const name[] = {"manifest.json", "cases.jsonl", "journal.jsonl"};
    int rc = 0;
    if (!param_bool(s->args, "overwrite") || holds_same(s)) return 0;
    for (size_t i = 0; rc == 0 && i < N_ELEM(name); i++) {
        char *path = path_join(s->dir, name[i]);
        rc = file_remove_tree(path, e);
        mem_free(path);
    }
    return rc;
}

static json_t *result_json(const struct eval_result *r)
{
    const struct eval_summary *s = &r->sum;
    return json_pack("{s:s,s:I,s:I,s:I,s:b,s:{s:{s:f,s:f,s:f}},s:f,s:f,s:O,s:O}", "run", r->dir, "n", (json_int_t)s->n,
                     "n_scored", (json_int_t)s->n_scored, "n_error", (json_int_t)s->n_error, "partial",
                     eval_result_partial(r), "metrics", "accuracy", "value", s->mean.mean, "low", s->accuracy.low,
                     "high", s->accuracy.high, "worst", s->worst, "best", s->best, "states",
                     json_object_get(r->manifest, "states"), "identity_sha256",
                     json_object_get(r->manifest, "identity_sha256"));
}

static void print_result(const struct cli *c, const struct eval_result *r, bool reused)
{
    const struct eval_summary *s = &r->sum;
    if (c->json) {
        cli_print_json(result_json(r));
        return;
    }
    printf(cli_text(c, "accuracy %.1f %%  [%.1f, %.1f] (95 %%), %zu of %zu cases scored%s\n",
                    "准确率 %.1f%%  [%.1f, %.1f]（95%% 区间），%zu/%zu 题已评分%s\n"),
           100 * s->mean.mean, 100 * s->accuracy.low, 100 * s->accuracy.high, s->n_scored, s->n,
           eval_result_partial(r) ? cli_text(c, "; partial: cut by --limit", "；部分评测（--limit）") : "");
    if (s->n_error)
        printf(cli_text(c, "not scored: %zu; all wrong %.1f %%, all right %.1f %%\n",
                        "未评分 %zu 题；全错 %.1f%%，全对 %.1f%%\n"),
               s->n_error, 100 * s->worst, 100 * s->best);
    json_int_t failed = json_integer_value(json_object_get(json_object_get(r->manifest, "states"), "model_failed"));
    if (failed)
        printf(cli_text(c, "%lld answers could not be made (see \"reason\" in cases.jsonl) and count as wrong\n",
                        "%lld 题未能作答（原因见 cases.jsonl 的 reason），按错误计\n"),
               (long long)failed);
    printf("%s%s%s\n", cli_text(c, "run ", "结果："), r->dir,
           reused ? cli_text(c, " (finished before, reused)", "（此前已完成，直接复用）") : "");
}

static int evaluate(struct session *s, struct err *e)
{
    struct eval_result r = {0};
    bool reused = false;
    int rc = clear_dir(s, e);
    if (rc) return rc;
    progress_begin(&s->progress, s->c, cli_text(s->c, "evaluating", "评测中"), cli_text(s->c, "cases", "题"), 0,
                   (double)s->cases.n);
    rc = eval_run(&s->o, &r, &reused, e);
    progress_end(&s->progress);
    if (rc == 0) rc = registry_note_run(s->registry, "eval", s->dir, e);
    if (rc == 0) print_result(s->c, &r, reused);
    eval_result_deinit(&r);
    return rc;
}

static void close_all(struct session *s)
{
    prompt_builder_deinit(&s->prompt);
    cli_engine_close(&s->x);
    case_set_deinit(&s->cases);
    cli_data_deinit(&s->data);
    registry_close(s->registry);
    json_decref(s->labels);
    json_decref(s->identity);
    json_decref(s->description);
    buf_deinit(&s->command);
    mem_free(s->template_text);
    mem_free(s->dir);
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct session s = {.c = c, .args = args};
    buf_init(&s.command, 1 << 20);
    int rc = prepare(&s, e);
    if (rc == 0) rc = evaluate(&s, e);
    close_all(&s);
    return rc;
}

const struct command cmd_eval = {
    .name = "eval",
    .summary_en = "answer test cases with a model and score them",
    .summary_zh = "用模型回答测试题并评分",
    .usage = "MODEL --cases F.jsonl [--adapter A] [--choices free|listed|constrained] [--limit N] [--out DIR]",
    .example = "tailor eval smollm2 --cases cases.jsonl --choices constrained --out runs/base",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
