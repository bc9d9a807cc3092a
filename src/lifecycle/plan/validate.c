/* Validation. Owns the rows' texts (an arena) and the list of checks. A row that names what the catalogue lacks is
 * skipped with the reason and never counted as right. */
#include "lifecycle/plan/validate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/str.h"
#include "ground/table/csv.h"
#include "lifecycle/plan/catalogue_data.h"
#include "lifecycle/plan/memory.h"

enum { MAX_CHECKS = 1 << 20, MAX_TEXT = 256 << 20 };

/* --- a row --- */

enum column {
    COL_ID,
    COL_CLASS,
    COL_MODEL,
    COL_QUANT,
    COL_KV,
    COL_HARDWARE,
    COL_TP,
    COL_PP,
    COL_DP,
    COL_ENGINE,
    COL_VERSION,
    COL_ISL,
    COL_OSL,
    COL_CONCURRENCY,
    COL_METRIC,
    COL_USE,
    N_COL
};
static const struct {
    const char *name, *otherwise; /* otherwise NULL: the column is needed */
} columns[N_COL] = {{"id", ""},
                    {"class", NULL},
                    {"model", NULL},
                    {"quant", NULL},
                    {"kv_dtype", "fp16"},
                    {"hardware", NULL},
                    {"tp", "1"},
                    {"pp", "1"},
                    {"dp", "1"},
                    {"engine", ""},
                    {"engine_version", ""},
                    {"isl", "1"},
                    {"osl", "1"},
                    {"concurrency", "1"},
                    {"check_metric", NULL},
                    {"use_for_validation", "yes"}};

struct source {
    struct csv_reader csv;
    const char *name;
    int column[N_COL];
};

struct asked { /* numbers of a row */
    double tp, pp, dp, isl, osl, concurrency;
};

static const char *text_of(const struct source *s, enum column c)
{
    const char *text = s->column[c] < 0 ? "" : s->csv.field[s->column[c]].text;
    return *text || !columns[c].otherwise ? text : columns[c].otherwise;
}

static int number_of(const struct source *s, enum column c, double min, double *out, struct err *e)
{
    const char *text = text_of(s, c);
    if (str_to_double(text, out) && *out >= min && *out <= 1e9) return 0;
    return err_set(e, ERR_INPUT, s->name, "cannot read \"%s\" line %llu: %s is \"%.60s\", a number from %g is needed",
                   s->name, (unsigned long long)s->csv.line_no, columns[c].name, text, min);
}

static int read_asked(const struct source *s, struct asked *a, struct err *e)
{
    int rc = number_of(s, COL_TP, 1, &a->tp, e);
    if (rc == 0) rc = number_of(s, COL_PP, 1, &a->pp, e);
    if (rc == 0) rc = number_of(s, COL_DP, 1, &a->dp, e);
    if (rc == 0) rc = number_of(s, COL_ISL, 0, &a->isl, e);
    if (rc == 0) rc = number_of(s, COL_OSL, 0, &a->osl, e);
    return rc ? rc : number_of(s, COL_CONCURRENCY, 1, &a->concurrency, e);
}

/* --- what is predicted for it --- */

static enum plan_stack_id stack_of(const char *class_name, const char *engine, const char *version)
{
    if (strcasecmp(engine, "llama.cpp") == 0 || strcasecmp(engine, "ollama") == 0) return PLAN_STACK_LLAMACPP;
    if (!str_starts(engine, "vLLM") || str_eq(class_name, "silicon")) return PLAN_STACK_TUNED;
    bool old =
        str_starts(version, "0.") && version[2] >= '1' && version[2] <= '6' && (version[3] < '0' || version[3] > '9');
    return old ? PLAN_STACK_VLLM_06 : PLAN_STACK_VLLM;
}

static double memory_gib(const struct plan_system *s, const struct asked *a)
{
    double cache = plan_kv_sequence_bytes(s->model, a->isl + a->osl, s->layout.kv_bits);
    return a->dp * (s->weight_bytes + a->concurrency / a->dp * cache) / 0x1p30;
}

/* 0 and the value, or the reason why there is none. */
static const char *predict(const struct plan_system *s, const char *metric, const struct asked *a, double *out,
                           enum plan_quantity *quantity)
{
    struct plan_load l = {1, (int)a->isl, (int)a->osl};
    struct plan_memory m;
    struct plan_point p;
    plan_memory_of(s, &l, &m);
    plan_point_at(s, a->isl, a->osl, a->concurrency / a->dp, fmax(m.running_sequences, 1), &p);
    if (str_eq(metric, "memory_gib")) return *out = memory_gib(s, a), *quantity = PLAN_MEMORY_BAND, NULL;
    if (str_eq(metric, "decode_tok_s_per_user")) return *out = 1 / p.tpot_s, *quantity = PLAN_DECODE_BAND, NULL;
    if (str_eq(metric, "tpot_ms")) return *out = 1e3 * p.tpot_s, *quantity = PLAN_TPOT_BAND, NULL;
    if (str_eq(metric, "output_tok_s_total"))
        return *out = a->dp * p.output_tok_s, *quantity = PLAN_THROUGHPUT_BAND, NULL;
    if (str_eq(metric, "ttft_ms")) return *out = 1e3 * (p.ttft_s + p.wait_s), *quantity = PLAN_TTFT_BAND, NULL;
    if (str_eq(metric, "prefill_tok_s")) return *out = a->isl / p.prefill_s, *quantity = PLAN_TTFT_BAND, NULL;
    return "its check_metric is none that is predicted";
}

static const char *predict_row(const struct source *s, const struct catalogue *c, const struct asked *a,
                               struct plan_check *k)
{
    const struct plan_model *model = catalogue_model(c, k->model);
    const struct plan_hardware *hardware = catalogue_hardware(c, k->hardware);
    const struct plan_quant *quant = plan_quant_find(k->quant);
    struct plan_layout layout = {(int)a->tp, (int)a->pp, plan_kv_bits(text_of(s, COL_KV))};
    enum plan_quantity quantity;
    struct plan_system system;
    if (!model) return "its model is not in the catalogue";
    if (!hardware) return "its hardware is not in the catalogue";
    if (!quant) return "its quant is unknown";
    if (!(layout.kv_bits > 0)) return "its kv_dtype is unknown";
    enum plan_stack_id stack = stack_of(k->class_name, k->engine, text_of(s, COL_VERSION));
    if (plan_system_init(&system, model, quant, hardware, &layout, stack, NULL))
        return "model, quant, hardware and tp do not go together";
    const char *why = predict(&system, k->metric, a, &k->predicted, &quantity);
    if (why) return why;
    k->error = k->predicted / k->measured - 1;
    k->band = plan_band_of(&system, quantity);
    k->covered = k->measured >= k->predicted * k->band.low && k->measured <= k->predicted * k->band.high;
    return NULL;
}

/* --- the file --- */

static const char *keep(struct plan_validation *v, const char *text)
{
    const char *kept = arena_strndup(&v->arena, text, strlen(text));
    return kept ? kept : "";
}

static int read_measured(const struct source *s, struct plan_check *k, struct err *e)
{
    int column = csv_column(&s->csv, k->metric, NULL);
    const char *text = column < 0 ? "" : s->csv.field[column].text;
    if (str_to_double(text, &k->measured) && k->measured > 0) return 0;
    return err_set(
        e, ERR_INPUT, s->name,
        "cannot read \"%s\" line %llu: check_metric is \"%.60s\" and that column is \"%.60s\", a number above 0 is "
        "needed",
        s->name, (unsigned long long)s->csv.line_no, k->metric, text);
}

static int add_check(struct plan_validation *v, const struct source *s, const struct catalogue *c, struct err *e)
{
    struct plan_check k = {.id = keep(v, text_of(s, COL_ID)),
                           .class_name = keep(v, text_of(s, COL_CLASS)),
                           .model = keep(v, text_of(s, COL_MODEL)),
                           .quant = keep(v, text_of(s, COL_QUANT)),
                           .hardware = keep(v, text_of(s, COL_HARDWARE)),
                           .engine = keep(v, text_of(s, COL_ENGINE)),
                           .metric = keep(v, text_of(s, COL_METRIC))};
    struct asked a;
    if (!str_eq(text_of(s, COL_USE), "yes")) {
        v->n_unused++;
        return 0;
    }
    int rc = read_measured(s, &k, e);
    if (rc == 0) rc = read_asked(s, &a, e);
    if (rc) return rc;
    k.skipped = predict_row(s, c, &a, &k);
    v->n_skipped += k.skipped != NULL;
    struct plan_check *more = v->n < MAX_CHECKS ? mem_try_realloc(v->check, (v->n + 1) * sizeof *more) : NULL;
    if (!more)
        return err_set(e, ERR_LIMIT, s->name, "cannot read \"%s\": more than %d rows or out of memory", s->name,
                       MAX_CHECKS);
    v->check = more;
    v->check[v->n++] = k;
    return 0;
}

static int find_columns(struct source *s, struct err *e)
{
    for (int i = 0; i < N_COL; i++) {
        s->column[i] = csv_column(&s->csv, columns[i].name, columns[i].otherwise ? NULL : e);
        if (s->column[i] < 0 && !columns[i].otherwise) return s->column[i];
    }
    return 0;
}

static int read_checks(struct plan_validation *v, struct source *s, const struct catalogue *c, struct err *e)
{
    int rc = find_columns(s, e);
    while (rc == 0 && (rc = csv_next(&s->csv, e)) == 1) rc = add_check(v, s, c, e);
    return rc;
}

/* --- by class --- */

static int by_error(const void *a, const void *b)
{
    const struct plan_check *x = a, *y = b;
    if (!x->skipped != !y->skipped) return x->skipped ? 1 : -1;
    double p = fabs(x->error), q = fabs(y->error);
    return p > q ? -1 : p < q;
}

/* Of n errors, worst first: the k-th smallest, k from 0. */
static double kth(const double *worst_first, size_t n, size_t k)
{
    return worst_first[n - 1 - k];
}

/* The accuracy that is asked of each class. */
static double gate_of(const char *name)
{
    static const struct {
        const char *name;
        double gate;
    } gates[] = {{"memory", 0.03}, {"llamacpp", 0.12}, {"vllm1", 0.15},
                 {"serve", 0.15},  {"sat", 0.25},      {"silicon", 0.20}};
    for (size_t i = 0; i < N_ELEM(gates); i++)
        if (str_eq(gates[i].name, name)) return gates[i].gate;
    return 0;
}

static void sum_class(const struct plan_validation *v, struct plan_class *c)
{
    double *errors = mem_alloc((v->n + 1) * sizeof *errors);
    size_t n = 0, near = 0, covered = 0;
    for (size_t i = 0; i < v->n; i++) {
        const struct plan_check *k = &v->check[i];
        if (k->skipped || !str_eq(k->class_name, c->name)) continue;
        errors[n++] = fabs(k->error);
        near += fabs(k->error) <= 0.3;
        covered += k->covered;
    }
    c->rows = n;
    c->gate = gate_of(c->name);
    if (n) {
        c->median_error = (kth(errors, n, n / 2) + kth(errors, n, (n - 1) / 2)) / 2;
        c->p80_error = kth(errors, n, (size_t)ceil(0.8 * (double)n) - 1);
        c->within_30 = (double)near / (double)n;
        c->coverage = (double)covered / (double)n;
    }
    mem_free(errors);
}

static void sum_classes(struct plan_validation *v)
{
    size_t covered = 0;
    for (size_t i = 0; i < v->n; i++) {
        bool known = v->check[i].skipped || v->n_class == PLAN_CLASSES_MAX;
        for (size_t k = 0; k < v->n_class; k++) known |= str_eq(v->class_of[k].name, v->check[i].class_name);
        if (!known) v->class_of[v->n_class++].name = v->check[i].class_name;
        covered += !v->check[i].skipped && v->check[i].covered;
    }
    for (size_t k = 0; k < v->n_class; k++) sum_class(v, &v->class_of[k]);
    v->coverage = v->n > v->n_skipped ? (double)covered / (double)(v->n - v->n_skipped) : 0;
}

int plan_validate(const struct catalogue *c, const char *path, struct plan_validation *out, struct err *e)
{
    struct source s = {.name = path ? path : "measurements.csv"};
    size_t n;
    *out = (struct plan_validation){0};
    arena_init(&out->arena, MAX_TEXT);
    const char *text = catalogue_data("measurements.csv", &n);
    int rc = path ? csv_open(&s.csv, path, e) : csv_open_memory(&s.csv, s.name, text, n, e);
    if (rc == 0) rc = read_checks(out, &s, c, e);
    csv_close(&s.csv);
    if (rc) return rc;
    if (out->n) qsort(out->check, out->n, sizeof *out->check, by_error);
    sum_classes(out);
    return 0;
}

void plan_validation_free(struct plan_validation *v)
{
    mem_free(v->check);
    arena_deinit(&v->arena);
    *v = (struct plan_validation){0};
}
