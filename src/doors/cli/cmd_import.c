/* import: a model or adapter on disk becomes a version in the registry. */
#include <stdio.h>

#include "compute/formats/model_file.h"
#include "doors/cli/cli.h"
#include "govern/registry/registry.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

extern const struct command cmd_import;

static const struct param params[] = {
    {"path", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "FILE/DIR",
     "GGUF file, Hugging Face directory or PEFT adapter directory", "GGUF 文件、Hugging Face 目录或 PEFT 适配器目录"},
    {"name", PARAM_STRING, PARAM_POSITIONAL, NULL, 0, 0, NULL, NULL, "NAME",
     "name in the registry (default: from the path)", "注册名（默认取自路径）"},
};

/* A file without tensors may be a vocabulary, a directory may not: its weights were forgotten. Hyper-parameters must
 * not contradict the tensors; a family that is not computed here can be kept and inspected all the same. */
static int check_model(const struct model_file *f, bool is_dir, struct err *e)
{
    struct model_params p;
    struct vocab_source v;
    const char *path = model_file_path(f);
    if (model_file_n_tensor(f) == 0) {
        if (is_dir)
            return err_set(e, ERR_INPUT, path,
                           "cannot import \"%s\": it has no tensors, model.safetensors or "
                           "model.safetensors.index.json with its files is needed",
                           path);
        int rc = model_file_vocab(f, &v, e);
        return rc || v.model
                   ? rc
                   : err_set(e, ERR_INPUT, path, "cannot import \"%s\": it has neither tensors nor a vocabulary", path);
    }
    int rc = is_dir || model_file_find(f, "token_embd.weight") ? model_file_params(f, &p, e) : 0;
    return rc == -ERR_UNSUPPORTED ? 0 : rc;
}

/* A file that cannot be opened as what it says it is must not get a name. Adapters are checked when they are loaded. */
static int check(const char *path, struct err *e)
{
    struct model_file *f;
    char *config = path_join(path, "adapter_config.json");
    bool adapter = file_exists(config);
    mem_free(config);
    if (adapter) return 0;
    int rc = model_file_open(&f, path, e);
    if (rc) return rc;
    rc = check_model(f, file_is_dir(path), e);
    model_file_close(f);
    return rc;
}

static void print(const struct cli *c, const struct registered *r)
{
    char size[32];
    if (c->json) {
        cli_print_json(json_pack("{s:s,s:s,s:I,s:i,s:b,s:i}", "name", r->name, "digest", r->digest, "bytes",
                                 (json_int_t)r->bytes, "version", r->version, "added", r->added, "newest", r->newest));
        return;
    }
    str_format_bytes(r->bytes, size, sizeof size);
    printf("%s:%d  %s  sha256:%.12s%s\n", r->name, r->version, size, r->digest,
           r->added ? "" : cli_text(c, "  (was there already)", "（已存在）"));
    if (r->newest != r->version)
        printf(cli_text(c, "\"%s\" goes on to mean version %d, the newest\n", "“%s”仍指最新的版本 %d\n"), r->name,
               r->newest);
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct registry *registry = NULL;
    struct registered r;
    const char *path = param_str(args, "path");
    int rc = check(path, e);
    if (rc == 0) rc = registry_open(&registry, c->home, e);
    if (rc == 0) rc = registry_import(registry, path, param_str(args, "name"), &r, e);
    if (rc == 0) print(c, &r);
    registry_close(registry);
    return rc;
}

const struct command cmd_import = {
    .name = "import",
    .summary_en = "take a model or adapter on disk into the registry",
    .summary_zh = "将磁盘上的模型或适配器导入注册表",
    .usage = "FILE/DIR [NAME]",
    .example = "tailor import SmolLM2-135M-Instruct.Q4_1.gguf smollm2",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
