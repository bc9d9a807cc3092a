/* imatrix: which inputs of every matrix matter, measured on texts; what quantize --imatrix reads. */
#include <stdio.h>

#include "compute/convert/imatrix.h"
#include "doors/cli/cli_model.h"
#include "doors/cli/cli_texts.h"
#include "doors/cli/progress.h"
#include "ground/base/str.h"

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model", "模型的路径或名称"},
    {"out", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "OUT", "file to write (GGUF)",
     "要写入的文件（GGUF）"},
    {"file", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "F.jsonl", "rows of texts, JSON Lines",
     "文本行，JSON Lines 格式"},
    {"field", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "NAME[+NAME]",
     "fields of a row that are the text, joined by newlines", "组成文本的字段，用换行连接"},
    {"ctx", PARAM_INT, 0, "tokens", 2, 1048576, NULL, "4096", "N", "longest row", "单行的最大长度"},
};

struct collect {
    const struct cli *c;
    struct imatrix_collector *collector;
    struct progress progress;
};

static int add_text(void *arg, const struct token_list *ids, const char *where, struct err *e)
{
    struct collect *k = arg;
    int rc = ids->n ? imatrix_collector_add(k->collector, ids->ids, ids->n, e) : 0;
    if (rc) return err_wrap(e, rc, "%s", where);
    double n_tok = (double)imatrix_collector_n_tok(k->collector);
    progress_update(&k->progress, n_tok, NULL);
    return cli_interrupted() ? err_set(e, ERR_INTERRUPTED, where, "interrupted after %.0f tokens", n_tok) : 0;
}

static int collect(struct collect *k, struct cli_model *m, const struct param_set *args, struct err *e)
{
    const char *file = param_str(args, "file");
    progress_begin(&k->progress, k->c, cli_text(k->c, "collecting", "统计"), cli_text(k->c, "tokens", "个词元"), 0, 0);
    int rc = cli_texts_each(m, file, param_str(args, "field"), add_text, k, e);
    progress_end(&k->progress);
    return rc ? rc : imatrix_collector_save(k->collector, param_str(args, "out"), file, e);
}

static void print_result(const struct collect *k, const char *path)
{
    uint64_t n_tok = imatrix_collector_n_tok(k->collector);
    if (k->c->json)
        cli_print_json(json_pack("{s:s, s:I}", "path", path, "n_tok", (json_int_t)n_tok));
    else
        printf(cli_text(k->c, "%s: %llu tokens\n", "%s：%llu 个词元\n"), path, (unsigned long long)n_tok);
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct dev *d = NULL;
    struct cli_model m = {0};
    struct collect k = {.c = c};
    int rc = cli_device(c, &d, e);
    rc = rc ? rc : cli_model_open(&m, c, d, param_str(args, "model"), e);
    rc = rc ? rc : cli_model_need_text(&m, "collect an importance matrix", e);
    rc = rc ? rc : imatrix_collector_new(&k.collector, m.model, (int)param_int(args, "ctx"), e);
    rc = rc ? rc : collect(&k, &m, args, e);
    if (rc == 0) print_result(&k, param_str(args, "out"));
    imatrix_collector_free(k.collector);
    cli_model_close(&m);
    dev_free(d);
    return rc;
}

const struct command cmd_imatrix = {
    .name = "imatrix",
    .summary_en = "measure which inputs of a model's matrices matter, for quantize",
    .summary_zh = "测量模型各矩阵输入的重要性，供量化使用",
    .usage = "MODEL OUT --file F.jsonl --field NAME[+NAME]",
    .example = "tailor imatrix model.gguf model.imatrix.gguf --file calibration.jsonl --field text",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
