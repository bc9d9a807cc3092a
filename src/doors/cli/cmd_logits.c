/* logits: the model's raw answer to given ids, one row a token, as a safetensors file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compute/formats/safetensors.h"
#include "doors/cli/cli_engine.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"

enum { IDS_FILE_MAX_BYTES = 64 << 20 };

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model", "模型的路径或名称"},
    {"ids", PARAM_INTS, 0, NULL, 0, 2147483647, NULL, NULL, "1,2,3", "token ids", "词元编号"},
    {"ids_file", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "file of token ids, separated by commas or white space", "词元编号文件，以逗号或空白分隔"},
    {"out", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "F.safetensors", "file to write", "要写入的文件"},
    {"reference", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "short for --precision reference",
     "等同于 --precision reference"},
    {"adapter", PARAM_STRING, PARAM_ONCE, NULL, 0, 0, NULL, NULL, "A[,scale=S]", "LoRA adapter on top of the model",
     "叠加在模型上的 LoRA 适配器"},
};

struct pass {
    size_t n_vocab;
    float *logits; /* [n_tok][n_vocab] */
};

static int keep_rows(void *arg, int first_pos, int n_row, const float *logits, struct err *e)
{
    struct pass *p = arg;
    memcpy(p->logits + (size_t)first_pos * p->n_vocab, logits, (size_t)n_row * p->n_vocab * sizeof(float));
    return cli_interrupted() ? err_set(e, ERR_INTERRUPTED, NULL, "interrupted at token %d", first_pos) : 0;
}

static int add_id(struct token_list *out, long long id, const char *where, struct err *e)
{
    if (id < 0 || id > INT32_MAX)
        return err_set(e, ERR_INPUT, where, "cannot use id %lld of \"%s\": 0 to %d would be right", id, where,
                       INT32_MAX);
    return token_list_add(out, (int32_t)id)
               ? err_set(e, ERR_NOMEM, where, "cannot hold the ids of \"%s\": out of memory", where)
               : 0;
}

static int parse_ids(const char *text, const char *path, struct token_list *out, struct err *e)
{
    int rc = 0;
    while (!rc && *(text += strspn(text, ", \t\r\n"))) {
        char *end;
        long long id = strtoll(text, &end, 10);
        if (end == text || (*end && !strchr(", \t\r\n", *end)))
            return err_set(e, ERR_INPUT, path, "cannot read ids from \"%s\": \"%.20s\" is no number", path, text);
        rc = add_id(out, id, path, e);
        text = end;
    }
    return rc;
}

static int read_ids(const struct param_set *args, struct token_list *out, struct err *e)
{
    int rc = param_need_one(args, "compute logits", "ids", "ids_file", e);
    for (size_t i = 0; !rc && i < param_count(args, "ids"); i++)
        rc = add_id(out, param_int_at(args, "ids", i), "--ids", e);
    if (!rc && param_is_set(args, "ids_file")) {
        const char *path = param_str(args, "ids_file");
        char *text;
        size_t size;
        rc = file_read_all(path, IDS_FILE_MAX_BYTES, &text, &size, e);
        if (rc) return rc;
        rc = parse_ids(text, path, out, e);
        mem_free(text);
    }
    if (!rc && out->n == 0) rc = err_set(e, ERR_USAGE, NULL, "cannot compute logits: no ids are given");
    return rc;
}

static int save(const struct pass *p, size_t n_tok, const char *path, struct err *e)
{
    struct safetensors_item item = {
        .name = "logits", .type = TENSOR_F32, .shape = {n_tok, p->n_vocab}, .n_dim = 2, .data = p->logits};
    return safetensors_save(path, &item, 1, NULL, e);
}

static int compute(struct cli_engine *x, const struct token_list *ids, struct pass *p, struct err *e)
{
    struct engine_options opt = {.n_ctx = cli_engine_context(x, ids->n < 2 ? 2 : (int64_t)ids->n), .max_batch = 1};
    int rc = cli_engine_start(x, &opt, e);
    if (rc) return rc;
    size_t n_value;
    p->n_vocab = (size_t)model_params(x->model.model)->n_vocab;
    p->logits = mul_size(ids->n, p->n_vocab, &n_value) ? mem_try_array(n_value, sizeof(float)) : NULL;
    if (!p->logits)
        return err_set(e, ERR_NOMEM, NULL, "cannot keep logits of %zu tokens x %zu: out of memory", ids->n, p->n_vocab);
    return engine_logits(x->engine, ids->ids, ids->n, cli_engine_adapter(x), keep_rows, p, e);
}

static void print_result(const struct cli *c, size_t n_tok, size_t n_vocab, const char *path)
{
    if (c->json)
        cli_print_json(json_pack("{s:I, s:I}", "n_tok", (json_int_t)n_tok, "n_vocab", (json_int_t)n_vocab));
    else
        printf(cli_text(c, "%s: %zu x %zu\n", "%s：%zu x %zu\n"), path, n_tok, n_vocab);
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct cli own = *c;
    struct token_list ids = {0};
    struct cli_engine x;
    struct pass p = {0};
    const char *out = param_str(args, "out");
    if (param_bool(args, "reference")) own.precision = PRECISION_REFERENCE;
    int rc = read_ids(args, &ids, e);
    if (!rc) rc = cli_engine_load(&x, &own, param_str(args, "model"), param_str(args, "adapter"), e);
    if (!rc) {
        rc = compute(&x, &ids, &p, e);
        if (!rc) rc = save(&p, ids.n, out, e);
        if (!rc) print_result(c, ids.n, p.n_vocab, out);
        cli_engine_close(&x);
    }
    mem_free(p.logits);
    token_list_deinit(&ids);
    return rc;
}

const struct command cmd_logits = {
    .name = "logits",
    .summary_en = "raw scores of the vocabulary after every token",
    .summary_zh = "每个词元之后词表的原始得分",
    .usage = "MODEL (--ids 1,2,3 | --ids-file F) --out F.safetensors [--reference] [--adapter A[,scale=S]]",
    .example = "tailor logits model.gguf --ids 1,2,3 --out logits.safetensors --reference",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
