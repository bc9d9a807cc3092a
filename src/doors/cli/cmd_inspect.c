/* inspect: what is in a model file. Works for every GGUF and every directory, also those without a forward pass here:
 * a hyper-parameter that cannot be told is null. --check reads all tensor data and names what is not finite. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compute/formats/model_file.h"
#include "doors/cli/cli.h"
#include "doors/cli/inspect_words.h"
#include "doors/cli/message_zh.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model", "模型的路径或名称"},
    {"check", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL,
     "read all tensor data and look for values that are not finite", "读取全部张量数据，查找非有限数值"},
};

/* How a hyper-parameter is called in GGUF (after the architecture), in config.json, and in Chinese. */
static const struct {
    const char *name, *gguf, *config, *zh;
} fields[] = {
    {"n_layer", "block_count", "num_hidden_layers", "层数"},
    {"n_embd", "embedding_length", "hidden_size", "隐藏维度"},
    {"n_head", "attention.head_count", "num_attention_heads", "注意力头数"},
    {"n_kv_head", "attention.head_count_kv", "num_key_value_heads", "KV 头数"},
    {"d_head", "attention.key_length", "head_dim", "每头维度"},
    {"n_ff", "feed_forward_length", "intermediate_size", "前馈维度"},
    {"n_vocab", "vocab_size", "vocab_size", "词表大小"},
    {"n_ctx_train", "context_length", "max_position_embeddings", "训练上下文"},
};

/* GGUF's general.file_type: the name of a mix of types (llama.h, enum llama_ftype). */
static const struct {
    int code;
    const char *name;
} file_types[] = {{0, "F32"},     {1, "F16"},     {2, "Q4_0"},    {3, "Q4_1"},    {7, "Q8_0"},
                  {8, "Q5_0"},    {9, "Q5_1"},    {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},
                  {13, "Q3_K_L"}, {14, "Q4_K_S"}, {15, "Q4_K_M"}, {16, "Q5_K_S"}, {17, "Q5_K_M"},
                  {18, "Q6_K"},   {25, "IQ4_NL"}, {30, "IQ4_XS"}, {32, "BF16"},   {38, "MXFP4"}};

static uint64_t n_value(const struct tensor_info *t)
{
    const struct tensor_type_info *info = tensor_type_info(t->type);
    return t->n_bytes / info->block_bytes * (uint64_t)info->block_len;
}

static json_t *tensors_json(const struct model_file *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        const struct tensor_info *t = model_file_tensor(f, i);
        json_t *shape = json_array();
        for (int d = 0; d < t->n_dim; d++) {
            json_array_append_new(shape, json_integer((json_int_t)t->shape[d]));
        }
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", t->name, "type",
                                              tensor_type_info(t->type)->name, "shape", shape));
    }
    return list;
}

/* The type that most values have. */
static const char *main_type(const struct model_file *f)
{
    uint64_t n[TENSOR_TYPE_COUNT] = {0};
    int best = 0;
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        const struct tensor_info *t = model_file_tensor(f, i);
        n[t->type] += n_value(t);
        best = n[t->type] > n[best] ? (int)t->type : best;
    }
    return n[best] ? tensor_type_info((enum tensor_type)best)->name : NULL;
}

static const char *file_type(const struct model_file *f)
{
    const json_t *code = json_object_get(model_file_metadata(f), "general.file_type");
    for (size_t i = 0; model_file_n_tensor(f) && json_is_integer(code) && i < N_ELEM(file_types); i++) {
        if (json_integer_value(code) == file_types[i].code) {
            return file_types[i].name;
        }
    }
    return main_type(f);
}

/* Values that take part in one token: of the experts, those that a token uses. */
static uint64_t n_active(const struct model_file *f, const struct model_params *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        const struct tensor_info *t = model_file_tensor(f, i);
        uint64_t n = str_eq(t->name, "rope_freqs.weight") ? 0 : n_value(t);
        bool chosen = t->n_dim == 3 && strstr(t->name, "_exps.") && p->experts.n_expert > 0;
        sum += chosen ? n / (uint64_t)p->experts.n_expert * (uint64_t)p->experts.n_used : n;
    }
    return sum;
}

static void set_if_null(json_t *out, const char *name, json_int_t value)
{
    if (json_is_null(json_object_get(out, name)) && value > 0) {
        json_object_set_new(out, name, json_integer(value));
    }
}

/* What files leave out when it follows from the rest. */
static void derived_fields(const struct model_file *f, json_t *out)
{
    struct vocab_source v;
    const struct tensor_info *embd = model_file_find(f, "token_embd.weight");
    json_int_t n_head = json_integer_value(json_object_get(out, "n_head"));
    json_int_t n_embd = json_integer_value(json_object_get(out, "n_embd"));
    set_if_null(out, "n_kv_head", n_head);
    set_if_null(out, "d_head", n_head > 0 ? n_embd / n_head : 0);
    set_if_null(out, "n_vocab", embd && embd->n_dim == 2 ? (json_int_t)embd->shape[0] : 0);
    set_if_null(out, "n_vocab", model_file_vocab(f, &v, NULL) == 0 ? (json_int_t)v.n_token : 0);
}

/* From the metadata as they stand, for architectures that have no forward pass here. */
static void declared_fields(const struct model_file *f, json_t *out)
{
    const json_t *meta = model_file_metadata(f);
    bool gguf = model_file_is_gguf(f);
    const char *arch = json_string_value(json_object_get(meta, gguf ? "general.architecture" : "model_type"));
    json_object_set_new(out, "architecture", arch ? json_string(arch) : json_null());
    for (size_t i = 0; i < N_ELEM(fields); i++) {
        char key[160];
        snprintf(key, sizeof key, "%s.%s", arch ? arch : "", fields[i].gguf);
        json_t *v = json_object_get(meta, gguf ? key : fields[i].config);
        json_object_set(out, fields[i].name, json_is_integer(v) ? v : json_null());
    }
    derived_fields(f, out);
}

static void known_fields(const struct model_params *p, json_t *out)
{
    const int value[] = {p->n_layer, p->n_embd, p->n_head,  p->n_kv_head,
                         p->d_head,  p->n_ff,   p->n_vocab, p->n_ctx_train};
    json_object_set_new(out, "architecture", json_string(p->architecture));
    for (size_t i = 0; i < N_ELEM(fields); i++) {
        json_object_set_new(out, fields[i].name, json_integer(value[i]));
    }
}

/* Blocks of one tensor that are not finite. */
struct bad_blocks {
    uint64_t n, first;
};

static int check_tensor(const struct model_file *f, const struct tensor_info *t, unsigned char *chunk,
                        size_t chunk_bytes, struct bad_blocks *bad, struct err *e)
{
    size_t block = tensor_type_info(t->type)->block_bytes;
    uint64_t step = chunk_bytes / block * block;
    *bad = (struct bad_blocks){0};
    for (uint64_t at = 0; at < t->n_bytes; at += step) {
        size_t n = (size_t)(t->n_bytes - at < step ? t->n_bytes - at : step);
        int rc = model_file_read(f, t, chunk, at, n, e);
        if (rc) {
            return rc;
        }
        uint64_t first = 0, n_bad = tensor_count_bad(t->type, chunk, n, &first);
        if (n_bad && !bad->n) {
            bad->first = at / block + first;
        }
        bad->n += n_bad;
        if (cli_interrupted()) {
            return err_set(e, ERR_INTERRUPTED, t->name, "interrupted while checking tensor \"%s\"", t->name);
        }
    }
    return 0;
}

/* {"n_tensors", "bad": [{"name", "n_bad", "first_block", "n_block"}]} of all tensor data; blocks of float types are
 * single values. */
static int check_data(const struct model_file *f, json_t **out, struct err *e)
{
    enum { CHUNK_BYTES = 4 << 20 };
    unsigned char *chunk = mem_alloc(CHUNK_BYTES);
    json_t *bad = json_array();
    int rc = 0;
    for (size_t i = 0; !rc && i < model_file_n_tensor(f); i++) {
        const struct tensor_info *t = model_file_tensor(f, i);
        struct bad_blocks b;
        rc = check_tensor(f, t, chunk, CHUNK_BYTES, &b, e);
        if (!rc && b.n) {
            json_int_t n_block = (json_int_t)(t->n_bytes / tensor_type_info(t->type)->block_bytes);
            json_array_append_new(bad, json_pack("{s:s, s:I, s:I, s:I}", "name", t->name, "n_bad", (json_int_t)b.n,
                                                 "first_block", (json_int_t)b.first, "n_block", n_block));
        }
    }
    mem_free(chunk);
    *out = json_pack("{s:I, s:o}", "n_tensors", (json_int_t)model_file_n_tensor(f), "bad", bad);
    return rc;
}

/* What in the header contradicts itself, as text; NULL: nothing. What is only unknown here is no problem, nor are
 * hyper-parameters of files that are no models (vocabularies, adapters). */
static json_t *header_problem(const struct model_file *f, int params_rc, const struct err *params_err)
{
    struct vocab_source v;
    struct err e = {0};
    if (params_rc == -ERR_INPUT && model_file_find(f, "token_embd.weight")) {
        return json_string(params_err->msg);
    }
    return model_file_vocab(f, &v, &e) == -ERR_INPUT ? json_string(e.msg) : NULL;
}

/* A name as the JSON result has it, or said in Chinese, and room up to its value. */
static void print_name(const struct cli *c, const char *name, const char *zh)
{
    const char *shown = cli_text(c, name, zh);
    printf("%s%*s ", shown, str_padding(shown, 14), "");
}

enum { PROBLEM_MAX_BYTES = 1 << 14 };

static void print_check(const struct cli *c, const json_t *check)
{
    const json_t *bad = json_object_get(check, "bad");
    const char *problem = json_string_value(json_object_get(check, "problem"));
    if (problem) {
        struct buf zh;
        buf_init(&zh, PROBLEM_MAX_BYTES);
        bool translated = c->lang == LANG_ZH && message_zh(problem, &zh);
        print_name(c, "problem", "问题");
        printf("%s\n", translated ? zh.data : problem);
        buf_deinit(&zh);
    }
    for (size_t i = 0; i < json_array_size(bad); i++) {
        const json_t *b = json_array_get(bad, i);
        print_name(c, "not finite", "非有限数值");
        printf(cli_text(c, "%s: %lld of %lld blocks, the first is number %lld\n",
                        "%s：%lld 个块（共 %lld 个），第一个是 %lld 号块\n"),
               json_string_value(json_object_get(b, "name")),
               (long long)json_integer_value(json_object_get(b, "n_bad")),
               (long long)json_integer_value(json_object_get(b, "n_block")),
               (long long)json_integer_value(json_object_get(b, "first_block")));
    }
    if (check && !problem && json_array_size(bad) == 0) {
        print_name(c, "check", "检查");
        puts(cli_text(c, "ok", "通过"));
    }
}

static void print_text(const struct cli *c, const struct model_file *f, const json_t *result)
{
    static const char *const first[][2] = {{"architecture", "架构"},          {"n_params", "参数量"},
                                           {"n_params_active", "激活参数量"}, {"n_expert", "专家数"},
                                           {"n_expert_used", "每词元专家数"}, {"file_type", "文件类型"}};
    char size[16];
    str_format_bytes(model_file_size(f), size, sizeof size);
    for (size_t i = 0; i < N_ELEM(first) + N_ELEM(fields); i++) {
        const char *name = i < N_ELEM(first) ? first[i][0] : fields[i - N_ELEM(first)].name;
        const json_t *v = json_object_get(result, name);
        if (!json_is_string(v) && !json_is_integer(v)) {
            continue;
        }
        print_name(c, name, i < N_ELEM(first) ? first[i][1] : fields[i - N_ELEM(first)].zh);
        if (json_is_string(v)) {
            printf("%s\n", json_string_value(v));
        } else {
            printf("%lld\n", (long long)json_integer_value(v));
        }
    }
    print_name(c, "size", "文件大小");
    printf("%s\n", size);
    print_name(c, "n_tensors", "张量数");
    printf("%zu\n", model_file_n_tensor(f));
    inspect_words_print(c, json_object_get(result, "tokenizer"), json_object_get(result, "chat"), print_name);
    print_check(c, json_object_get(result, "check"));
}

static int inspect(const struct cli *c, const struct model_file *f, bool check, struct err *e)
{
    struct model_params p;
    struct err params_err = {0};
    json_t *found = NULL;
    json_t *out = json_object();
    uint64_t sum = 0;
    int params_rc = model_file_params(f, &p, &params_err);
    int rc = check ? check_data(f, &found, e) : 0;
    if (rc) {
        json_decref(found);
        json_decref(out);
        return rc;
    }
    if (params_rc) {
        declared_fields(f, out);
    } else {
        known_fields(&p, out);
    }
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        const struct tensor_info *t = model_file_tensor(f, i);
        sum += str_eq(t->name, "rope_freqs.weight") ? 0 : n_value(t); /* a table, nothing that was learned */
    }
    json_t *problem = found ? header_problem(f, params_rc, &params_err) : NULL;
    bool bad = problem || json_array_size(json_object_get(found, "bad")) > 0;
    const char *type = file_type(f);
    json_object_set_new(out, "n_params", json_integer((json_int_t)sum));
    if (!params_rc && p.experts.n_expert > 0) {
        json_object_set_new(out, "n_params_active", json_integer((json_int_t)n_active(f, &p)));
        json_object_set_new(out, "n_expert", json_integer(p.experts.n_expert));
        json_object_set_new(out, "n_expert_used", json_integer(p.experts.n_used));
    }
    json_object_set_new(out, "file_type", type ? json_string(type) : json_null());
    json_object_set_new(out, "tokenizer", inspect_tokenizer(f));
    json_object_set_new(out, "chat", inspect_chat(f));
    json_object_set_new(out, "tensors", tensors_json(f));
    json_object_set_new(out, "metadata", json_deep_copy(model_file_metadata(f)));
    if (found) {
        json_object_set_new(found, "problem", problem ? problem : json_null());
        json_object_set_new(out, "check", found);
    }
    if (c->json) {
        cli_print_json(json_incref(out));
    } else {
        print_text(c, f, out);
    }
    json_decref(out);
    return bad ? EXIT_FAILED : EXIT_OK;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    char *path;
    struct model_file *f;
    int rc = cli_model_path(c, param_str(args, "model"), &path, e);
    if (rc) {
        return rc;
    }
    rc = model_file_open(&f, path, e);
    mem_free(path);
    if (rc) {
        return rc;
    }
    rc = inspect(c, f, param_bool(args, "check"), e);
    model_file_close(f);
    return rc;
}

const struct command cmd_inspect = {
    .name = "inspect",
    .summary_en = "show what a model file holds",
    .summary_zh = "显示模型文件的内容",
    .usage = "MODEL [--check]",
    .example = "tailor inspect model.gguf --check",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
