/* perplexity: how well a model predicts texts, alone or beside a second model. Each row of the file is a context of its
 * own; sums are double. What it computes: nll = -log p(token | tokens before it) over every token but the first of a
 * row; KL divergence of the model from MODEL2, the reference, at the same positions. */
#include <math.h>
#include <stdio.h>

#include "doors/cli/cli_score.h"
#include "doors/cli/cli_texts.h"
#include "doors/cli/options.h"
#include "ground/json/json.h"

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model", "模型的路径或名称"},
    {"file", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "F.jsonl", "rows of texts, JSON Lines",
     "文本行，JSON Lines 格式"},
    {"field", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "NAME[+NAME]",
     "fields of a row that are the text, joined by newlines", "组成文本的字段，用换行连接"},
    {"against", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "MODEL2", "reference model for the KL divergence",
     "用于计算 KL 散度的参考模型"},
    {"against_precision", PARAM_CHOICE, 0, NULL, 0, 0, "auto|deterministic|reference", NULL, "P",
     "precision of the reference model, MODEL itself without --against",
     "参考模型的精度；未给 --against 时参考模型即 MODEL"},
    {"adapter", PARAM_STRING, PARAM_ONCE, NULL, 0, 0, NULL, NULL, "A[,scale=S]", "LoRA adapter on top of the model",
     "叠加在模型上的 LoRA 适配器"},
    {"ctx", PARAM_INT, 0, "tokens", 2, 1048576, NULL, NULL, "N", "longest row", "单行的最大长度"},
};

static int measure_row(void *arg, const struct token_list *ids, const char *where, struct err *e)
{
    int rc = cli_score_text(arg, ids, e);
    return rc && rc != -ERR_INTERRUPTED ? err_wrap(e, rc, "%s", where) : rc;
}

static int measure_file(struct cli_score *m, const struct param_set *args, struct err *e)
{
    const char *path = param_str(args, "file");
    int rc = cli_texts_each(&m->x->model, path, param_str(args, "field"), measure_row, m, e);
    if (!rc && !m->n_predicted)
        rc = err_set(e, ERR_INPUT, path, "cannot measure perplexity on \"%s\": no row has two tokens", path);
    return rc;
}

static void print_measure(const struct cli *c, const struct cli_score *m)
{
    double n = (double)m->n_predicted, mean = m->nll / n;
    if (c->json) {
        json_t *o = json_pack("{s:o, s:o, s:I}", "mean_nll", json_finite(mean), "perplexity", json_finite(exp(mean)),
                              "n_predicted", (json_int_t)m->n_predicted);
        if (m->other)
            json_object_update_new(o, json_pack("{s:o, s:o, s:o}", "mean_kld", json_finite(m->kld / n), "max_kld",
                                                json_finite(m->max_kld), "same_top",
                                                json_finite((double)m->n_same_top / n)));
        cli_print_json(o);
        return;
    }
    printf(cli_text(c, "perplexity %.4f (mean nll %.5f, %llu tokens)\n", "困惑度 %.4f（平均 nll %.5f，%llu 个词元）\n"),
           exp(mean), mean, (unsigned long long)m->n_predicted);
    if (m->other)
        printf(cli_text(c, "KL divergence: mean %.3e, max %.3e; same most likely token: %.2f %%\n",
                        "KL 散度：平均 %.3e，最大 %.3e；首选词元相同：%.2f%%\n"),
               m->kld / n, m->max_kld, 100 * (double)m->n_same_top / n);
}

static int start(struct cli_engine *x, const struct param_set *args, struct err *e)
{
    int64_t wanted = param_is_set(args, "ctx") ? param_int(args, "ctx") : 0;
    struct engine_options opt = {.n_ctx = cli_engine_context(x, wanted), .max_batch = 1};
    return cli_engine_start(x, &opt, e);
}

static int open_other(struct cli_score *m, struct cli_engine *other, const struct cli *c, const struct param_set *args,
                      struct err *e)
{
    struct cli own = *c;
    const char *name = param_str(args, "against"), *precision = param_str(args, "against_precision"), *adapter = NULL;
    if (precision) own.precision = options_precision(precision);
    if (precision) own.kv_type = DEV_KV_F16; /* what is measured includes the cache */
    if (precision && !name) {
        name = param_str(args, "model");
        adapter = param_str(args, "adapter");
    }
    int rc = name ? cli_engine_load(other, &own, name, adapter, e) : 0;
    if (rc || !name) return rc;
    m->other = other;
    size_t n_vocab = (size_t)model_params(other->model.model)->n_vocab;
    if (n_vocab != m->n_vocab)
        return err_set(e, ERR_INPUT, name, "cannot compare with \"%s\": its vocabulary has %zu tokens, not %zu", name,
                       n_vocab, m->n_vocab);
    return start(other, args, e);
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct cli_engine x, other;
    struct cli_score m = {.x = &x};
    int rc = cli_engine_load(&x, c, param_str(args, "model"), param_str(args, "adapter"), e);
    if (rc) return rc;
    m.n_vocab = (size_t)model_params(x.model.model)->n_vocab;
    rc = cli_model_need_text(&x.model, "measure perplexity", e);
    if (!rc) rc = start(&x, args, e);
    if (!rc) rc = open_other(&m, &other, c, args, e);
    if (!rc) rc = measure_file(&m, args, e);
    if (!rc) print_measure(c, &m);
    if (m.other) cli_engine_close(&other);
    cli_engine_close(&x);
    return rc;
}

const struct command cmd_perplexity = {
    .name = "perplexity",
    .summary_en = "how well a model predicts texts",
    .summary_zh = "模型预测文本的能力",
    .usage =
        "MODEL --file F.jsonl --field NAME[+NAME] [--against MODEL2] [--against-precision P] [--adapter A[,scale=S]]",
    .example = "tailor perplexity model.gguf --file gsm8k.jsonl --field question+answer",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
