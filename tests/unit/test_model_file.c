/* Models as files: the same golden model seen as GGUF and as a Hugging Face directory agrees tensor by tensor;
 * vocabularies, hyper-parameters and the refusal of what is not supported; config.json and tokenizer.json in their
 * variants. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "compute/formats/formats_int.h"
#include "ground/base/file.h"
#include "ground/base/str.h"

#define GOLDEN "tests/data/golden/"

static struct model_file *open_model(const char *path)
{
    struct model_file *f;
    struct err e = {0};
    if (model_file_open(&f, path, &e)) {
        fail_msg("%s", e.msg);
    }
    return f;
}

static struct model_params params_of(const struct model_file *f)
{
    struct model_params p;
    struct err e = {0};
    if (model_file_params(f, &p, &e)) {
        fail_msg("%s", e.msg);
    }
    return p;
}

static void *read_tensor(const struct model_file *f, const struct tensor_info *t)
{
    struct err e = {0};
    void *p = mem_alloc(t->n_bytes);
    if (model_file_read(f, t, p, 0, t->n_bytes, &e)) {
        fail_msg("%s", e.msg);
    }
    return p;
}

/* Hugging Face row (halves) that GGUF row `row` (adjacent pairs) of a q or k projection holds. */
static uint64_t hf_row(uint64_t row, uint64_t d_head)
{
    uint64_t in_head = row % d_head;
    return row - in_head + (in_head % 2) * d_head / 2 + in_head / 2;
}

static void assert_same_tensor(const struct model_file *gguf, const struct model_file *hf, const struct tensor_info *t,
                               uint64_t d_head)
{
    const struct tensor_info *u = model_file_find(hf, t->name);
    bool permuted = strstr(t->name, "attn_q.") || strstr(t->name, "attn_k.");
    if (!u) {
        fail_msg("%s is not in the Hugging Face directory", t->name);
    }
    assert_int_equal(t->n_dim, u->n_dim);
    assert_memory_equal(t->shape, u->shape, (size_t)t->n_dim * sizeof t->shape[0]);
    assert_int_equal(t->n_bytes, u->n_bytes);
    char *a = read_tensor(gguf, t);
    char *b = read_tensor(hf, u);
    size_t row_bytes = t->n_bytes / t->shape[0];
    for (uint64_t r = 0; r < t->shape[0]; r++) {
        uint64_t from = permuted ? hf_row(r, d_head) : r;
        if (memcmp(a + r * row_bytes, b + from * row_bytes, row_bytes) != 0) {
            fail_msg("%s differs in row %llu", t->name, (unsigned long long)r);
        }
    }
    mem_free(a);
    mem_free(b);
}

static void assert_same_params(const struct model_params *a, const struct model_params *b)
{
    assert_string_equal(a->architecture, b->architecture);
    assert_int_equal(a->n_layer, b->n_layer);
    assert_int_equal(a->n_embd, b->n_embd);
    assert_int_equal(a->n_head, b->n_head);
    assert_int_equal(a->n_kv_head, b->n_kv_head);
    assert_int_equal(a->d_head, b->d_head);
    assert_int_equal(a->n_ff, b->n_ff);
    assert_int_equal(a->n_vocab, b->n_vocab);
    assert_int_equal(a->n_ctx_train, b->n_ctx_train);
    assert_int_equal(a->n_rot, b->n_rot);
    assert_int_equal(a->tied_head, b->tied_head);
    assert_int_equal(a->layer[0].window, b->layer[0].window);
    assert_int_equal(a->bos_id, b->bos_id);
    assert_int_equal(a->eos_id, b->eos_id);
    assert_true(a->rms_eps == b->rms_eps);
    assert_true(a->rope[0].theta == b->rope[0].theta);
    for (int i = 0; i < a->n_rot / 2; i++) {
        if (fabsf(a->rope[0].factor[i] - b->rope[0].factor[i]) > 1e-5f * a->rope[0].factor[i]) {
            fail_msg("rope_factor[%d]: %.9g and %.9g", i, (double)a->rope[0].factor[i], (double)b->rope[0].factor[i]);
        }
    }
}

static void compare_views(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, GOLDEN "gguf/%s.gguf", name);
    struct model_file *gguf = open_model(path);
    snprintf(path, sizeof path, GOLDEN "models/%s", name);
    struct model_file *hf = open_model(path);
    struct model_params a = params_of(gguf);
    struct model_params b = params_of(hf);
    assert_same_params(&a, &b);
    assert_false(a.rope_halves);
    assert_true(b.rope_halves);
    size_t n = 0;
    for (size_t i = 0; i < model_file_n_tensor(gguf); i++) {
        const struct tensor_info *t = model_file_tensor(gguf, i);
        if (!str_eq(t->name, "rope_freqs.weight")) { /* the directory has it as config */
            assert_same_tensor(gguf, hf, t, (uint64_t)a.d_head);
            n++;
        }
    }
    assert_int_equal(n, model_file_n_tensor(hf));
    model_file_close(gguf);
    model_file_close(hf);
}

static void test_views_agree(void **state)
{
    (void)state;
    compare_views("llama");
    compare_views("llama-mqa");
    compare_views("mistral");
}

static void test_llama_params(void **state)
{
    (void)state;
    struct model_file *f = open_model(GOLDEN "gguf/llama.gguf");
    struct model_params p = params_of(f);
    assert_true(model_file_is_gguf(f));
    assert_int_equal(model_file_size(f), 845824);
    assert_string_equal(p.architecture, "llama");
    assert_int_equal(p.n_layer, 4);
    assert_int_equal(p.n_vocab, 288);
    assert_int_equal(p.n_ff, 160);
    assert_false(p.tied_head);
    assert_int_equal(p.bos_id, 1);
    assert_true(p.rope[0].factor[0] == 1.0f);
    assert_true(p.rope[0].factor[7] == 8.0f);
    model_file_close(f);
    f = open_model(GOLDEN "gguf/llama-mqa.gguf");
    p = params_of(f);
    assert_true(p.tied_head);
    assert_int_equal(p.n_kv_head, 1);
    model_file_close(f);
}

static void test_vocab(void **state)
{
    (void)state;
    struct vocab_source v;
    struct err e = {0};
    struct model_file *f = open_model("tests/data/tokenizers/ggml-vocab-gpt-2.gguf");
    assert_int_equal(model_file_vocab(f, &v, &e), 0);
    assert_string_equal(v.model, "gpt2");
    assert_string_equal(v.pre, "gpt-2");
    assert_int_equal(v.n_token, 50257);
    assert_int_equal(v.n_merge, 50000);
    assert_string_equal(v.token[0], "!");
    assert_int_equal(v.token_len[50256], strlen("<|endoftext|>"));
    assert_int_equal(v.eos_id, 50256);
    assert_int_equal(v.pad_id, -1);
    assert_false(v.add_bos);
    struct model_params p;
    assert_int_equal(model_file_params(f, &p, &e), -ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "gpt2"));
    const json_t *summary = json_object_get(model_file_metadata(f), "tokenizer.ggml.tokens");
    assert_int_equal(json_integer_value(json_object_get(summary, "n")), 50257);
    model_file_close(f);
    f = open_model(GOLDEN "models/llama");
    assert_int_equal(model_file_vocab(f, &v, &e), 0);
    assert_null(v.model);
    model_file_close(f);
}

static void test_missing(void **state)
{
    (void)state;
    struct model_file *f;
    struct err e = {0};
    assert_int_equal(model_file_open(&f, "tests/data/no-such-file.gguf", &e), -ERR_NOT_FOUND);
    assert_null(f);
    assert_int_equal(model_file_open(&f, "tests/data/tokenizers", &e), -ERR_NOT_FOUND);
    assert_int_equal(model_file_open(&f, "tests/data/README.md", &e), -ERR_INPUT);
    model_file_close(NULL);
}

/* Every GGUF can be opened, whatever its architecture; those without a forward pass are refused by name. */
static void test_qwen2(void **state)
{
    (void)state;
    if (!file_is_dir("../shared/data/golden/gguf")) {
        print_message("skipped: ../shared/data/golden/gguf is not there\n");
        skip();
    }
    struct model_file *gguf = open_model("../shared/data/golden/gguf/qwen2.gguf");
    struct model_file *hf = open_model("../shared/data/golden/models/qwen2");
    struct model_params a = params_of(gguf);
    struct model_params b = params_of(hf);
    assert_same_params(&a, &b);
    assert_true(a.rope_halves);
    for (size_t i = 0; i < model_file_n_tensor(gguf); i++) {
        const struct tensor_info *t = model_file_tensor(gguf, i);
        const struct tensor_info *u = model_file_find(hf, t->name);
        assert_non_null(u);
        void *x = read_tensor(gguf, t);
        void *y = read_tensor(hf, u);
        assert_memory_equal(x, y, t->n_bytes); /* qwen2 is not permuted */
        mem_free(x);
        mem_free(y);
    }
    model_file_close(gguf);
    model_file_close(hf);
}

/* One config.json text through hf_config_params. */
static int config_params(const char *text, struct model_params *p, struct err *e)
{
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    memset(p, 0, sizeof *p);
    int rc = hf_config_params(j, "config.json", p, e);
    rc = rc ? rc : params_check(p, "config.json", e);
    json_decref(j);
    return rc;
}

#define SIZES \
    "\"num_hidden_layers\":2,\"hidden_size\":64,\"intermediate_size\":96,\"vocab_size\":100,\"num_attention_heads\":4"

static void test_config_variants(void **state)
{
    (void)state;
    struct model_params p;
    struct err e = {0};
    assert_int_equal(config_params("{\"model_type\":\"llama\"," SIZES "}", &p, &e), 0);
    assert_int_equal(p.d_head, 16);
    assert_int_equal(p.n_kv_head, 4);
    assert_int_equal(p.n_ctx_train, 2048);
    assert_int_equal(p.bos_id, -1);
    assert_true(p.rope[0].theta == 10000);
    assert_int_equal(
        config_params("{\"model_type\":\"llama\",\"rope_theta\":500000.0,\"eos_token_id\":[7,8],\"rope_scaling\":"
                      "{\"type\":\"linear\",\"factor\":4}," SIZES "}",
                      &p, &e),
        0);
    assert_true(p.rope[0].factor[0] == 4.0f && p.rope[0].factor[7] == 4.0f);
    assert_int_equal(p.eos_id, 7);
    assert_int_equal(
        config_params("{\"model_type\":\"llama\",\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":\"llama3\","
                      "\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"
                      "\"original_max_position_embeddings\":32}," SIZES "}",
                      &p, &e),
        0);
    assert_true(p.rope[0].factor[0] == 1.0f && p.rope[0].factor[7] == 8.0f);
    assert_int_equal(config_params("{\"model_type\":\"mistral\",\"sliding_window\":null," SIZES "}", &p, &e), 0);
    assert_int_equal(p.layer[0].window, 0);
    assert_int_equal(
        config_params("{\"model_type\":\"mistral\",\"sliding_window\":8,\"head_dim\":32," SIZES "}", &p, &e), 0);
    assert_int_equal(p.layer[0].window, 8);
    assert_int_equal(p.d_head, 32);
    assert_string_equal(p.architecture, "llama");
}

static void test_config_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
    } bad[] = {
        {"{\"model_type\":\"mamba\"," SIZES "}", -ERR_UNSUPPORTED},
        {"{" SIZES "}", -ERR_UNSUPPORTED},
        {"{\"model_type\":\"llama\"}", -ERR_INPUT},
        {"{\"model_type\":\"llama\",\"hidden_act\":\"gelu\"," SIZES "}", -ERR_UNSUPPORTED},
        {"{\"model_type\":\"llama\",\"quantization_config\":{}," SIZES "}", -ERR_UNSUPPORTED},
        {"{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":4}," SIZES "}", -ERR_UNSUPPORTED},
        {"{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"linear\"}," SIZES "}", -ERR_INPUT},
        {"{\"model_type\":\"llama\",\"head_dim\":5000," SIZES "}", -ERR_INPUT},
        {"{\"model_type\":\"llama\",\"head_dim\":-1," SIZES "}", -ERR_INPUT},
        {"{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"linear\",\"factor\":1e-300}," SIZES "}", -ERR_INPUT},
        {"{\"model_type\":\"llama\",\"rms_norm_eps\":\"x\"," SIZES "}", -ERR_INPUT},
        {"{\"model_type\":\"gemma2\",\"hidden_activation\":\"silu\"," SIZES "}", -ERR_UNSUPPORTED},
        {"{\"model_type\":\"gemma3_text\",\"use_bidirectional_attention\":true," SIZES "}", -ERR_UNSUPPORTED},
        {"{\"model_type\":\"gemma2\",\"layer_types\":[\"full_attention\"]," SIZES "}", -ERR_INPUT},
        {"{\"model_type\":\"smollm3\",\"no_rope_layers\":[1]," SIZES "}", -ERR_INPUT},
        {"{\"model_type\":\"phi3\",\"original_max_position_embeddings\":32,\"rope_scaling\":{\"type\":\"longrope\","
         "\"short_factor\":[1],\"long_factor\":[1]}," SIZES "}",
         -ERR_INPUT},
        {"{\"model_type\":\"granite\",\"logits_scaling\":0," SIZES "}", -ERR_INPUT},
        {"{\"model_type\":\"llama\",\"layer_types\":[\"full_attention\",\"sliding_attention\"]," SIZES "}",
         -ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < N_ELEM(bad); i++) {
        struct model_params p;
        struct err e = {0};
        int rc = config_params(bad[i].text, &p, &e);
        if (rc != bad[i].rc) {
            fail_msg("%s: %d, %s", bad[i].text, rc, e.msg);
        }
    }
}

/* Options of other families, and values of a kind that would be taken for an absent member: refused, and by name. */
static void test_config_options(void **state)
{
    (void)state;
    static const struct {
        const char *type, *member, *word; /* NULL: it is taken */
    } option[] = {
        {"llama", "\"rope_scaling\":\"yarn\"", "rope_scaling"},
        {"llama",
         "\"rope_parameters\":{\"rope_type\":\"default\"},\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4}",
         "rope_scaling"},
        {"llama",
         "\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":4.0},\"rope_scaling\":{\"type\":\"linear\","
         "\"factor\":8}",
         "rope_scaling"},
        {"llama", "\"rope_scaling\":{\"type\":7,\"factor\":4}", "rope_type"},
        {"llama", "\"rope_scaling\":{\"rope_type\":\"ntk\",\"factor\":4}", "rope_type"},
        {"qwen2", "\"rope_scaling\":{\"type\":\"mrope\",\"mrope_section\":[1,1]}", "rope_type"},
        {"qwen3", "\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,\"truncate\":1}", "truncate"},
        {"qwen3", "\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1e6}}", "rope_parameters"},
        {"llama", "\"rope_parameters\":[1]", "rope_parameters"},
        {"llama", "\"hidden_act\":1", "hidden_act"},
        {"llama", "\"layer_types\":\"full_attention\"", "layer_types"},
        {"llama", "\"clip_qkv\":8", "clip_qkv"},
        {"llama", "\"clip_qkv\":null,\"alibi\":false", NULL},
        {"llama", "\"attn_logit_softcapping\":50", "attn_logit_softcapping"},
        {"qwen3", "\"final_logit_softcapping\":30.0", "final_logit_softcapping"},
        {"olmo2", "\"clip_qkv\":8", "clip_qkv"},
        {"olmo2", "\"residual_multiplier\":0.22", "residual_multiplier"},
        {"olmo2", "\"residual_multiplier\":1.0", NULL},
        {"smollm3", "\"no_rope_layers\":{}", "no_rope_layers"},
        {"smollm3", "\"no_rope_layer_interval\":0", "no_rope_layer_interval"},
        {"smollm3", "\"use_sliding_window\":\"yes\"", "use_sliding_window"},
        {"qwen2", "\"use_sliding_window\":1", "use_sliding_window"},
        {"qwen2", "\"use_mrope\":true", "use_mrope"},
        {"qwen2", "\"use_sliding_window\":true,\"layer_types\":[\"linear_attention\",\"full_attention\"]",
         "layer_types"},
        {"granite", "\"position_embedding_type\":\"nope\"", "position_embedding_type"},
        {"granite", "\"position_embedding_type\":\"rope\"", NULL},
        {"granite", "\"embedding_multiplier\":\"12\"", "embedding_multiplier"},
        {"gemma2", "\"attn_logit_softcapping\":-1", "attn_logit_softcapping"},
        {"gemma3_text", "\"sliding_window_pattern\":0", "sliding_window_pattern"},
        {"gemma3_text", "\"use_bidirectional_attention\":\"all\"", "use_bidirectional_attention"},
        {"gemma3_text", "\"layer_types\":[\"full_attention\",\"chunked_attention\"]", "chunked_attention"},
        {"phi3", "\"rope_scaling\":{\"type\":\"longrope\",\"short_mscale\":1}", "original_max_position_embeddings"},
        {"phi3", "\"partial_rotary_factor\":2", "partial_rotary_factor"},
        {"phi3", "\"hidden_act\":\"gelu_new\"", "hidden_act"},
        {"mistral", "\"sliding_window\":-4", "sliding_window"},
        {"mistral", "\"sliding_window\":\"4096\"", "sliding_window"},
        {"mistral", "\"layer_types\":[\"full_attention\",\"sliding_attention\"]", "layer_types"},
    };
    for (size_t i = 0; i < N_ELEM(option); i++) {
        char text[512];
        struct model_params p;
        struct err e = {0};
        snprintf(text, sizeof text, "{\"model_type\":\"%s\",%s," SIZES "}", option[i].type, option[i].member);
        int rc = config_params(text, &p, &e);
        if (!rc != !option[i].word || (rc && !strstr(e.msg, option[i].word))) {
            fail_msg("%s: %d, %s", text, rc, e.msg);
        }
    }
}

static void write_text(const char *dir, const char *name, const char *text)
{
    struct err e = {0};
    char *path = path_join(dir, name);
    if (file_write_atomic(path, text, strlen(text), &e)) {
        fail_msg("%s", e.msg);
    }
    mem_free(path);
}

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"
#define VOCAB_MODEL                                                                                                  \
    "\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"abb\":4},\"merges\":[" \
    "\"a b\",[\"ab\",\"b\"]]}"
#define ADDED                                                                                                      \
    "\"added_tokens\":[{\"id\":5,\"content\":\"<s>\",\"special\":true},{\"id\":6,\"content\":\"<u>\",\"special\":" \
    "false}]"

static void test_tokenizer_json(void **state)
{
    (void)state;
    char dir[] = "/tmp/tailor-test-XXXXXX";
    struct vocab_source v;
    struct err e = {0};
    struct model_params p;
    assert_non_null(mkdtemp(dir));
    write_text(
        dir, "tokenizer.json",
        "{" ADDED ",\"pre_tokenizer\":" BYTE_LEVEL ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":"
        "[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]}," VOCAB_MODEL
        "}");
    write_text(dir, "tokenizer_config.json",
               "{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"<u>\"},\"chat_template\":\"old\",\"model_max_"
               "length\":1000000000000000019884624838656}");
    struct model_file *f = open_model(dir);
    assert_int_equal(model_file_vocab(f, &v, &e), 0);
    assert_string_equal(v.model, "gpt2");
    assert_string_equal(v.pre, "gpt-2");
    assert_int_equal(v.n_token, 7);
    assert_string_equal(v.token[3], "[PAD3]");
    assert_int_equal(v.type[3], 5);
    assert_int_equal(v.type[5], 3);
    assert_int_equal(v.type[6], 4);
    assert_int_equal(v.n_merge, 2);
    assert_string_equal(v.merge[1], "ab b");
    assert_int_equal(v.bos_id, 5);
    assert_int_equal(v.eos_id, 6);
    assert_true(v.add_bos && !v.add_eos && v.ignore_merges);
    assert_string_equal(v.chat_template, "old");
    assert_int_equal(model_file_params(f, &p, &e), -ERR_INPUT);
    model_file_close(f);
    write_text(dir, "chat_template.jinja", "new");
    f = open_model(dir);
    assert_int_equal(model_file_vocab(f, &v, &e), 0);
    assert_string_equal(v.chat_template, "new");
    model_file_close(f);
    char *path = path_join(dir, "tokenizer.json");
    f = open_model(path);
    assert_int_equal(model_file_vocab(f, &v, &e), 0);
    assert_int_equal(v.n_token, 7);
    model_file_close(f);
    mem_free(path);
    assert_int_equal(file_remove_tree(dir, &e), 0);
}

static void test_pre_tokenizer_names(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name; /* name:normalization */
    } row[] = {
        {"{\"pre_tokenizer\":" BYTE_LEVEL "}", "gpt-2"},
        {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}"
         "," BYTE_LEVEL "]}}",
         "smollm"},
        {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":"
         "false}," BYTE_LEVEL "]}}",
         NULL},
        {"{\"normalizer\":{\"type\":\"Lowercase\"},\"pre_tokenizer\":" BYTE_LEVEL "}", "gpt-2:lower"},
        {"{\"normalizer\":{\"type\":\"NFKC\"},\"pre_tokenizer\":" BYTE_LEVEL "}", NULL},
        {"{\"normalizer\":{\"type\":\"StripAccents\"},\"pre_tokenizer\":" BYTE_LEVEL "}", NULL},
        {"{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFD\"},{\"type\":\"StripAccents\"},{"
         "\"type\":\"Lowercase\"}]},\"pre_tokenizer\":" BYTE_LEVEL "}",
         "gpt-2:nfd,accents,lower"},
        {"{\"pre_tokenizer\":{\"type\":\"Whitespace\"}}", NULL},
        {"{}", NULL},
        {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?"
         "i:'s|'t|'re|'ve|'m|'ll|"
         "'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
         "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!"
         "\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":"
         "false,\"use_regex\":"
         "false}]}}",
         "llama-bpe"},
    };
    for (size_t i = 0; i < N_ELEM(row); i++) {
        struct vocab_source v = {.model = "gpt2"};
        json_t *j = json_loads(row[i].text, 0, NULL);
        assert_non_null(j);
        hf_read_preparation(j, &v);
        char steps[96], got[160];
        unsigned back;
        vocab_normalize_format(v.normalize, steps);
        assert_true(vocab_normalize_parse(steps, &back) && back == v.normalize);
        snprintf(got, sizeof got, "%s%s%s", v.pre ? v.pre : "", *steps ? ":" : "", steps);
        const char *name = v.unsupported ? NULL : got;
        if (!str_eq(name, row[i].name)) {
            fail_msg("%s: %s", row[i].text, name ? name : "NULL");
        }
        json_decref(j);
    }
}

static void copy_file(const char *from, const char *dir, const char *name)
{
    char *data;
    size_t n;
    struct err e = {0};
    char *to = path_join(dir, name);
    assert_int_equal(file_read_all(from, 1 << 24, &data, &n, &e), 0);
    assert_int_equal(file_write_atomic(to, data, n, &e), 0);
    mem_free(data);
    mem_free(to);
}

static void test_directory_without_a_model(void **state)
{
    (void)state;
    static const struct {
        const char *config, *missing;
    } bad[] = {{"{}", "\"model_type\""},
               {"{\"model_type\":7}", "\"model_type\""},
               {"{\"model_type\":\"llama\"}", "no tensors, model.safetensors"}};
    char dir[] = "/tmp/tailor-test-XXXXXX";
    struct err e = {0};
    struct model_file *f;
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < N_ELEM(bad); i++) {
        write_text(dir, "config.json", bad[i].config);
        assert_int_equal(model_file_open(&f, dir, &e), -ERR_INPUT);
        if (!strstr(e.msg, bad[i].missing)) {
            fail_msg("%s: without %s: %s", bad[i].config, bad[i].missing, e.msg);
        }
    }
    write_text(dir, "tokenizer.json", "{" VOCAB_MODEL "}"); /* a vocabulary alone is something */
    write_text(dir, "config.json", "{}");
    model_file_close(open_model(dir));
    copy_file(GOLDEN "models/llama/model.safetensors", dir, "model.safetensors"); /* weights without sizes are not */
    assert_int_equal(model_file_open(&f, dir, &e), -ERR_INPUT);
    assert_int_equal(file_remove_tree(dir, &e), 0);
}

static void test_index(void **state)
{
    (void)state;
    char dir[] = "/tmp/tailor-test-XXXXXX";
    struct err e = {0};
    struct model_file *f;
    assert_non_null(mkdtemp(dir));
    copy_file(GOLDEN "models/llama/config.json", dir, "config.json");
    copy_file(GOLDEN "models/llama/model.safetensors", dir, "a.safetensors");
    copy_file(GOLDEN "models/llama/golden.safetensors", dir, "b.safetensors");
    write_text(dir, "model.safetensors.index.json",
               "{\"metadata\":{},\"weight_map\":{\"lm_head.weight\":\"a.safetensors\",\"logits\":\"b.safetensors\"}}");
    f = open_model(dir);
    assert_int_equal(model_file_n_tensor(f), 39 + 3);
    assert_non_null(model_file_find(f, "logits"));
    assert_non_null(model_file_find(f, "output.weight"));
    struct model_params p; /* a tensor that the forward pass would leave out is not passed over */
    assert_int_equal(model_file_params(f, &p, &e), -ERR_UNSUPPORTED);
    model_file_close(f);
    static const char *const bad[] = {
        "{}",
        "{\"weight_map\":{}}",
        "{\"weight_map\":{\"x\":\"a.safetensors\"}}",
        "{\"weight_map\":{\"logits\":\"../b.safetensors\"}}",
        "{\"weight_map\":{\"logits\":7}}",
        "{\"weight_map\":{\"logits\":\"none.safetensors\"}}",
        "[]",
        "{",
        "{\"weight_map\":{\"lm_head.weight\":\"a.safetensors\",\"lm_head.weight\":\"a.safetensors\"}}"};
    for (size_t i = 0; i < N_ELEM(bad); i++) {
        write_text(dir, "model.safetensors.index.json", bad[i]);
        if (model_file_open(&f, dir, &e) == 0) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
    assert_int_equal(file_remove_tree(dir, &e), 0);
}

/* The Nth allocation fails, for every N: one error, and a model that opens is whole. */
static void test_out_of_memory(void **state)
{
    (void)state;
    int n_failed = 0;
    for (int64_t nth = 1; nth < 300; nth++) {
        struct model_file *f;
        struct err e = {0};
        mem_fault_after(nth);
        int rc = model_file_open(&f, GOLDEN "models/llama", &e);
        mem_fault_after(0);
        if (rc == 0) {
            params_of(f);
            model_file_close(f);
        } else if (rc != -ERR_NOMEM || e.msg[0] == '\0') {
            fail_msg("allocation %d: %d, %s", (int)nth, rc, e.msg);
        }
        n_failed += rc != 0;
    }
    assert_true(n_failed > 3);
}

/* A file of many tiny values is refused before the parser pays for them. */
static void test_dense_json(void **state)
{
    (void)state;
    size_t n = 3 << 20;
    char *text = mem_alloc(n + 1);
    json_t *j;
    struct err e = {0};
    memset(text, ',', n);
    memcpy(text, "{\"a\":[1", 7);
    for (size_t i = 8; i < n; i += 2) {
        text[i] = '1';
    }
    assert_int_equal(json_parse_object(&j, "dense", text, n, 0, &e), -ERR_LIMIT);
    memset(text, '[', 200);
    assert_int_equal(json_parse_object(&j, "deep", text, 200, 0, &e), -ERR_INPUT);
    mem_free(text);
}

static void test_count_bad(void **state)
{
    (void)state;
    float f[4] = {0, INFINITY, NAN, 1};
    unsigned char q4[36] = {0};
    unsigned char q6[210] = {0};
    assert_int_equal(tensor_count_bad(TENSOR_F32, f, sizeof f, NULL), 2);
    assert_int_equal(tensor_count_bad(TENSOR_Q4_0, q4, sizeof q4, NULL), 0);
    q4[18 + 1] = 0x7c; /* infinity */
    assert_int_equal(tensor_count_bad(TENSOR_Q4_0, q4, sizeof q4, NULL), 1);
    q6[209] = 0xfe; /* NaN */
    assert_int_equal(tensor_count_bad(TENSOR_Q6_K, q6, sizeof q6, NULL), 1);
}

/* Every type that has scales: where they are in a block, and how many bytes; blocks are numbered. */
static void test_bad_scale_of_every_type(void **state)
{
    (void)state;
    static const struct {
        enum tensor_type type;
        int at[2];
    } c[] = {{TENSOR_Q4_0, {0, 0}},   {TENSOR_Q4_1, {0, 2}},    {TENSOR_Q5_0, {0, 0}},     {TENSOR_Q5_1, {0, 2}},
             {TENSOR_Q8_0, {0, 0}},   {TENSOR_Q8_1, {0, 2}},    {TENSOR_Q2_K, {80, 82}},   {TENSOR_Q3_K, {108, 108}},
             {TENSOR_Q4_K, {0, 2}},   {TENSOR_Q5_K, {0, 2}},    {TENSOR_Q6_K, {208, 208}}, {TENSOR_IQ4_NL, {0, 0}},
             {TENSOR_IQ4_XS, {0, 0}}, {TENSOR_IQ2_XXS, {0, 0}}, {TENSOR_IQ2_XS, {0, 0}},   {TENSOR_IQ2_S, {0, 0}},
             {TENSOR_IQ1_S, {0, 0}},  {TENSOR_IQ3_XXS, {0, 0}}, {TENSOR_IQ3_S, {0, 0}},    {TENSOR_TQ1_0, {52, 52}},
             {TENSOR_TQ2_0, {64, 64}}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        const struct tensor_type_info *info = tensor_type_info(c[i].type);
        unsigned char block[5][300] = {{0}};
        size_t n = info->block_bytes;
        uint64_t first = 77;
        unsigned char *data = block[0];
        assert_true(n <= sizeof block[0]);
        for (size_t b = 0; b < 5 * n; b++) data[b] = 0x3b; /* codes of any kind, scales of about 1 */
        assert_int_equal(tensor_count_bad(c[i].type, data, 5 * n, &first), 0);
        assert_int_equal(first, 77);
        for (int s = 0; s < 2; s++) {
            data[3 * n + (size_t)c[i].at[s] + 1] = s ? 0xfd : 0x7c; /* NaN, infinity */
            data[4 * n + (size_t)c[i].at[s] + 1] = 0x7c;
            if (tensor_count_bad(c[i].type, data, 5 * n, &first) != 2 || first != 3)
                fail_msg("%s: scale %d is not found", info->name, s);
            data[3 * n + (size_t)c[i].at[s] + 1] = data[4 * n + (size_t)c[i].at[s] + 1] = 0x7b;
            assert_int_equal(tensor_count_bad(c[i].type, data, 5 * n, NULL), 0);
        }
    }
    unsigned char iq1_m[56] = {0}, mxfp4[17] = {0xfe}, e4m3[2] = {0x7e, 0xff}, e5m2[2] = {0x7b, 0xfc};
    iq1_m[55] = 0x70;
    assert_int_equal(tensor_count_bad(TENSOR_IQ1_M, iq1_m, sizeof iq1_m, NULL), 0);
    iq1_m[53] = 0xc0;
    assert_int_equal(tensor_count_bad(TENSOR_IQ1_M, iq1_m, sizeof iq1_m, NULL), 1);
    assert_int_equal(tensor_count_bad(TENSOR_MXFP4, mxfp4, sizeof mxfp4, NULL), 0);
    mxfp4[0] = 0xff;
    assert_int_equal(tensor_count_bad(TENSOR_MXFP4, mxfp4, sizeof mxfp4, NULL), 1);
    assert_int_equal(tensor_count_bad(TENSOR_F8_E4M3, e4m3, sizeof e4m3, NULL), 1);
    assert_int_equal(tensor_count_bad(TENSOR_F8_E5M2, e5m2, sizeof e5m2, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_agree),
        cmocka_unit_test(test_llama_params),
        cmocka_unit_test(test_vocab),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_config_variants),
        cmocka_unit_test(test_config_refused),
        cmocka_unit_test(test_config_options),
        cmocka_unit_test(test_tokenizer_json),
        cmocka_unit_test(test_pre_tokenizer_names),
        cmocka_unit_test(test_directory_without_a_model),
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_count_bad),
        cmocka_unit_test(test_bad_scale_of_every_type),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_dense_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
