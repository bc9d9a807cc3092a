/* Blocking requests with retries. Owns the state of one request while it lasts. */
#include "ground/http/http_get.h"

#include <math.h>

#include "ground/base/clock.h"

enum { STEP_MS = 100 };
static const double FIRST_DELAY_S = 0.5, MAX_DELAY_S = 30, MAX_ASKED_S = 900;

double http_retry_delay_s(const struct http_result *r, int n_failed)
{
    if ((double)r->retry_after_s > MAX_ASKED_S) return -1;
    double random = (double)(clock_ns() % 1024) / 1024; /* so that many clients do not come back together */
    double delay = fmin(FIRST_DELAY_S * exp2(n_failed - 1), MAX_DELAY_S) * (0.75 + 0.25 * random);
    return fmax(delay, (double)r->retry_after_s);
}

struct attempt {
    const struct http_get *g;
    struct http_result result;
    bool is_done;
};

static int on_head(void *arg, const struct http_head *h, struct err *e)
{
    const struct attempt *a = arg;
    return a->g->fetch.head ? a->g->fetch.head(a->g->fetch.arg, h, e) : 0;
}

static int on_data(void *arg, const void *p, size_t n, struct err *e)
{
    const struct attempt *a = arg;
    return a->g->fetch.data(a->g->fetch.arg, p, n, e);
}

static void on_done(void *arg, const struct http_result *r)
{
    struct attempt *a = arg;
    a->result = *r;
    a->is_done = true;
}

static int check_cancelled(const struct http_get *g, struct err *e)
{
    bool stop = g->is_cancelled && g->is_cancelled(g->arg);
    return stop ? err_set(e, ERR_INTERRUPTED, NULL, "interrupted") : 0;
}

static int try_once(struct http_client *c, struct attempt *a, struct err *e)
{
    struct http_fetch f = a->g->fetch;
    f.head = on_head;
    f.data = on_data;
    f.done = on_done;
    f.arg = a;
    a->is_done = false;
    int rc = http_client_start(c, &f, e);
    while (rc == 0 && !a->is_done) {
        rc = check_cancelled(a->g, e);
        if (rc == 0) rc = http_client_step(c, STEP_MS, e);
    }
    if (rc) http_client_cancel(c); /* it would call done of an attempt that is gone */
    return rc;
}

static int wait_until(struct http_client *c, const struct http_get *g, double until_s, struct err *e)
{
    int rc = 0;
    while (rc == 0 && clock_s() < until_s) {
        rc = check_cancelled(g, e);
        if (rc == 0) rc = http_client_wait(c, STEP_MS, e);
    }
    return rc;
}

int http_get(struct http_client *c, const struct http_get *g, struct err *e)
{
    struct attempt a = {.g = g};
    for (int n_failed = 1;; n_failed++) {
        int rc = try_once(c, &a, e);
        if (rc || a.result.rc == 0) return rc;
        double delay = a.result.transient && n_failed <= g->n_retry ? http_retry_delay_s(&a.result, n_failed) : -1;
        if (delay < 0) {
            if (e) *e = a.result.err;
            return n_failed > 1 ? err_wrap(e, a.result.rc, "cannot go on after %d attempts", n_failed) : a.result.rc;
        }
        rc = wait_until(c, g, clock_s() + delay, e);
        if (rc) return rc;
    }
}

static int clear_text(void *arg, const struct http_head *h, struct err *e)
{
    (void)h;
    (void)e;
    buf_clear(arg); /* of an attempt before */
    return 0;
}

static int add_text(void *arg, const void *p, size_t n, struct err *e)
{
    struct buf *body = arg;
    if (buf_add(body, p, n) == 0) return 0;
    return err_set(e, ERR_LIMIT, NULL, "cannot use the answer: more than %zu bytes", body->max);
}

int http_get_text(struct http_client *c, const struct http_get *g, struct buf *body, struct err *e)
{
    struct http_get text = *g;
    text.fetch.range_begin = 1; /* none */
    text.fetch.range_end = 0;
    text.fetch.head = clear_text;
    text.fetch.data = add_text;
    text.fetch.arg = body;
    buf_clear(body);
    return http_get(c, &text, e);
}
