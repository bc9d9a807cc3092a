/* Measured floors of the machine: read bandwidth over a buffer much larger than the caches, and the instruction loops
 * of the kernels' level, on all threads of a pool. Owns the method (calibration, best of several), not the loops. */
#include "compute/measure/floors.h"

#include <string.h>
#include <unistd.h>

#include "ground/base/clock.h"
#include "ground/base/mem.h"
#include "ground/base/pool.h"

enum { REPEATS = 5, GRAIN = 1 << 16 };
static const double run_s = 0.02; /* long against starting the threads, short against being interrupted */

struct arithmetic {
    double (*loop)(size_t n);
    size_t n;
    double operations; /* of one worker */
};

static void run_loop(void *arg, int worker, int n_worker)
{
    struct arithmetic *a = arg;
    (void)n_worker;
    double operations = a->loop(a->n);
    if (worker == 0) {
        a->operations = operations;
    }
}

/* Seconds that one run of n rounds on all threads takes. */
static double time_loop(struct pool *pool, struct arithmetic *a)
{
    double begin = clock_s();
    pool_run(pool, run_loop, a);
    return clock_s() - begin;
}

/* The best of so many runs: what interrupts one is not the machine's doing. */
static double best_time(struct pool *pool, struct arithmetic *a, int n_run)
{
    double best_s = time_loop(pool, a);
    for (int i = 1; i < n_run; i++) {
        double s = time_loop(pool, a);
        best_s = s < best_s ? s : best_s;
    }
    return best_s;
}

/* 10^9 operations a second, 0 when the level has no such loop. */
static double measure_loop(struct pool *pool, double (*loop)(size_t n))
{
    if (!loop) {
        return 0;
    }
    struct arithmetic a = {.loop = loop, .n = 1024};
    while (best_time(pool, &a, 2) < run_s / 2 && a.n < (size_t)1 << 40) {
        a.n *= 2;
    }
    return a.operations * pool_size(pool) / best_time(pool, &a, REPEATS) * 1e-9;
}

struct meter {
    struct pool *pool;
    struct kern k;
    char *data;
    size_t size;
    int way; /* to read */
};

/* Each worker touches what it will read: the pages lie near it, and are not all the one page of zeros. */
static void touch(void *arg, int worker, int n_worker)
{
    struct meter *m = arg;
    size_t begin, end;
    pool_share(m->size, GRAIN, worker, n_worker, &begin, &end);
    memset(m->data + begin, 1, end - begin);
}

static void read_share(void *arg, int worker, int n_worker)
{
    const struct meter *m = arg;
    size_t begin, end;
    pool_share(m->size, GRAIN, worker, n_worker, &begin, &end);
    m->k.floor.read[m->way](m->data + begin, end - begin);
}

/* Four times the last-level cache, within limits (the size is unknown in some virtual machines). */
static size_t buffer_size(void)
{
    const size_t least = (size_t)256 << 20, most = (size_t)1 << 30;
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    size_t size = cache > 0 ? round_up(4 * (size_t)cache, GRAIN) : least;
    return size < least ? least : (size > most ? most : size);
}

static int meter_init(struct meter *m, int n_thread, enum kern_isa isa, struct err *e)
{
    m->size = buffer_size();
    m->data = mem_try_aligned(m->size);
    if (!m->data) {
        return err_set(e, ERR_NOMEM, NULL, "cannot measure read bandwidth: no memory for a buffer of %zu MiB",
                       m->size >> 20);
    }
    int rc = pool_new(&m->pool, n_thread, e);
    if (rc) {
        return rc;
    }
    kern_init(&m->k, isa);
    mem_prefer_large_pages(m->data, m->size); /* as weights have them */
    pool_run(m->pool, touch, m);
    return 0;
}

/* 10^9 bytes a second. */
static double measure_read(struct meter *m)
{
    double best_s = 1e9;
    for (int i = 0; i < REPEATS * KERN_READS; i++) {
        m->way = i % KERN_READS;
        double begin = clock_s();
        pool_run(m->pool, read_share, m);
        double s = clock_s() - begin;
        best_s = s < best_s ? s : best_s;
    }
    return (double)m->size / best_s * 1e-9;
}

static void measure(struct meter *m, struct floors *out)
{
    const struct kern_floor *f = &m->k.floor;
    out->read_gb_s = measure_read(m);
    out->fp32_gflops = measure_loop(m->pool, f->fp32);
    out->int8_gops = measure_loop(m->pool, f->int8);
    out->int4_int8_gops = f->int4 == f->int8 ? out->int8_gops : measure_loop(m->pool, f->int4);
    out->bf16_gflops = measure_loop(m->pool, f->bf16);
}

int floors_measure(struct floors *out, int n_thread, enum kern_isa isa, struct err *e)
{
    struct meter *m = mem_alloc(sizeof(*m)); /* the table of kernels is large */
    int rc = meter_init(m, n_thread, isa, e);
    if (rc == 0) {
        measure(m, out);
    }
    pool_free(m->pool);
    mem_free(m->data);
    mem_free(m);
    return rc;
}
