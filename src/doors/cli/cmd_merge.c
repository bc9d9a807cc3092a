/* merge: a model with an adapter in its weights, written as a model of its own. */
#include <stdio.h>

#include "compute/convert/merge.h"
#include "doors/cli/adapter_origin.h"
#include "doors/cli/cli_engine.h"
#include "doors/cli/written.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

extern const struct command cmd_merge;

static const double KEPT_ENOUGH = 0.9;

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "GGUF file, Hugging Face directory or name of the model", "模型：GGUF 文件、Hugging Face 目录或名称"},
    {"out", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "OUT",
     "what to write: a file that ends in .gguf, else a Hugging Face directory (of a model that is one)",
     "要写出的内容：以 .gguf 结尾则为文件，否则为 Hugging Face 目录（模型须为目录）"},
    {"adapter", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "A[,scale=S]", "adapter to put into the weights",
     "要并入权重的适配器"},
    {"type", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "T",
     "of a .gguf: type of its matrices, as in quantize (default: as they are; quantized ones that change become F16)",
     ".gguf 中矩阵的类型，同 quantize（默认保持不变；有变化的量化矩阵写为 F16）"},
};

static int find_mix(const struct param_set *args, const struct model_file *f, const struct mix **out, struct err *e)
{
    const char *type = param_str(args, "type");
    *out = model_file_is_gguf(f) ? NULL : written_mix(f);
    if (type == NULL) return 0;
    *out = mix_find(type);
    return *out != NULL ? 0
                        : err_set(e, ERR_USAGE, "type", "cannot merge: \"%s\" is no type that can be written", type);
}

/* An adapter that was tuned within the codes of its base goes there again, bit for bit. */
static int merge_moved(const struct cli *c, const struct param_set *args, const struct merge_input *in, struct err *e)
{
    struct quantize_options opt = {.n_thread = c->threads, .isa = c->isa};
    struct quantize_result r;
    const char *out = param_str(args, "out");
    if (!param_is_set(args, "type") && str_ends(out, ".gguf")) return merge_codes(in, out, &opt, &r, e);
    return err_set(
        e, ERR_USAGE, "out",
        "cannot merge an adapter tuned within codes (merge_aware) into \"%s\": a file that ends in .gguf, of "
        "the base's own types, would be right",
        out);
}

/* A type that was asked for may round to what the base was. The file is written by now: not to know is no failure. */
static void tell_kept(const struct cli *c, const struct merge_input *in, const char *out)
{
    double kept;
    struct err why;
    if (merge_kept(in, out, &kept, &why) != 0)
        fprintf(stderr,
                cli_text(c, "note: how much of the adapter is left in \"%s\" is not known: %s\n",
                         "注意：无法得知“%s”中适配器的改变还剩多少：%s\n"),
                out, why.msg);
    else if (kept < KEPT_ENOUGH)
        fprintf(stderr,
                cli_text(c,
                         "note: %.0f %% of what the adapter changes is left, the rest was rounded away; a wider --type "
                         "keeps more, tune --merge-aware all\n",
                         "注意：适配器带来的改变只剩 %.0f%%，其余因取整而丢失；更宽的 --type 保留更多，"
                         "tune --merge-aware 则全部保留\n"),
                100 * kept);
}

static int merge(const struct cli *c, const struct param_set *args, const struct cli_engine *x, bool codes,
                 struct err *e)
{
    const char *out = param_str(args, "out");
    const struct merge_input in = {.file = x->model.file, .model = x->model.model, .adapter = x->adapter};
    struct quantize_options opt = {.n_thread = c->threads, .isa = c->isa};
    struct quantize_result r;
    if (codes) return merge_moved(c, args, &in, e);
    if (!str_ends(out, ".gguf")) {
        if (param_is_set(args, "type"))
            return err_set(e, ERR_USAGE, "type",
                           "cannot merge with --type into a directory: its matrices keep their "
                           "types, an OUT that ends in .gguf would be right");
        return merge_hf(&in, out, e);
    }
    int rc = find_mix(args, x->model.file, &opt.mix, e);
    if (rc == 0) rc = merge_gguf(&in, out, &opt, &r, e);
    if (rc == 0 && param_is_set(args, "type") && model_file_is_gguf(x->model.file)) tell_kept(c, &in, out);
    return rc;
}

static int load(struct cli_engine *x, const struct cli *c, const struct param_set *args, bool *codes, struct err *e)
{
    struct cli_adapter a = {0};
    char *path = NULL;
    *x = (struct cli_engine){0};
    int rc = cli_adapter_parse(&a, param_str(args, "adapter"), e);
    a.merging = true;
    if (rc == 0) rc = cli_model_path(c, a.path, &path, e);
    if (rc == 0) rc = adapter_origin_is_codes(path, codes, e);
    if (rc == 0 && *codes && (a.scale < 1.0f || a.scale > 1.0f))
        rc = err_set(e, ERR_USAGE, "adapter",
                     "cannot merge an adapter tuned within codes (merge_aware) with scale %g: it was evaluated at 1",
                     (double)a.scale);
    if (rc == 0) rc = cli_device(c, &x->dev, e);
    if (rc == 0) rc = cli_model_open(&x->model, c, x->dev, param_str(args, "model"), e);
    if (rc == 0) rc = cli_adapter_load(c, &a, &x->model, &x->adapter, e);
    cli_adapter_deinit(&a);
    mem_free(path);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct cli_engine x = {0};
    bool codes = false;
    const char *out = param_str(args, "out");
    int rc = written_check_place(out, e);
    if (rc == 0) rc = load(&x, c, args, &codes, e);
    if (rc == 0) rc = merge(c, args, &x, codes, e);
    if (rc == 0) written_print(c, out);
    cli_engine_close(&x);
    return rc;
}

const struct command cmd_merge = {
    .name = "merge",
    .summary_en = "put an adapter into the weights of its model",
    .summary_zh = "将适配器并入其模型的权重",
    .usage = "MODEL --adapter A OUT [--type T]",
    .example = "tailor merge model.gguf --adapter runs/first/adapter merged.gguf",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
