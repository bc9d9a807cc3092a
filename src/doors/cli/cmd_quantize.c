/* quantize: a model written again in fewer bits, or with --ladder what each step down costs. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "compute/convert/quantize_model.h"
#include "doors/cli/cli.h"
#include "doors/cli/ladder.h"
#include "doors/cli/progress.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "GGUF file, Hugging Face directory or name of the model", "模型：GGUF 文件、Hugging Face 目录或名称"},
    {"out", PARAM_STRING, PARAM_POSITIONAL, NULL, 0, 0, NULL, NULL, "OUT.gguf", "file to write", "要写入的文件"},
    {"type", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "T",
     "F32, F16, BF16, Q8_0, Q4_0 ..., Q2_K ... Q6_K, or a mix: Q4_K_M, Q5_K_S ...",
     "F32、F16、BF16、Q8_0、Q4_0 …、Q2_K … Q6_K，或混合类型：Q4_K_M、Q5_K_S …"},
    {"imatrix", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "F", "importance matrix, as tailor imatrix writes it",
     "重要性矩阵（由 tailor imatrix 生成）"},
    {"ladder", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL,
     "no file: a table of size, perplexity, KL divergence and speed from Q8_0 to Q2_K",
     "不写文件：列出 Q8_0 到 Q2_K 的大小、困惑度、KL 散度和速度"},
    {"file", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "F.jsonl",
     "texts for --ladder (default: the model writes some itself)", "--ladder 使用的文本（默认由模型自己生成）"},
    {"field", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "NAME[+NAME]", "fields of a row that are the text",
     "组成文本的字段"},
};

static int find_mix(const char *type, const struct mix **out, struct err *e)
{
    char known[256] = "";
    *out = mix_find(type);
    for (size_t i = 0; !*out && mix_at(i); i++) {
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", mix_at(i)->name);
    }
    return *out ? 0
                : err_set(e, ERR_USAGE, "type", "cannot quantize: \"%s\" is no type that can be written, those are %s",
                          type, known);
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool show_progress(void *arg, double done, double total, const char *tensor)
{
    struct progress *p = arg;
    p->total = total;
    progress_update(p, done, tensor);
    return !cli_interrupted();
}

/* What a user should know beside the numbers. */
static void print_notes(const struct cli *c, const struct quantize_result *r)
{
    for (size_t i = 0; i < r->n_fallback; i++) {
        fprintf(stderr,
                cli_text(c, "note: %zu of the matrices in %s: rows that are no whole blocks of %s\n",
                         "注意：%zu 个矩阵使用 %s：其行长不是 %s 的整块\n"),
                r->fallback[i].n_tensor, quants[r->fallback[i].to]->name, quants[r->fallback[i].from]->name);
    }
    if (r->n_again) {
        fprintf(stderr,
                cli_text(c, "note: %zu of the matrices had been quantized before: a source in F16 or BF16 loses less\n",
                         "注意：%zu 个矩阵此前已量化：以 F16 或 BF16 为源损失更小\n"),
                r->n_again);
    }
    if (r->n_own_key) {
        fprintf(stderr,
                cli_text(c,
                         "note: GGUF has no key for %zu of the facts of this model: other programs will not see them\n",
                         "注意：此模型有 %zu 项参数在 GGUF 中没有对应的键：其他程序读不到它们\n"),
                r->n_own_key);
    }
    if (r->n_unweighted) {
        fprintf(stderr,
                cli_text(c, "note: the importance matrix does not have %zu of the matrices\n",
                         "注意：重要性矩阵缺少其中 %zu 个矩阵\n"),
                r->n_unweighted);
    }
}

static json_t *result_json(const char *type, const struct quantize_result *r)
{
    json_t *types = json_object(), *fallback = json_array();
    for (int q = 0; q < QUANT_COUNT; q++) {
        if (r->n_tensor[q]) {
            json_object_set_new(types, quants[q]->name, json_integer((json_int_t)r->n_tensor[q]));
        }
    }
    for (size_t i = 0; i < r->n_fallback; i++) {
        json_array_append_new(fallback,
                              json_pack("{s:s, s:s, s:I}", "from", quants[r->fallback[i].from]->name, "to",
                                        quants[r->fallback[i].to]->name, "n", (json_int_t)r->fallback[i].n_tensor));
    }
    return json_pack("{s:s, s:I, s:o, s:o, s:o, s:I, s:I}", "type", type, "bytes", (json_int_t)r->bytes, "rmse",
                     json_finite(r->rmse), "matrices", types, "fallback", fallback, "requantized",
                     (json_int_t)r->n_again, "own_keys", (json_int_t)r->n_own_key);
}

static void print_result(const struct cli *c, const char *path, const struct mix *mix, const struct quantize_result *r)
{
    char size[16];
    print_notes(c, r);
    if (c->json) {
        cli_print_json(result_json(mix->name, r));
        return;
    }
    str_format_bytes(r->bytes, size, sizeof size);
    printf(cli_text(c, "%s: %s, %s, rmse %.3e\n", "%s：%s，%s，rmse %.3e\n"), path, mix->name, size, r->rmse);
}

static int quantize(const struct cli *c, const struct model_file *f, const char *out, const struct mix *mix,
                    const struct imatrix *imatrix, struct err *e)
{
    struct progress progress;
    struct quantize_result r;
    struct quantize_options opt = {.mix = mix,
                                   .imatrix = imatrix,
                                   .n_thread = c->threads,
                                   .isa = c->isa,
                                   .progress = show_progress,
                                   .arg = &progress};
    progress_begin(&progress, c, cli_text(c, "quantizing", "量化"), cli_text(c, "values", "个"), 0, 0);
    int rc = quantize_model(f, out, &opt, &r, e);
    progress_end(&progress);
    if (rc == 0) {
        print_result(c, out, mix, &r);
    }
    return rc;
}

static int run_ladder(const struct cli *c, const struct param_set *args, const struct imatrix *imatrix, struct err *e)
{
    struct ladder_options opt = {.model = param_str(args, "model"),
                                 .file = param_str(args, "file"),
                                 .field = param_str(args, "field"),
                                 .imatrix = imatrix};
    return ladder_run(c, &opt, e);
}

static int run_quantize(const struct cli *c, const struct param_set *args, const struct imatrix *imatrix, struct err *e)
{
    const struct mix *mix;
    struct model_file *f = NULL;
    const char *out = param_str(args, "out");
    char *path = NULL;
    int rc = find_mix(param_str(args, "type"), &mix, e);
    rc = rc ? rc : cli_model_path(c, param_str(args, "model"), &path, e);
    if (!rc && same_file(path, out)) {
        rc = err_set(e, ERR_USAGE, out, "cannot write \"%s\": it is the model that is read", out);
    }
    rc = rc ? rc : model_file_open(&f, path, e);
    rc = rc ? rc : quantize(c, f, out, mix, imatrix, e);
    model_file_close(f);
    mem_free(path);
    return rc;
}

/* OUT and --type belong to a file, --file and --field to the ladder. */
static int check(const struct param_set *args, struct err *e)
{
    bool ladder = param_bool(args, "ladder");
    const char *const wrong[] = {ladder ? "out" : "file", ladder ? "type" : "field"};
    for (size_t i = 0; i < N_ELEM(wrong); i++) {
        if (param_is_set(args, wrong[i])) {
            return err_set(e, ERR_USAGE, wrong[i], "cannot use \"%s\" %s --ladder", wrong[i],
                           ladder ? "with" : "without");
        }
    }
    if (ladder ? param_is_set(args, "file") != param_is_set(args, "field")
               : !param_is_set(args, "out") || !param_is_set(args, "type")) {
        return err_set(e, ERR_USAGE, "quantize", "cannot quantize: %s",
                       ladder ? "--file and --field go together" : "OUT.gguf and --type are needed, or --ladder");
    }
    return 0;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct imatrix *imatrix = NULL;
    const char *weights = param_str(args, "imatrix");
    int rc = check(args, e);
    rc = rc || !weights ? rc : imatrix_open(&imatrix, weights, e);
    if (!rc) {
        rc = param_bool(args, "ladder") ? run_ladder(c, args, imatrix, e) : run_quantize(c, args, imatrix, e);
    }
    imatrix_close(imatrix);
    return rc;
}

const struct command cmd_quantize = {
    .name = "quantize",
    .summary_en = "write a model in fewer bits",
    .summary_zh = "以更少的比特写出模型",
    .usage = "MODEL (OUT.gguf --type T | --ladder [--file F.jsonl --field NAME]) [--imatrix F]",
    .example = "tailor quantize Qwen2.5-0.5B-Instruct qwen-q4.gguf --type Q4_K_M",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
