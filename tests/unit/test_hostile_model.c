/* Model files that lie, through the whole way to an answer: whatever stands in the directory of tensors or in the
 * hyper-parameters of a good file, it is refused with a message or it computes; a file that shrinks while it is read is
 * an error. A signal would end this program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compute/formats/safetensors.h"
#include "compute/model/model.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"

static const char good_path[] = "tests/data/golden/gguf/llama-mqa.gguf",
                  hf_dir[] = "tests/data/golden/models/llama-mqa";

struct memory_file {
    int fd;
    char path[32];
};

static void memory_file_init(struct memory_file *f, const void *data, size_t n)
{
    f->fd = memfd_create("hostile", MFD_CLOEXEC);
    assert_int_equal(write(f->fd, data, n), n);
    snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
}

static char *read_good(size_t *n)
{
    char *data;
    struct err e = {0};
    if (file_read_all(good_path, 1 << 24, &data, n, &e)) fail_msg("%s", e.msg);
    return data;
}

static void answer(struct model *m)
{
    static const int32_t ids[] = {1, 0, 2}, row[] = {2};
    struct dev_block block = {0, 3};
    struct dev_segment s = {0, 3, 0, &block, 1, -1};
    struct model_batch b = {.dev = {DEV_SERVE, 3, &s, 1}, .ids = ids, .out_row = row, .n_out = 1};
    struct dev_kv *kv;
    struct err e = {0};
    float *logits = mem_alloc((size_t)model_params(m)->n_vocab * sizeof *logits);
    if (model_kv_new(m, &kv, 1, &e) == 0) {
        if (model_forward(m, &b, kv, logits, &e) && !e.msg[0]) fail_msg("no message");
        dev_kv_free(kv);
    }
    mem_free(logits);
}

/* Open, load and ask; true when it went all the way. */
static bool computes(struct dev *d, const char *path)
{
    struct model_file *f;
    struct model *m;
    struct err e = {0};
    if (model_file_open(&f, path, &e)) {
        if (!e.msg[0]) fail_msg("no message");
        return false;
    }
    int rc = model_load(&m, d, f, &e);
    if (rc && !e.msg[0]) fail_msg("no message");
    if (rc == 0) answer(m);
    if (rc == 0) model_free(m);
    model_file_close(f);
    return rc == 0;
}

static bool changed_computes(struct dev *d, const char *good, size_t n, size_t at, const void *value, size_t n_value)
{
    struct memory_file f;
    assert_true(at + n_value <= n);
    memory_file_init(&f, good, n);
    assert_int_equal(pwrite(f.fd, value, n_value, (off_t)at), n_value);
    bool does = computes(d, f.path);
    close(f.fd);
    return does;
}

static struct dev *new_dev(void)
{
    struct dev *d;
    struct err e = {0};
    if (dev_cpu_new(&d, &(struct dev_options){1, PRECISION_DETERMINISTIC, KERN_SCALAR}, &e)) fail_msg("%s", e.msg);
    return d;
}

/* Where the entry of a tensor has its number of dimensions; the name stands before it, its length before that. */
static size_t entry_of(const char *data, size_t n, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = data; (at = memmem(at, n - (size_t)(at - data), name, len)); at++) {
        uint64_t said = 0;
        if (at - data >= 8) memcpy(&said, at - 8, 8);
        if (said == len) return (size_t)(at - data) + len;
    }
    fail_msg("no tensor %s", name);
    return 0;
}

static void change_tensor(struct dev *d, const char *data, size_t n, const struct tensor_info *t)
{
    static const uint64_t odd[] = {0,          1,          2,          31,        1u << 31,   1ull << 32,
                                   1ull << 48, 1ull << 62, 1ull << 63, INT64_MAX, UINT64_MAX, UINT64_MAX - 31};
    size_t at = entry_of(data, n, t->name), type_at = at + 4 + 8 * (size_t)t->n_dim;
    for (uint32_t type = 0; type < 48; type++) {
        bool does = changed_computes(d, data, n, type_at, &type, 4);
        bool integer = type >= 24 && type <= 28; /* I8 ... I64, F64 */
        if (does && integer) fail_msg("%s computes as ggml type %u", t->name, type);
    }
    for (size_t i = 0; i < N_ELEM(odd); i++) {
        uint32_t narrow = (uint32_t)odd[i];
        (void)changed_computes(d, data, n, at, &narrow, 4);
        for (int k = 0; k < t->n_dim; k++) (void)changed_computes(d, data, n, at + 4 + 8 * (size_t)k, &odd[i], 8);
        (void)changed_computes(d, data, n, type_at + 4, &odd[i], 8);
    }
    if (t->n_dim == 2) { /* a product that comes out right modulo 2^64 */
        const uint64_t wrap[] = {1ull << 33, 1ull << 33};
        assert_false(changed_computes(d, data, n, at + 4, wrap, sizeof wrap));
        const uint64_t swapped[] = {t->shape[0], t->shape[1]}; /* the file has the innermost first */
        bool square = t->shape[0] == t->shape[1];
        if (changed_computes(d, data, n, at + 4, swapped, sizeof swapped) && !square)
            fail_msg("%s computes with its shape turned", t->name);
    }
    char other = t->name[0] == 'x' ? 'y' : 'x';
    (void)changed_computes(d, data, n, at - strlen(t->name), &other, 1);
}

static void tensors_that_lie(void **state)
{
    (void)state;
    struct model_file *f;
    struct err e = {0};
    size_t n;
    char *data = read_good(&n);
    struct dev *d = new_dev();
    assert_true(computes(d, good_path));
    assert_int_equal(model_file_open(&f, good_path, &e), 0);
    for (size_t i = 0; i < model_file_n_tensor(f); i++) change_tensor(d, data, n, model_file_tensor(f, i));
    model_file_close(f);
    dev_free(d);
    mem_free(data);
}

/* Every number of the architecture's keys: 32 bits behind the name and its type. */
static void hyper_parameters_that_lie(void **state)
{
    (void)state;
    static const uint32_t odd[] = {0, 1, 2, 3, 7, 64, 1000, 65536, 0x7fffffff, 0x80000000, 0xffffffff};
    static const char prefix[] = "llama.";
    size_t n, n_key = 0;
    char *data = read_good(&n);
    struct dev *d = new_dev();
    for (const char *at = data; (at = memmem(at, n - (size_t)(at - data), prefix, strlen(prefix))); at++) {
        uint64_t len;
        memcpy(&len, at - 8, 8);
        if (len > 64) continue;
        n_key++;
        for (size_t i = 0; i < N_ELEM(odd); i++)
            (void)changed_computes(d, data, n, (size_t)(at - data) + (size_t)len + 4, &odd[i], 4);
    }
    assert_true(n_key >= 8);
    dev_free(d);
    mem_free(data);
}

/* What is gone when it is read, at any place: an error while loading, no signal. */
static void files_that_shrink(void **state)
{
    (void)state;
    size_t n;
    char *data = read_good(&n);
    struct dev *d = new_dev();
    const size_t left[] = {0, 1, 4096, n / 2, n - 4096, n - 1};
    for (size_t i = 0; i < N_ELEM(left); i++) {
        struct memory_file mem;
        struct model_file *f;
        struct model *m;
        struct err e = {0};
        memory_file_init(&mem, data, n);
        assert_int_equal(model_file_open(&f, mem.path, &e), 0);
        assert_int_equal(ftruncate(mem.fd, (off_t)left[i]), 0);
        int rc = model_load(&m, d, f, &e);
        if (rc != -ERR_INPUT || !strstr(e.msg, "it ends at byte")) fail_msg("%zu left: %d %s", left[i], rc, e.msg);
        model_file_close(f);
        close(mem.fd);
    }
    dev_free(d);
    mem_free(data);
}

static void copy_file(const char *from, const char *to)
{
    char *data;
    size_t n;
    assert_int_equal(file_read_all(from, 1 << 24, &data, &n, NULL), 0);
    assert_int_equal(file_write_atomic(to, data, n, NULL), 0);
    mem_free(data);
}

static void directories_that_shrink(void **state)
{
    (void)state;
    static const char dir[] = "build/test_hostile_model";
    char from[256], to[256];
    struct model_file *f;
    struct model *m;
    struct safetensors *s;
    struct err e = {0};
    float x[4];
    struct dev *d = new_dev();
    assert_int_equal(file_mkdirs(dir, NULL), 0);
    static const char *const name[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < N_ELEM(name); i++) {
        snprintf(from, sizeof from, "%s/%s", hf_dir, name[i]);
        snprintf(to, sizeof to, "%s/%s", dir, name[i]);
        copy_file(from, to);
    }
    assert_int_equal(model_file_open(&f, dir, &e), 0);
    assert_int_equal(safetensors_open(&s, to, &e), 0);
    assert_int_equal(truncate(to, 20000), 0);
    assert_int_equal(model_load(&m, d, f, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "it ends at byte"));
    const struct tensor_info *last = safetensors_tensor(s, safetensors_n_tensor(s) - 1);
    assert_int_equal(safetensors_read(s, last, x, 0, sizeof x, &e), -ERR_INPUT);
    safetensors_close(s);
    model_file_close(f);
    assert_int_equal(model_file_open(&f, dir, &e), -ERR_INPUT); /* and so is the short file from the start */
    dev_free(d);
    assert_int_equal(file_remove_tree(dir, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_that_lie),
        cmocka_unit_test(hyper_parameters_that_lie),
        cmocka_unit_test(files_that_shrink),
        cmocka_unit_test(directories_that_shrink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
