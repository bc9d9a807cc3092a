/* Packed files of models: the same logits from one, and none that is cut short, damaged, of another version, layout or
 * model file is used; writers at the same time leave whole ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compute/engine/engine.h"
#include "compute/model/model_int.h"
#include "compute/model/packed_file_int.h"
#include "ground/base/attr.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

#define MODEL   "tests/data/golden/gguf/llama.gguf"
#define EXPERTS "tests/data/golden/gguf/deepseek3.gguf"
#define OTHER   "tests/data/golden/gguf/mistral.gguf"

static void must(int rc, const struct err *e)
{
    if (rc) fail_msg("%s", e->msg);
}

/* A folder with a copy of a model file, and the model loaded from it. */
struct rig {
    char dir[64], copy[96];
    char *path; /* of the packed file */
    struct dev *d;
    struct model_file *f;
    struct model *m;
};

static void copy_file(const char *from, const char *to)
{
    struct err e;
    char *data;
    size_t n;
    must(file_read_all(from, 1 << 24, &data, &n, &e), &e);
    must(file_write_atomic(to, data, n, &e), &e);
    mem_free(data);
}

static void rig_init(struct rig *r, const char *model)
{
    struct err e;
    *r = (struct rig){.dir = "/tmp/tailor-packed-XXXXXX"};
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->copy, sizeof r->copy, "%s/m.gguf", r->dir);
    copy_file(model, r->copy);
    struct dev_options opt = {.n_thread = 2, .precision = PRECISION_REFERENCE, .isa = kern_isa_detect()};
    must(dev_cpu_new(&r->d, &opt, &e), &e);
    must(model_file_open(&r->f, r->copy, &e), &e);
    must(model_load(&r->m, r->d, r->f, &e), &e);
    must(packed_file_path(r->dir, r->f, r->d, &r->path, &e), &e);
}

static void rig_deinit(struct rig *r)
{
    struct err e;
    mem_free(r->path);
    model_free(r->m);
    model_file_close(r->f);
    dev_free(r->d);
    must(file_remove_tree(r->dir, &e), &e);
}

static float *logits(struct model *m, size_t *n)
{
    static const int32_t ids[] = {1, 5, 9, 30, 7};
    struct err e;
    struct dev_kv *kv;
    struct dev_block block = {0, N_ELEM(ids)};
    struct dev_segment s = {.n_tok = N_ELEM(ids), .block = &block, .n_block = 1, .adapter = -1};
    const int32_t last = N_ELEM(ids) - 1;
    struct model_batch b = {.dev = {.mode = DEV_SERVE, .n_tok = N_ELEM(ids), .segment = &s, .n_segment = 1},
                            .ids = ids,
                            .out_row = &last,
                            .n_out = 1};
    *n = (size_t)model_params(m)->n_vocab;
    float *x = mem_alloc(*n * sizeof(float));
    must(model_kv_new(m, &kv, 1, &e), &e);
    must(model_forward(m, &b, kv, x, &e), &e);
    dev_kv_free(kv);
    return x;
}

/* tensor: one that must be there in this shape, and in no other */
static void gives_the_same(const char *model, const char *tensor, size_t n_out, size_t n_in)
{
    struct err e;
    struct rig r;
    rig_init(&r, model);
    struct packed_file *p;
    struct model *m;
    assert_int_equal(packed_file_open(&p, r.path, r.f, r.d, &e), -ERR_NOT_FOUND);
    must(packed_file_write(r.path, r.m, r.f, &e), &e);
    must(packed_file_open(&p, r.path, r.f, r.d, &e), &e);
    assert_non_null(packed_file_find(p, tensor, QUANT_F32, n_out, n_in));
    assert_null(packed_file_find(p, tensor, QUANT_F32, n_in, n_out));
    assert_null(packed_file_find(p, tensor, QUANT_F16, n_out, n_in));
    assert_null(packed_file_find(p, "nothing", QUANT_F32, n_out, n_in));
    must(model_load_packed(&m, r.d, r.f, p, &e), &e);
    assert_int_equal(m->n_bound, r.m->n_bound);
    for (size_t i = 0; i < m->n_bound; i++) {
        const struct dev_mat *mat = m->bound[i].mat;
        const void *kept =
            packed_file_find(p, m->bound[i].name, dev_mat_type(mat), dev_mat_n_out(mat), dev_mat_n_in(mat));
        assert_non_null(kept);
        assert_ptr_equal(dev_mat_packed(mat), kept);
    }
    size_t n;
    float *want = logits(r.m, &n), *got = logits(m, &n);
    assert_memory_equal(want, got, n * sizeof(float));
    mem_free(want);
    mem_free(got);
    model_free(m);

    struct packed_info info;
    must(packed_file_describe(r.path, true, &info, &e), &e);
    assert_string_equal(info.model_path, r.copy);
    assert_true(info.is_current && info.size_bytes <= packed_file_bytes(r.m));
    rig_deinit(&r);
}

static void gives_the_same_logits(void **state)
{
    (void)state;
    gives_the_same(MODEL, "token_embd.weight", 288, 64);
    gives_the_same(EXPERTS, "blk.1.ffn_down_exps.weight", 8 * 64, 48);
}

static void put(const char *path, const char *data, size_t n)
{
    struct err e;
    must(file_write_atomic(path, data, n, &e), &e);
}

static void refused(const struct rig *r, const char *why)
{
    struct err e = {0};
    struct packed_file *p = NULL;
    int rc = packed_file_open(&p, r->path, r->f, r->d, &e);
    if (rc != -ERR_INPUT || !strstr(e.msg, why)) fail_msg("wanted \"%s\", got %d: %s", why, rc, e.msg);
}

static void what_is_cut_or_changed_is_refused(void **state)
{
    (void)state;
    struct err e;
    struct rig r;
    char *data;
    size_t n;
    rig_init(&r, MODEL);
    must(packed_file_write(r.path, r.m, r.f, &e), &e);
    must(file_read_all(r.path, 1 << 24, &data, &n, &e), &e);
    const struct packed_head *h = (const void *)data;
    size_t head = (size_t)h->data_at;
    for (size_t len = 0; len < n; len += len < head ? 97 : n / 20) {
        put(r.path, data, len);
        refused(&r, "it is cut short");
    }
    put(r.path, data, n - 1);
    refused(&r, "it is cut short");
    for (size_t i = 0; i < head; i += i < 256 ? 1 : 29) { /* every byte of the head counts, padding too */
        data[i] ^= 0x10;
        put(r.path, data, n);
        refused(&r, i < 8    ? "it is no packed file"
                    : i < 12 ? "it is of another version"
                    : i >= offsetof(struct packed_head, file_bytes) && i < offsetof(struct packed_head, data_at)
                        ? "it is cut short"
                        : "cannot use packed file");
        data[i] ^= 0x10;
    }
    put(r.path, data, n);
    struct packed_info info;
    must(packed_file_describe(r.path, true, &info, &e), &e);
    data[head + 100] ^= 1; /* the data are not read through at every start, but on request */
    put(r.path, data, n);
    assert_int_equal(packed_file_describe(r.path, true, &info, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "its data are damaged"));
    mem_free(data);
    rig_deinit(&r);
}

/* A head that was changed on purpose, with the digest that belongs to it. */
static void rewrite(struct rig *r, void (*change)(struct packed_head *h))
{
    struct err e;
    char *data, hex[DIGEST_HEX_SIZE];
    size_t n;
    must(packed_file_write(r->path, r->m, r->f, &e), &e);
    must(file_read_all(r->path, 1 << 24, &data, &n, &e), &e);
    struct packed_head *h = (void *)data;
    change(h);
    must(packed_head_digest(h, hex, &e), &e);
    memcpy(h->head_digest, hex, sizeof hex);
    put(r->path, data, n);
    mem_free(data);
}

static struct packed_entry *entry(struct packed_head *h, uint32_t i)
{
    return (struct packed_entry *)(void *)((char *)(h + 1) + h->n_part * sizeof(struct file_identity)) + i;
}
static void other_version(struct packed_head *h)
{
    h->version++;
}
static void other_layout(struct packed_head *h)
{
    h->layout ^= 1;
}
static void other_identity(struct packed_head *h)
{
    struct file_identity *id = (void *)(h + 1);
    id->mtime_ns++;
}
static void beyond_the_end(struct packed_head *h)
{
    entry(h, 3)->at = h->file_bytes;
}
static void too_long(struct packed_head *h)
{
    entry(h, 3)->n_bytes = UINT64_MAX;
}
static void name_outside(struct packed_head *h)
{
    entry(h, 0)->name_at = h->name_bytes;
}
static void unknown_type(struct packed_head *h)
{
    entry(h, 0)->type = QUANT_COUNT;
}
static void unaligned(struct packed_head *h)
{
    entry(h, 1)->at++;
}
static void other_digest(struct packed_head *h)
{
    h->model_digest[0] = h->model_digest[0] == 'a' ? 'b' : 'a';
}

static void what_was_made_up_is_refused(void **state)
{
    (void)state;
    static const struct {
        void (*change)(struct packed_head *h);
        const char *why;
    } c[] = {{other_version, "another version"},     {other_layout, "its layout is another"},
             {other_identity, "another model file"}, {beyond_the_end, "head is damaged"},
             {too_long, "head is damaged"},          {name_outside, "head is damaged"},
             {unknown_type, "head is damaged"},      {unaligned, "head is damaged"}};
    struct rig r;
    rig_init(&r, MODEL);
    for (size_t i = 0; i < N_ELEM(c); i++) {
        rewrite(&r, c[i].change);
        refused(&r, c[i].why);
    }
    struct packed_info info;
    struct err e;
    rewrite(&r, other_digest); /* found when the model file is read again */
    assert_int_equal(packed_file_describe(r.path, true, &info, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "other contents than when it was packed"));
    rig_deinit(&r);
}

static void another_model_file_is_refused(void **state)
{
    (void)state;
    struct err e;
    struct rig r, o;
    rig_init(&r, MODEL);
    rig_init(&o, OTHER);
    must(packed_file_write(o.path, o.m, o.f, &e), &e);
    copy_file(o.path, r.path);
    refused(&r, "it is of another model file");

    must(packed_file_write(r.path, r.m, r.f, &e), &e);
    struct stat st;
    assert_int_equal(stat(r.copy, &st), 0);
    char *data;
    size_t n;
    must(file_read_all(r.copy, 1 << 24, &data, &n, &e), &e);
    int fd = open(r.copy, O_WRONLY); /* the same inode and size, and the old time put back */
    assert_true(fd >= 0 && pwrite(fd, data + n - 4, 4, (off_t)n - 4) == 4);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    mem_free(data);
    refused(&r, "it is of another model file");
    struct packed_info info;
    must(packed_file_describe(r.path, false, &info, &e), &e);
    assert_false(info.is_current);
    rig_deinit(&r);
    rig_deinit(&o);
}

/* The body of a process that writes: with a device of its own, since threads do not come along. */
static int write_often(const struct rig *r, int times)
{
    struct err e;
    struct dev *d;
    struct model *m;
    struct dev_options opt = {.n_thread = 1, .precision = PRECISION_REFERENCE, .isa = KERN_SCALAR};
    int rc = dev_cpu_new(&d, &opt, &e);
    if (!rc) rc = model_load(&m, d, r->f, &e);
    for (int i = 0; i < times && !rc; i++) rc = packed_file_write(r->path, m, r->f, &e);
    return rc;
}

/* Two processes that write the same file while this one opens it: whatever is there is whole. */
static void writers_at_once_leave_whole_files(void **state)
{
    (void)state;
    enum { WRITERS = 2, TIMES = 12 };
    struct err e;
    struct rig r;
    pid_t pid[WRITERS];
    rig_init(&r, MODEL);
    for (int w = 0; w < WRITERS; w++) {
        pid[w] = fork();
        assert_true(pid[w] >= 0);
        if (pid[w] == 0) {
            alarm(120); /* never longer than the test */
            _exit(write_often(&r, TIMES) ? 1 : 0);
        }
    }
    for (int left = WRITERS, n_open = 0; left > 0 || n_open == 0;) {
        struct packed_file *p;
        int rc = packed_file_open(&p, r.path, r.f, r.d, &e), status;
        if (rc && rc != -ERR_NOT_FOUND) fail_msg("%s", e.msg);
        if (!rc) packed_file_close(p);
        n_open += !rc;
        for (int w = 0; w < WRITERS; w++) {
            if (pid[w] && waitpid(pid[w], &status, WNOHANG) == pid[w]) {
                assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
                pid[w] = 0;
                left--;
            }
        }
    }
    char **name;
    size_t n;
    must(file_list_dir(r.dir, &name, &n, &e), &e);
    assert_int_equal(n, 2); /* the model and its packed form: nothing is left over */
    for (size_t i = 0; i < n; i++) mem_free(name[i]);
    mem_free(name);
    rig_deinit(&r);
}

/* The Nth allocation fails: an error, and the packed file or nothing. */
static void memory_may_fail_anywhere(void **state)
{
    (void)state;
    struct err e;
    struct rig r;
    rig_init(&r, MODEL);
    must(packed_file_write(r.path, r.m, r.f, &e), &e);
    bool failed = true;
    for (int64_t n = 1; failed && n < 200; n++) {
        struct packed_file *p = NULL;
        struct model *m = NULL;
        mem_fault_after(n);
        int rc = packed_file_open(&p, r.path, r.f, r.d, &e);
        if (!rc) rc = model_load_packed(&m, r.d, r.f, p, &e);
        if (!rc) rc = packed_file_write(r.path, m, r.f, &e);
        mem_fault_after(0);
        if (rc) assert_int_equal(rc, -ERR_NOMEM);
        failed = rc != 0;
        model_free(m);
    }
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_same_logits),
        cmocka_unit_test(what_is_cut_or_changed_is_refused),
        cmocka_unit_test(what_was_made_up_is_refused),
        cmocka_unit_test(another_model_file_is_refused),
        cmocka_unit_test(writers_at_once_leave_whole_files),
        cmocka_unit_test(memory_may_fail_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
