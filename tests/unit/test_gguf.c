/* The GGUF container: what the writer writes the reader reads; broken files of every kind end in one error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LLVMFuzzerTestOneInput fuzz_gguf
#include "../fuzz/fuzz_gguf.c"
#include "compute/formats/formats_int.h"
#include "ground/base/file.h"
#include "ground/base/str.h"

static char dir[] = "/tmp/tailor-test-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return file_remove_tree(dir, NULL);
}

static struct gguf_writer *new_writer(const char *name, char **path)
{
    struct gguf_writer *w;
    *path = path_join(dir, name);
    assert_int_equal(gguf_writer_new(&w, *path, NULL), 0);
    return w;
}

static void finish(struct gguf_writer *w, const void *data, size_t n)
{
    struct err e = {0};
    int rc = gguf_writer_begin(w, &e);
    rc = rc ? rc : gguf_write_data(w, data, n, &e);
    rc = rc ? rc : gguf_writer_commit(w, &e);
    if (rc) {
        fail_msg("%s", e.msg);
    }
    gguf_writer_free(w);
}

static void put_vocab(struct gguf_writer *w, uint32_t bos, size_t n_type)
{
    static const char *const token[] = {"<s>", "a", "b\0c", "ab"};
    static const uint32_t len[] = {3, 1, 3, 2};
    static const int32_t type[] = {3, 1, 1, 1};
    static const char *const merge[] = {"a b"};
    assert_int_equal(gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4), 0);
    assert_int_equal(gguf_put_array(w, "tokenizer.ggml.tokens", GGUF_STRING, token, len, 4), 0);
    assert_int_equal(gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, type, NULL, n_type), 0);
    assert_int_equal(gguf_put_array(w, "tokenizer.ggml.merges", GGUF_STRING, merge, NULL, 1), 0);
    assert_int_equal(gguf_put_u32(w, "tokenizer.ggml.bos_token_id", bos), 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    char *path;
    struct gguf_writer *w = new_writer("round.gguf", &path);
    unsigned char data[12 + 36 + 24];
    const uint64_t shape_a[] = {3};
    const uint64_t shape_b[] = {2, 32};
    const uint64_t shape_c[] = {1, 2, 3};
    const float f[] = {1, 2.5f, -3};
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (unsigned char)(i + 1);
    }
    assert_int_equal(gguf_put_str(w, "general.architecture", "test", 4), 0);
    assert_int_equal(gguf_put_u32(w, "u", 4000000000u), 0);
    assert_int_equal(gguf_put_f32(w, "f", 0.25f), 0);
    assert_int_equal(gguf_put_bool(w, "b", true), 0);
    assert_int_equal(gguf_put_array(w, "fs", GGUF_F32, f, NULL, 3), 0);
    assert_int_equal(gguf_put_array(w, "none", GGUF_U8, NULL, NULL, 0), 0);
    put_vocab(w, 0, 4);
    assert_int_equal(gguf_put_tensor(w, "a", TENSOR_F32, shape_a, 1), 0);
    assert_int_equal(gguf_put_tensor(w, "b", TENSOR_Q4_0, shape_b, 2), 0);
    assert_int_equal(gguf_put_tensor(w, "c", TENSOR_F32, shape_c, 3), 0);
    finish(w, data, sizeof data);

    struct model_file *m;
    struct vocab_source v;
    struct err e = {0};
    assert_int_equal(model_file_open(&m, path, &e), 0);
    const json_t *j = model_file_metadata(m);
    assert_int_equal(json_integer_value(json_object_get(j, "u")), 4000000000u);
    assert_true(json_real_value(json_object_get(j, "f")) == 0.25);
    assert_true(json_is_true(json_object_get(j, "b")));
    assert_true(json_real_value(json_array_get(json_object_get(j, "fs"), 1)) == 2.5);
    assert_int_equal(json_array_size(json_object_get(j, "none")), 0);
    assert_int_equal(model_file_vocab(m, &v, &e), 0);
    assert_int_equal(v.token_len[2], 3);
    assert_memory_equal(v.token[2], "b\0c", 4);
    assert_int_equal(v.type[0], 3);
    const size_t n[] = {12, 36, 24};
    size_t at = 0;
    assert_int_equal(model_file_n_tensor(m), 3);
    for (size_t i = 0; i < 3; i++) {
        unsigned char back[64];
        const struct tensor_info *t = model_file_tensor(m, i);
        assert_int_equal(t->n_bytes, n[i]);
        assert_int_equal(model_file_read(m, t, back, 0, n[i], &e), 0);
        assert_memory_equal(back, data + at, n[i]);
        at += n[i];
    }
    assert_int_equal(model_file_find(m, "b")->shape[0], 2);
    assert_int_equal(model_file_find(m, "b")->shape[1], 32);
    assert_int_equal(model_file_find(m, "c")->shape[2], 3);
    model_file_close(m);
    mem_free(path);
}

static void expect_writer_error(const char *what, int rc, const struct err *e)
{
    if (rc == 0 || e->msg[0] == '\0') {
        fail_msg("%s was accepted", what);
    }
}

static void test_writer_refuses(void **state)
{
    (void)state;
    char *path;
    const uint64_t shape[] = {31};
    struct err e = {0};
    struct gguf_writer *w = new_writer("refused.gguf", &path);
    assert_int_equal(gguf_put_u32(w, "k", 1), 0);
    assert_int_equal(gguf_put_u32(w, "k", 2), 0);
    expect_writer_error("a key twice", gguf_writer_begin(w, &e), &e);
    gguf_writer_free(w);
    mem_free(path);
    w = new_writer("refused.gguf", &path);
    assert_int_equal(gguf_put_tensor(w, "t", TENSOR_F32, shape, 1), 0);
    assert_int_equal(gguf_put_tensor(w, "t", TENSOR_F32, shape, 1), 0);
    expect_writer_error("a tensor twice", gguf_writer_begin(w, &e), &e);
    gguf_writer_free(w);
    mem_free(path);
    w = new_writer("refused.gguf", &path);
    assert_true(gguf_put_tensor(w, "t", TENSOR_Q4_0, shape, 1) < 0);
    expect_writer_error("a broken block", gguf_writer_begin(w, &e), &e);
    gguf_writer_free(w);
    mem_free(path);
    w = new_writer("refused.gguf", &path);
    assert_int_equal(gguf_put_tensor(w, "t", TENSOR_F32, shape, 1), 0);
    assert_int_equal(gguf_writer_begin(w, &e), 0);
    assert_int_equal(gguf_write_data(w, shape, 8, &e), 0);
    expect_writer_error("commit before the end", gguf_writer_commit(w, &e), &e);
    gguf_writer_free(w);
    char **names;
    size_t n;
    assert_int_equal(file_list_dir(dir, &names, &n, &e), 0); /* neither the file nor a temporary one */
    for (size_t i = 0; i < n; i++) {
        if (str_starts(names[i], "refused") || str_starts(names[i], ".")) {
            fail_msg("left behind: %s", names[i]);
        }
        mem_free(names[i]);
    }
    mem_free(names);
    mem_free(path);
}

static char *read_corpus(const char *name, size_t *n)
{
    char path[128];
    char *data;
    struct err e = {0};
    snprintf(path, sizeof path, "tests/fuzz/corpus/gguf/%s", name);
    if (file_read_all(path, 1 << 20, &data, n, &e)) {
        fail_msg("%s", e.msg);
    }
    return data;
}

static bool opens(const void *data, size_t n)
{
    struct input_file f;
    input_file_init(&f, data, n);
    bool ok = use_model(f.path);
    input_file_deinit(&f);
    return ok;
}

static void test_truncation(void **state)
{
    (void)state;
    static const char *const name[] = {"llama", "vocab", "types"};
    for (size_t i = 0; i < N_ELEM(name); i++) {
        size_t n;
        char *data = read_corpus(name[i], &n);
        assert_true(opens(data, n));
        size_t whole = n; /* bytes behind the last tensor or key are padding */
        while (whole > 0 && data[whole - 1] == 0) {
            whole--;
        }
        for (size_t cut = 0; cut < whole; cut++) {
            if (opens(data, cut)) {
                fail_msg("%s cut to %zu of %zu bytes was accepted", name[i], cut, n);
            }
        }
        mem_free(data);
    }
}

/* Every field stands at some byte and is 1, 2, 4 or 8 bytes long: all of them to 0, 1 and all ones. */
static void set_every_field(const char *name)
{
    static const size_t width[] = {1, 2, 4, 8};
    size_t n;
    char *data = read_corpus(name, &n);
    char *copy = mem_alloc(n);
    for (size_t at = 0; at < n; at++) {
        for (size_t k = 0; k < N_ELEM(width) && at + width[k] <= n; k++) {
            for (int value = 0; value < 3; value++) {
                memcpy(copy, data, n);
                memset(copy + at, value == 2 ? 0xff : 0, width[k]);
                copy[at] = (char)(value == 1 ? 1 : copy[at]);
                opens(copy, n); /* whether it opens depends on the field; that it ends well is what counts */
            }
        }
    }
    mem_free(copy);
    mem_free(data);
}

static void test_extreme_fields(void **state)
{
    (void)state;
    set_every_field("vocab");
    set_every_field("types");
}

/* A file with one array of tokens that contradicts the rest opens, but gives no vocabulary. */
static void test_broken_vocab(void **state)
{
    (void)state;
    static const struct {
        uint32_t bos;
        size_t n_type;
        bool ok;
    } row[] = {{0, 4, true}, {3, 4, true}, {4, 4, false}, {0, 3, false}, {0x7fffffff, 4, false}, {0xffffffff, 4, true}};
    for (size_t i = 0; i < N_ELEM(row); i++) {
        char *path;
        struct model_file *m;
        struct vocab_source v;
        struct err e = {0};
        struct gguf_writer *w = new_writer("vocab.gguf", &path);
        put_vocab(w, row[i].bos, row[i].n_type);
        finish(w, NULL, 0);
        assert_int_equal(model_file_open(&m, path, &e), 0);
        if ((model_file_vocab(m, &v, &e) == 0) != row[i].ok) {
            fail_msg("row %zu: %s", i, e.msg);
        }
        model_file_close(m);
        mem_free(path);
    }
}

/* A header by hand, for what the writer refuses to write. */
struct header {
    unsigned char data[1024];
    size_t n;
};

static void put_bytes(struct header *h, const void *p, size_t n)
{
    assert_true(h->n + n <= sizeof h->data);
    memcpy(h->data + h->n, p, n);
    h->n += n;
}

static void put_u32(struct header *h, uint32_t v)
{
    put_bytes(h, &v, sizeof v);
}

static void put_u64(struct header *h, uint64_t v)
{
    put_bytes(h, &v, sizeof v);
}

static void put_string(struct header *h, const char *s)
{
    put_u64(h, strlen(s));
    put_bytes(h, s, strlen(s));
}

static void put_start(struct header *h, uint64_t n_tensor, uint64_t n_kv)
{
    h->n = 0;
    put_bytes(h, "GGUF", 4);
    put_u32(h, 3);
    put_u64(h, n_tensor);
    put_u64(h, n_kv);
}

static void put_info(struct header *h, const char *name, uint64_t n, uint32_t type, uint64_t offset)
{
    put_string(h, name);
    put_u32(h, 1);
    put_u64(h, n);
    put_u32(h, type);
    put_u64(h, offset);
}

static void put_data(struct header *h, size_t n)
{
    static const unsigned char zero[512];
    put_bytes(h, zero, (32 - h->n % 32) % 32);
    put_bytes(h, zero, n);
}

static void test_alignment(void **state)
{
    (void)state;
    static const struct {
        uint32_t alignment;
        bool ok;
    } row[] = {{0, false}, {1, false},    {4, false},      {8, true},          {24, false},
               {32, true}, {65536, true}, {131072, false}, {0x80000000, false}};
    for (size_t i = 0; i < N_ELEM(row); i++) {
        struct header h;
        put_start(&h, 0, 1);
        put_string(&h, "general.alignment");
        put_u32(&h, GGUF_U32);
        put_u32(&h, row[i].alignment);
        if (opens(h.data, h.n) != row[i].ok) {
            fail_msg("alignment %u", row[i].alignment);
        }
    }
}

static void test_tensor_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *name_a, *name_b;
        uint64_t n_a;
        uint32_t type_a;
        uint64_t offset_a, offset_b;
        bool ok;
    } row[] = {
        {"a", "b", 8, 0, 0, 32, true},
        {"a", "a", 8, 0, 0, 32, false},
        {"a", "b", 8, 0, 0, 0, false},
        {"a", "b", 9, 0, 0, 32, false},
        {"a", "b", 8, 0, 32, 0, false},
        {"a", "b", 8, 0, 16, 64, false},
        {"a", "b", 8, 0, 0, 64, false},
        {"a", "b", 31, 2, 0, 32, false},
        {"a", "b", 8, 4, 0, 32, false},
        {"a", "b", 8, 0xffffffff, 0, 32, false},
        {"a", "b", 1ull << 48, 24, 0, 32, false},
        {"a", "b", 1ull << 62, 0, 0, 0, false},
        {"a", "b", 0, 0, 0, 0, false},
        {"a", "", 8, 0, 0, 32, false},
        {"a", "b\n", 8, 0, 0, 32, false},
        {"a", "b", 8, 0, 0, UINT64_MAX - 31, false},
    };
    for (size_t i = 0; i < N_ELEM(row); i++) {
        struct header h;
        put_start(&h, 2, 0);
        put_info(&h, row[i].name_a, row[i].n_a, row[i].type_a, row[i].offset_a);
        put_info(&h, row[i].name_b, 8, 0, row[i].offset_b);
        put_data(&h, 64);
        if (opens(h.data, h.n) != row[i].ok) {
            fail_msg("row %zu", i);
        }
    }
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        uint32_t type, element;
        uint64_t n;
        bool ok;
    } row[] = {{GGUF_ARRAY, GGUF_U8, 16, true},
               {GGUF_ARRAY, GGUF_U8, 17, false},
               {GGUF_ARRAY, GGUF_U64, 2, true},
               {GGUF_ARRAY, GGUF_U64, 1ull << 61, false},
               {GGUF_ARRAY, GGUF_ARRAY, 1, false},
               {GGUF_ARRAY, 13, 1, false},
               {GGUF_ARRAY, GGUF_STRING, 2, true},
               {GGUF_ARRAY, GGUF_STRING, 3, false},
               {13, 0, 0, false},
               {0xffffffff, 0, 0, false},
               {GGUF_STRING, 5, 0, false}};
    for (size_t i = 0; i < N_ELEM(row); i++) {
        struct header h;
        put_start(&h, 0, 1);
        put_string(&h, "key");
        put_u32(&h, row[i].type);
        put_u32(&h, row[i].element);
        put_u64(&h, row[i].n);
        put_u64(&h, 0);
        put_u64(&h, 0);
        h.n -= row[i].type == GGUF_STRING ? 16 : 0;
        if (opens(h.data, h.n) != row[i].ok) {
            fail_msg("row %zu", i);
        }
    }
}

static void test_versions(void **state)
{
    (void)state;
    static const uint32_t version[] = {0, 1, 2, 3, 4, 0x03000000};
    for (size_t i = 0; i < N_ELEM(version); i++) {
        struct header h;
        put_start(&h, 0, 0);
        memcpy(h.data + 4, &version[i], 4);
        assert_int_equal(opens(h.data, h.n), version[i] == 2 || version[i] == 3);
    }
}

static void write_part(const char *name, uint32_t no, uint32_t count, const char *tensor)
{
    char *path;
    const uint64_t shape[] = {2};
    const float data[] = {(float)no, 7};
    struct gguf_writer *w = new_writer(name, &path);
    assert_int_equal(gguf_put_u32(w, "split.no", no), 0);
    assert_int_equal(gguf_put_u32(w, "split.count", count), 0);
    assert_int_equal(gguf_put_u32(w, "split.tensors.count", 2), 0);
    assert_int_equal(gguf_put_tensor(w, tensor, TENSOR_F32, shape, 1), 0);
    finish(w, data, sizeof data);
    mem_free(path);
}

static int open_in_dir(const char *name, struct model_file **m, struct err *e)
{
    char *path = path_join(dir, name);
    int rc = model_file_open(m, path, e);
    mem_free(path);
    return rc;
}

static void test_split(void **state)
{
    (void)state;
    struct model_file *m;
    struct err e = {0};
    float f[2];
    write_part("s-00001-of-00002.gguf", 0, 2, "a");
    assert_int_equal(open_in_dir("s-00001-of-00002.gguf", &m, &e), -ERR_NOT_FOUND);
    write_part("s-00002-of-00002.gguf", 1, 2, "b");
    assert_int_equal(open_in_dir("s-00001-of-00002.gguf", &m, &e), 0);
    assert_int_equal(model_file_n_tensor(m), 2);
    assert_int_equal(model_file_read(m, model_file_find(m, "b"), f, 0, sizeof f, &e), 0);
    assert_true(f[0] == 1.0f);
    assert_int_equal(model_file_read(m, model_file_find(m, "a"), f, 0, sizeof f, &e), 0);
    assert_true(f[0] == 0.0f);
    model_file_close(m);
    assert_int_equal(open_in_dir("s-00002-of-00002.gguf", &m, &e), -ERR_INPUT); /* not the first */
    write_part("s-00002-of-00002.gguf", 1, 2, "a");
    assert_int_equal(open_in_dir("s-00001-of-00002.gguf", &m, &e), -ERR_INPUT); /* a tensor twice */
    write_part("s-00002-of-00002.gguf", 0, 2, "b");
    assert_int_equal(open_in_dir("s-00001-of-00002.gguf", &m, &e), -ERR_INPUT); /* the wrong part */
    write_part("odd.gguf", 0, 2, "a");
    assert_int_equal(open_in_dir("odd.gguf", &m, &e), -ERR_INPUT); /* no name to derive the second from */
}

/* A file that shrinks after it was opened is an error of reading, not a signal. */
static void test_shrinks(void **state)
{
    (void)state;
    size_t n;
    char *data = read_corpus("llama", &n);
    struct input_file f;
    struct model_file *m;
    struct err e = {0};
    char value[4];
    input_file_init(&f, data, n);
    assert_int_equal(model_file_open(&m, f.path, &e), 0);
    assert_int_equal(ftruncate(f.fd, 64), 0);
    assert_true(model_file_read(m, model_file_tensor(m, 0), value, 0, sizeof value, &e) < 0);
    model_file_close(m);
    input_file_deinit(&f);
    mem_free(data);
}

/* The Nth allocation fails, for every N: one error, nothing leaked, nothing read. */
static void test_out_of_memory(void **state)
{
    (void)state;
    size_t n;
    char *data = read_corpus("llama", &n);
    struct input_file f;
    input_file_init(&f, data, n);
    int n_failed = 0;
    for (int64_t nth = 1; nth < 200; nth++) {
        struct model_file *m;
        struct err e = {0};
        mem_fault_after(nth);
        int rc = model_file_open(&m, f.path, &e);
        mem_fault_after(0);
        if (rc == 0) {
            model_file_close(m);
        } else if (rc != -ERR_NOMEM || e.msg[0] == '\0') {
            fail_msg("allocation %d: %d, %s", (int)nth, rc, e.msg);
        }
        n_failed += rc != 0;
    }
    assert_true(n_failed > 3);
    input_file_deinit(&f);
    mem_free(data);
}

static void test_corpus(void **state)
{
    (void)state;
    char **names;
    size_t n;
    struct err e = {0};
    assert_int_equal(file_list_dir("tests/fuzz/corpus/gguf", &names, &n, &e), 0);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        size_t size;
        char *data = read_corpus(names[i], &size);
        assert_int_equal(fuzz_gguf((const uint8_t *)data, size), 0);
        mem_free(data);
        mem_free(names[i]);
    }
    mem_free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_writer_refuses),
        cmocka_unit_test(test_truncation),    cmocka_unit_test(test_extreme_fields),
        cmocka_unit_test(test_broken_vocab),  cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_tensor_ranges), cmocka_unit_test(test_values),
        cmocka_unit_test(test_versions),      cmocka_unit_test(test_split),
        cmocka_unit_test(test_shrinks),       cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_corpus),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
