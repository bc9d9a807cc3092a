/* export: a model or an adapter in the form that other programs read. */
#include "compute/convert/quantize_model.h"
#include "compute/formats/hf_write.h"
#include "doors/cli/cli_engine.h"
#include "doors/cli/written.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

extern const struct command cmd_export;

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "GGUF file, Hugging Face directory or name of the model", "模型：GGUF 文件、Hugging Face 目录或名称"},
    {"out", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "OUT", "what to write",
     "要写出的文件或目录"},
    {"format", PARAM_CHOICE, PARAM_REQUIRED, NULL, 0, 0, "gguf|hf|peft|gguf-lora", NULL, NULL,
     "gguf, hf: the model; peft, gguf-lora: the adapter", "gguf、hf：模型；peft、gguf-lora：适配器"},
    {"adapter", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "A", "adapter of the model, for peft and gguf-lora",
     "该模型的适配器，用于 peft 与 gguf-lora"},
};

/* --- the model --- */

static int no_values(void *arg, const char *name, enum tensor_type type, void *out, size_t n, struct err *e)
{
    (void)arg, (void)name, (void)type, (void)out, (void)n, (void)e;
    return -ERR_NOT_FOUND; /* all as they are */
}

static int export_gguf(const struct cli *c, const struct model_file *f, const char *out, struct err *e)
{
    struct quantize_result r;
    const struct quantize_options opt = {
        .mix = model_file_is_gguf(f) ? NULL : written_mix(f), .n_thread = c->threads, .isa = c->isa};
    return quantize_model(f, out, &opt, &r, e);
}

static int export_model(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct model_file *f = NULL;
    char *path = NULL;
    const char *out = param_str(args, "out");
    bool gguf = str_eq(param_str(args, "format"), "gguf");
    int rc = cli_model_path(c, param_str(args, "model"), &path, e);
    if (rc == 0) rc = model_file_open(&f, path, e);
    if (rc == 0) rc = gguf ? export_gguf(c, f, out, e) : hf_write(f, out, no_values, NULL, e);
    model_file_close(f);
    mem_free(path);
    return rc;
}

/* --- the adapter --- */

static int export_adapter(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct cli_engine x;
    const char *out = param_str(args, "out"), *model = param_str(args, "model");
    int rc = cli_engine_load(&x, c, model, param_str(args, "adapter"), e);
    if (rc != 0) return rc;
    rc = str_eq(param_str(args, "format"), "peft") ? adapter_save(x.adapter, out, model, NULL, e)
                                                   : adapter_save_gguf(x.adapter, out, e);
    cli_engine_close(&x);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    const char *format = param_str(args, "format"), *out = param_str(args, "out");
    bool wants = str_eq(format, "peft") || str_eq(format, "gguf-lora"), has = param_is_set(args, "adapter");
    if (wants != has)
        return err_set(e, ERR_USAGE, "adapter", "cannot export as %s %s an adapter: %s", format,
                       has ? "with" : "without", has ? "merge puts one into the model" : "--adapter is needed");
    int rc = written_check_place(out, e);
    if (rc == 0) rc = wants ? export_adapter(c, args, e) : export_model(c, args, e);
    if (rc == 0) written_print(c, out);
    return rc;
}

const struct command cmd_export = {
    .name = "export",
    .summary_en = "write a model or an adapter for other programs",
    .summary_zh = "将模型或适配器写成其他程序可读的格式",
    .usage = "MODEL OUT --format gguf|hf | MODEL OUT --format peft|gguf-lora --adapter A",
    .example = "tailor export model.gguf support-lora.gguf --format gguf-lora --adapter runs/first/adapter",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
