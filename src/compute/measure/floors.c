/* Measured floors of the machine: read bandwidth over a buffer much larger than the caches, and the instruction loops
 * of the kernels' level, on all threads of a pool. Owns the method (calibration, best of several), not the loops. */
#include "compute/measure/floors.h"

#include <string.h>
#include <unistd.h>

#include "ground/base/clock.h"
#include "ground/base/mem.h"

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

/* 10^9 operations a second, 0 when the level has no such loop. */
static double measure_loop(struct pool *pool, double (*loop)(size_t n))
{
    if (!loop) {
        return 0;
    }
    struct arithmetic a = {.loop = loop, .n = 1024};
    while (time_loop(pool, &a) < run_s / 2 && a.n < (size_t)1 << 40) {
        a.n *= 2;
    }
    double best_s = time_loop(pool, &a);
    for (int i = 1; i < REPEATS; i++) {
        double s = time_loop(pool, &a);
        best_s = s < best_s ? s : best_s;
    }
    return a.operations * pool_size(pool) / best_s * 1e-9;
}

struct reading {
    const struct kern *k;
    char *data;
    size_t size;
};

/* Each worker touches what it will read: the pages lie near it, and are not all the one page of zeros. */
static void touch(void *arg, int worker, int n_worker)
{
    struct reading *r = arg;
    size_t begin, end;
    pool_share(r->size, GRAIN, worker, n_worker, &begin, &end);
    memset(r->data + begin, 1, end - begin);
}

static void read_share(void *arg, int worker, int n_worker)
{
    const struct reading *r = arg;
    size_t begin, end;
    pool_share(r->size, GRAIN, worker, n_worker, &begin, &end);
    r->k->floor.read(r->data + begin, end - begin);
}

/* Four times the last-level cache, within limits (the size is unknown in some virtual machines). */
static size_t buffer_size(void)
{
    const size_t least = (size_t)256 << 20, most = (size_t)1 << 30;
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    size_t size = cache > 0 ? round_up(4 * (size_t)cache, GRAIN) : least;
    return size < least ? least : (size > most ? most : size);
}

static int measure_read(double *gb_s, struct pool *pool, const struct kern *k, struct err *e)
{
    struct reading r = {.k = k, .size = buffer_size()};
    r.data = mem_try_aligned(r.size);
    if (!r.data) {
        return err_set(e, ERR_NOMEM, NULL, "cannot measure read bandwidth: no memory for a buffer of %zu MiB",
                       r.size >> 20);
    }
    mem_prefer_large_pages(r.data, r.size); /* as weights have them */
    pool_run(pool, touch, &r);
    double best_s = 1e9;
    for (int i = 0; i < REPEATS; i++) {
        double begin = clock_s();
        pool_run(pool, read_share, &r);
        double s = clock_s() - begin;
        best_s = s < best_s ? s : best_s;
    }
    *gb_s = (double)r.size / best_s * 1e-9;
    mem_free(r.data);
    return 0;
}

int floors_measure(struct floors *out, struct pool *pool, const struct kern *k, struct err *e)
{
    int rc = measure_read(&out->read_gb_s, pool, k, e);
    if (rc) {
        return rc;
    }
    out->fp32_gflops = measure_loop(pool, k->floor.fp32);
    out->int8_gops = measure_loop(pool, k->floor.int8);
    out->int4_int8_gops = k->floor.int4 == k->floor.int8 ? out->int8_gops : measure_loop(pool, k->floor.int4);
    out->bf16_gflops = measure_loop(pool, k->floor.bf16);
    return 0;
}
