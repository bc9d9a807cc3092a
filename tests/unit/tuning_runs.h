/* Tuning runs of tests: a place for them, a trainer's request from fields, a whole run that may be stopped. */
#ifndef TESTS_TUNING_RUNS_H
#define TESTS_TUNING_RUNS_H

#include <stdlib.h>
#include <string.h>

#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "lifecycle/train/train.h"

static inline char *place_new(void)
{
    char path[] = "/tmp/tailor-tune-XXXXXX";
    assert_non_null(mkdtemp(path));
    return mem_strdup(path);
}

static inline void place_free(char *dir)
{
    struct err e;
    if (file_remove_tree(dir, &e) != 0) fail_msg("%s", e.msg);
    mem_free(dir);
}

/* What a run is made of. */
struct bench {
    struct param_set *fields;
    struct train_config config;
    struct dev *dev;
    struct model_file *file;
    struct model *model;
    struct train_request request;
};

/* Fields as KEY=VALUE, NULL at the end; precision where they do not name one. */
static inline int bench_new(struct bench *b, const char *const *field, int n_thread, enum precision precision,
                            struct err *e)
{
    *b = (struct bench){.fields = param_set_new(train_params, train_n_param)};
    struct dev_options o = {.n_thread = n_thread, .isa = kern_isa_detect()};
    int rc = 0;
    for (; *field != NULL && rc == 0; field++) {
        const char *eq = strchr(*field, '=');
        char *key = mem_strndup(*field, (size_t)(eq - *field));
        rc = param_set_text(b->fields, key, eq + 1, e);
        mem_free(key);
    }
    if (rc == 0) rc = train_config_precision(b->fields, precision, &o.precision, e);
    if (rc == 0) rc = train_config_read(&b->config, b->fields, e);
    if (rc == 0) rc = dev_cpu_new(&b->dev, &o, e);
    if (rc == 0) rc = model_file_open(&b->file, b->config.base, e);
    if (rc == 0) rc = model_load(&b->model, b->dev, b->file, e);
    b->request = (struct train_request){
        .config = &b->config, .fields = b->fields, .model = b->model, .file = b->file, .version = "test"};
    return rc;
}

static inline void bench_free(struct bench *b)
{
    model_free(b->model);
    model_file_close(b->file);
    dev_free(b->dev);
    train_config_deinit(&b->config);
    param_set_free(b->fields);
}

struct stop {
    uint64_t after, steps; /* interrupt after so many steps; 0: never */
};

static inline bool stop_is_due(void *arg)
{
    const struct stop *s = arg;
    return s->after > 0 && s->steps >= s->after;
}

static inline void stop_count(void *arg, const struct train_progress *p)
{
    struct stop *s = arg;
    (void)p;
    s->steps++;
}

static inline int run_with(const char *const *field, int n_thread, enum precision precision, bool resume,
                           uint64_t stop_after, struct train_result *out, struct err *e)
{
    struct bench b;
    struct stop stop = {.after = stop_after};
    int rc = bench_new(&b, field, n_thread, precision, e);
    b.request.resume = resume;
    b.request.arg = &stop;
    b.request.interrupted = stop_is_due;
    b.request.progress = stop_count;
    if (rc == 0) rc = train_run(&b.request, out, e);
    bench_free(&b);
    return rc;
}

/* The file `name` of two directories has the same bytes. */
static inline void same_files(const char *a, const char *b, const char *name)
{
    char *pa = path_join(a, name), *pb = path_join(b, name), *da = NULL, *db = NULL;
    size_t na = 0, nb = 0;
    struct err e;
    if (file_read_all(pa, 1 << 24, &da, &na, &e) != 0 || file_read_all(pb, 1 << 24, &db, &nb, &e) != 0)
        fail_msg("%s", e.msg);
    if (na != nb || memcmp(da, db, na) != 0) fail_msg("%s and %s differ", pa, pb);
    mem_free(da), mem_free(db), mem_free(pa), mem_free(pb);
}

#endif
