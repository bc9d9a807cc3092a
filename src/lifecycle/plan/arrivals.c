/* Requests to simulate. Owns nothing after a call. What always holds: a draw is a function of the seed and the number
 * of the request, so the first requests of a longer run are those of a shorter one. */
#include "lifecycle/plan/arrivals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"
#include "ground/table/csv.h"

enum { STREAM_TIME = 1, STREAM_PROMPT = 2, STREAM_OUTPUT = 3, MAX_TOKENS = 100000000 };

/* --- how they arrive --- */

static int refuse(const char *text, struct err *e)
{
    return err_set(e, ERR_USAGE, "arrivals",
                   "cannot use arrivals \"%s\": poisson:RATE, uniform:RATE, bursts:RATE:CV (requests a second) or "
                   "closed:USERS is needed",
                   text);
}

/* "a:b:c" into at most three parts. */
static size_t split(char *text, char *part[3])
{
    size_t n = 0;
    for (char *p = text; p && n < 3; n++) {
        part[n] = p;
        p = strchr(p, ':');
        if (p) *p++ = '\0';
        if (p && n == 2) return 4;
    }
    return n;
}

static bool number(const char *text, double min, double max, double *out)
{
    return str_to_double(text, out) && *out >= min && *out <= max;
}

int arrivals_parse(const char *text, struct arrivals *out, struct err *e)
{
    static const char *const kind[] = {"poisson", "uniform", "bursts", "closed"};
    char copy[128], *part[3];
    double users;
    size_t k = 0;
    if (strlen(text) >= sizeof copy) return refuse(text, e);
    memcpy(copy, text, strlen(text) + 1);
    size_t n = split(copy, part);
    while (k < N_ELEM(kind) && !str_eq(part[0], kind[k])) k++;
    if (k == N_ELEM(kind) || n != (k == ARRIVAL_BURSTS ? 3u : 2u)) return refuse(text, e);
    out->kind = (enum arrival_kind)k;
    if (k == ARRIVAL_CLOSED) {
        if (!number(part[1], 1, 1e6, &users) || users != floor(users)) return refuse(text, e);
        out->users = (int)users;
        return 0;
    }
    if (!number(part[1], 1e-9, 1e9, &out->rate_s)) return refuse(text, e);
    return k == ARRIVAL_BURSTS && !number(part[2], 0.01, 100, &out->cv) ? refuse(text, e) : 0;
}

/* --- draws --- */

static double unit(uint64_t seed, uint64_t stream, uint64_t i)
{
    return 1 - rng_unit(seed, stream, i); /* above 0 */
}

/* Gamma with shape k and mean 1: Marsaglia and Tsang (2000); shapes below 1 by their remark on page 371. */
static double gamma_unit(double k, uint64_t seed, uint64_t i)
{
    double boost = 1, shape = k;
    uint64_t at = i << 8; /* draws of a request do not meet those of the next */
    if (k < 1) {
        boost = pow(unit(seed, STREAM_TIME, at++), 1 / k);
        shape = k + 1;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (int tries = 0; tries < 100; tries++, at += 2) {
        double x = rng_normal(seed, STREAM_TIME, at), v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        if (log(unit(seed, STREAM_TIME, at + 1)) < 0.5 * x * x + d - d * v + d * log(v)) return d * v * boost / k;
    }
    return 1;
}

static double gap_s(const struct arrivals *a, uint64_t i)
{
    switch (a->kind) {
    case ARRIVAL_POISSON:
        return -log(unit(a->seed, STREAM_TIME, i)) / a->rate_s;
    case ARRIVAL_BURSTS:
        return gamma_unit(1 / (a->cv * a->cv), a->seed, i) / a->rate_s;
    case ARRIVAL_UNIFORM:
        return 1 / a->rate_s;
    case ARRIVAL_CLOSED:
    default:
        return 0;
    }
}

static int length(double mean, double cv, uint64_t seed, uint64_t stream, uint64_t i)
{
    double tokens = mean;
    if (cv > 0) {
        double s2 = log(1 + cv * cv);
        tokens = mean * exp(sqrt(s2) * rng_normal(seed, stream, i) - s2 / 2);
    }
    return tokens < 1 ? 1 : tokens > MAX_TOKENS ? MAX_TOKENS : (int)lround(tokens);
}

static int check(const struct arrivals *a, struct err *e)
{
    if (!(a->prompt_tokens >= 1 && a->prompt_tokens <= MAX_TOKENS) ||
        !(a->output_tokens >= 1 && a->output_tokens <= MAX_TOKENS) || !(a->length_cv >= 0 && a->length_cv <= 10))
        return err_set(e, ERR_USAGE, "prompt_tokens",
                       "cannot draw requests of %g and %g tokens with a spread of %g: 1 to %d tokens and a spread from "
                       "0 to 10 are needed",
                       a->prompt_tokens, a->output_tokens, a->length_cv, MAX_TOKENS);
    return 0;
}

int arrivals_draw(const struct arrivals *a, struct sim_request **out, struct err *e)
{
    *out = NULL;
    int rc = check(a, e);
    if (rc) return rc;
    struct sim_request *r = a->n <= SIM_MAX_REQUESTS ? mem_try_array(a->n ? a->n : 1, sizeof *r) : NULL;
    if (!r)
        return err_set(e, ERR_LIMIT, "requests", "cannot draw %zu requests: at most %d, or out of memory", a->n,
                       SIM_MAX_REQUESTS);
    double now = 0;
    for (size_t i = 0; i < a->n; i++) {
        now += gap_s(a, i);
        r[i] = (struct sim_request){.arrival_s = now,
                                    .prompt_tokens = length(a->prompt_tokens, a->length_cv, a->seed, STREAM_PROMPT, i),
                                    .output_tokens = length(a->output_tokens, a->length_cv, a->seed, STREAM_OUTPUT, i)};
    }
    *out = r;
    return 0;
}

/* --- a trace --- */

static int refuse_row(const struct csv_reader *r, const char *path, const char *column, const char *text, struct err *e)
{
    return err_set(e, ERR_INPUT, path, "cannot read \"%s\" line %llu: %s is \"%s\", a number of at least %d is needed",
                   path, (unsigned long long)r->line_no, column, text, str_eq(column, "arrival_s") ? 0 : 1);
}

static int read_row(const struct csv_reader *r, const char *path, const int column[3], struct sim_request *out,
                    struct err *e)
{
    const char *arrival = r->field[column[0]].text;
    if (!str_to_double(arrival, &out->arrival_s) || out->arrival_s < 0)
        return refuse_row(r, path, "arrival_s", arrival, e);
    int *tokens[] = {&out->prompt_tokens, &out->output_tokens};
    static const char *const name[] = {"prompt_tokens", "output_tokens"};
    for (size_t k = 0; k < 2; k++) {
        int64_t v;
        const char *text = r->field[column[k + 1]].text;
        if (!str_to_i64(text, &v) || v < 1 || v > MAX_TOKENS) return refuse_row(r, path, name[k], text, e);
        *tokens[k] = (int)v;
    }
    return 0;
}

static int add(struct sim_request **list, size_t *n, size_t *room, const struct sim_request *one, const char *path,
               struct err *e)
{
    if (*n == *room) {
        size_t more = *room ? 2 * *room : 1024;
        struct sim_request *grown = more <= SIM_MAX_REQUESTS ? mem_try_realloc(*list, more * sizeof *grown) : NULL;
        if (!grown)
            return err_set(e, ERR_LIMIT, path, "cannot read \"%s\": more than %d requests or out of memory", path,
                           SIM_MAX_REQUESTS);
        *list = grown;
        *room = more;
    }
    (*list)[(*n)++] = *one;
    return 0;
}

static int by_arrival(const void *a, const void *b)
{
    const struct sim_request *x = a, *y = b;
    return (x->arrival_s > y->arrival_s) - (x->arrival_s < y->arrival_s);
}

int arrivals_read(const char *path, struct sim_request **out, size_t *n, struct err *e)
{
    static const char *const name[] = {"arrival_s", "prompt_tokens", "output_tokens"};
    struct csv_reader r;
    struct sim_request one = {0};
    size_t room = 0;
    int column[3];
    *out = NULL;
    *n = 0;
    int rc = csv_open(&r, path, e);
    for (size_t k = 0; rc == 0 && k < 3; k++) {
        column[k] = csv_column(&r, name[k], e);
        rc = column[k] < 0 ? column[k] : 0;
    }
    while (rc == 0 && (rc = csv_next(&r, e)) == 1) {
        rc = read_row(&r, path, column, &one, e);
        if (rc == 0) rc = add(out, n, &room, &one, path, e);
    }
    csv_close(&r);
    if (rc == 0 && *n == 0) rc = err_set(e, ERR_INPUT, path, "cannot read \"%s\": it has no requests", path);
    if (rc) {
        mem_free(*out);
        *out = NULL;
        return rc;
    }
    qsort(*out, *n, sizeof **out, by_arrival);
    return 0;
}
