/* GRPO's losses: known identities, derivatives by differences, and losses, divergence, clipping and gradients as
 * PyTorch computes them, through the tape with a weight for every token. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/formats/safetensors.h"
#include "compute/model/tape.h"
#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/train/pack.h"
#include "lifecycle/train/policy_loss.h"

#define MUST(call)                              \
    do {                                        \
        if ((call) != 0) fail_msg("%s", e.msg); \
    } while (0)

static void test_advantages(void **state)
{
    (void)state;
    static const double reward[] = {1, 0, 0, 1, 0.5, 0.5, 0.5, 0.5};
    double a[8];
    assert_int_equal(policy_advantages(reward, 8, 4, POLICY_BY_GROUP, a), 1);
    double spread = sqrt(4 * 0.25 / 3);
    assert_true(fabs(a[0] - 0.5 / (spread + 1e-4)) < 1e-15 && a[1] == -a[0] && a[2] == -a[0] && a[3] == a[0]);
    for (int i = 4; i < 8; i++) assert_true(a[i] == 0); /* equal rewards: no gradient */
    policy_advantages(reward, 8, 4, POLICY_UNSCALED, a);
    assert_true(a[0] == 0.5 && a[1] == -0.5);
    /* rewards that have no exact mean are still equal */
    static const double third[] = {0.1, 0.1, 0.1};
    assert_int_equal(policy_advantages(third, 3, 3, POLICY_BY_GROUP, a), 1);
    assert_true(a[0] == 0 && a[1] == 0 && a[2] == 0);
}

static void test_token(void **state)
{
    (void)state;
    struct policy_output out, up, down;
    const struct policy_config c = {.clip_low = 0.2, .clip_high = 0.3, .beta = 0.04};
    policy_token(&c, &(struct policy_input){-2, -2, -2, 1.5}, &out);
    assert_true(out.loss == -1.5 && out.slope == -1.5 && out.kl == 0 && !out.is_clipped); /* the ratio is exactly 1 */
    policy_token(&c, &(struct policy_input){-1, -2, -1, 1}, &out);
    assert_true(out.is_clipped && out.loss == -1.3 && out.slope == 0);
    policy_token(&c, &(struct policy_input){-3, -2, -3, -1}, &out);
    assert_true(out.is_clipped && out.loss == 0.8 && out.slope == 0);
    policy_token(&c, &(struct policy_input){-3, -2, -3, 1}, &out);
    assert_true(!out.is_clipped); /* a good token that has become rare is not held back */
    for (uint64_t i = 0; i < 200; i++) {
        struct policy_input in = {-4 * rng_unit(1, 1, i), -4 * rng_unit(1, 2, i), -4 * rng_unit(1, 3, i),
                                  2 * rng_unit(1, 4, i) - 1};
        double h = 1e-6;
        policy_token(&c, &in, &out);
        struct policy_input a = in, b = in;
        a.logp += h, b.logp -= h;
        policy_token(&c, &a, &up);
        policy_token(&c, &b, &down);
        double slope = (up.loss - down.loss) / (2 * h);
        if (up.is_clipped == down.is_clipped && fabs(slope - out.slope) > 1e-6 * (1 + fabs(slope)))
            fail_msg("case %d: slope %.9g, by differences %.9g", (int)i, out.slope, slope);
    }
}

/* --- the golden values --- */

enum { N_ANSWER = 8, GROUP = 4, MAX_LEN = 18 };

struct golden {
    struct safetensors *s;
    json_t *meta;
    struct train_rows rows;
    struct dev *dev;
    struct model_file *file;
    struct model *model;
    struct adapter *adapter;
    struct tape *tape;
    float *grads;
    size_t n_param;
    double advantage[N_ANSWER];
};

static void read_ints(const struct safetensors *s, const char *name, int32_t *out, size_t *n)
{
    struct err e;
    const struct tensor_info *t = safetensors_find(s, name);
    assert_non_null(t);
    *n = (size_t)t->n_bytes / 4;
    assert_true(*n <= 64);
    MUST(safetensors_read(s, t, out, 0, (size_t)t->n_bytes, &e));
}

static void read_rows(struct golden *g)
{
    g->rows = (struct train_rows){.unit = 1};
    for (int i = 0; i < N_ANSWER; i++) {
        char name[32];
        int32_t ids[64], labels[64];
        size_t n;
        snprintf(name, sizeof(name), "row.%d.ids", i);
        read_ints(g->s, name, ids, &n);
        snprintf(name, sizeof(name), "row.%d.labels", i);
        read_ints(g->s, name, labels, &n);
        assert_int_equal(train_rows_add(&g->rows, ids, labels, n, (uint32_t)i), 0);
    }
}

static void write_init(const struct safetensors *s, const char *dir)
{
    struct safetensors_item item[64];
    size_t n = 0;
    struct err e;
    char *path = path_join(dir, "adapter_model.safetensors"), *config = path_join(dir, "adapter_config.json");
    for (size_t i = 0; i < safetensors_n_tensor(s); i++) {
        const struct tensor_info *t = safetensors_tensor(s, i);
        if (!str_starts(t->name, "init.")) continue;
        float *data = calloc(1, (size_t)t->n_bytes);
        MUST(safetensors_read_f32(s, t, data, (size_t)t->n_bytes / 4, &e));
        item[n++] = (struct safetensors_item){t->name + 5, TENSOR_F32, {t->shape[0], t->shape[1]}, 2, data};
    }
    MUST(safetensors_save(path, item, n, NULL, &e));
    for (size_t i = 0; i < n; i++) free((float *)(uintptr_t)item[i].data);
    static const char text[] = "{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"target_modules\":[\"q_proj\",\"k_"
                               "proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]}";
    MUST(file_write_atomic(config, text, strlen(text), &e));
    mem_free(path), mem_free(config);
}

static struct golden golden_open(const char *dir)
{
    struct golden g;
    struct err e;
    struct dev_options o = {.n_thread = 2, .precision = PRECISION_REFERENCE, .isa = kern_isa_detect()};
    float reward[N_ANSWER];
    double r[N_ANSWER];
    MUST(safetensors_open(&g.s, "tests/data/golden/train/grpo.safetensors", &e));
    MUST(json_read_file("tests/data/golden/train/grpo.json", 1 << 20, &g.meta, &e));
    read_rows(&g);
    write_init(g.s, dir);
    MUST(dev_cpu_new(&g.dev, &o, &e));
    MUST(model_file_open(&g.file, "tests/data/golden/models/qwen3", &e));
    MUST(model_load(&g.model, g.dev, g.file, &e));
    MUST(adapter_load(&g.adapter, g.model, dir, &e));
    MUST(adapter_grads(g.adapter, &g.grads, &e));
    g.n_param = adapter_n_param(g.adapter);
    struct tape_options t = {.max_tok = 256, .max_segment = 2 * N_ANSWER, .rank = 4};
    MUST(tape_new(&g.tape, g.model, &t, &e));
    MUST(safetensors_read_f32(g.s, safetensors_find(g.s, "rewards"), reward, N_ANSWER, &e));
    for (int i = 0; i < N_ANSWER; i++) r[i] = (double)reward[i];
    policy_advantages(r, N_ANSWER, GROUP, POLICY_BY_GROUP, g.advantage);
    return g;
}

static void golden_close(struct golden *g)
{
    tape_free(g->tape);
    adapter_free(g->adapter);
    model_free(g->model);
    model_file_close(g->file);
    dev_free(g->dev);
    train_rows_deinit(&g->rows);
    json_decref(g->meta);
    safetensors_close(g->s);
}

/* One step: weights of the tokens from their losses. */
struct step {
    struct golden *g;
    const struct packer *p;
    struct policy_config c;
    float old[N_ANSWER][MAX_LEN], reference[256];
    double loss, kl, clipped;
};

/* Position of target i in its answer's row, as golden arrays count: that of the token before it. */
static size_t position(const struct step *s, size_t i, size_t *seen)
{
    const struct train_rows *r = &s->g->rows;
    uint32_t row = s->p->of_row[i];
    size_t at = train_row_given(r, row) + seen[row]++;
    assert_true(at <= MAX_LEN);
    return at - 1;
}

static void weigh(void *arg, const float *loss)
{
    struct step *s = arg;
    const struct packer *p = s->p;
    size_t seen[N_ANSWER] = {0}, n_tok = p->n_target;
    for (size_t i = 0; i < p->n_target; i++) {
        uint32_t row = p->of_row[i];
        struct policy_output out;
        struct policy_input in = {-(double)loss[i], (double)s->old[row][position(s, i, seen)], -(double)s->reference[i],
                                  s->g->advantage[row]};
        policy_token(&s->c, &in, &out);
        double by = policy_denominator(&s->c, train_row_targets(&s->g->rows, row), n_tok, N_ANSWER);
        s->loss += out.loss / by;
        s->kl += out.kl / (double)n_tok;
        /* the file counts ratios outside the range, also those that the minimum leaves as they are */
        s->clipped += fabs(exp(in.logp - in.old) - 1) > s->c.clip_low ? 1 / (double)n_tok : 0;
        p->weight[i] = (float)(-out.slope / by);
    }
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-4 * fabs(b) + 1e-7;
}

static void check_gradients(struct golden *g, const char *kind, const char *dir)
{
    struct err e;
    struct safetensors *got;
    char prefix[64], *path = path_join(dir, "gradients"), *file = path_join(path, "adapter_model.safetensors");
    float *params = calloc(g->n_param, sizeof(*params)), *grads = calloc(g->n_param, sizeof(*grads));
    int n_checked = 0;
    snprintf(prefix, sizeof(prefix), "%s.grad.", kind);
    dev_read(g->dev, params, adapter_params(g->adapter), g->n_param);
    dev_read(g->dev, grads, g->grads, g->n_param);
    dev_write(g->dev, adapter_params(g->adapter), grads, g->n_param);
    MUST(adapter_save(g->adapter, path, "base", NULL, &e));
    dev_write(g->dev, adapter_params(g->adapter), params, g->n_param);
    MUST(safetensors_open(&got, file, &e));
    for (size_t i = 0; i < safetensors_n_tensor(g->s); i++) {
        const struct tensor_info *want = safetensors_tensor(g->s, i);
        if (!str_starts(want->name, prefix)) continue;
        const struct tensor_info *have = safetensors_find(got, want->name + strlen(prefix));
        size_t n = (size_t)want->n_bytes / 4;
        float *a = calloc(n, sizeof(*a)), *b = calloc(n, sizeof(*b));
        double worst = 0, largest = 0;
        assert_non_null(have);
        MUST(safetensors_read_f32(g->s, want, a, n, &e));
        MUST(safetensors_read_f32(got, have, b, n, &e));
        for (size_t k = 0; k < n; k++) {
            worst = fmax(worst, fabs((double)(a[k] - b[k])));
            largest = fmax(largest, fabs((double)a[k]));
        }
        if (!(worst < 1e-4 * largest)) fail_msg("%s is off by %g of %g", want->name, worst, largest);
        free(a), free(b);
        n_checked++;
    }
    assert_int_equal(n_checked, 4 * 7 * 2);
    safetensors_close(got);
    free(params), free(grads);
    mem_free(path), mem_free(file);
}

/* Loss, divergence, clipped share and gradient norm of one case of the file; true where its gradients are the file's.
 */
static bool check_case(struct golden *g, struct packer *p, const json_t *want)
{
    static const char *const norm[] = {"grpo", "bnpo", "dr_grpo"};
    const char *kind = json_string_value(json_object_get(want, "case"));
    const char *type = json_string_value(json_object_get(want, "loss_type"));
    struct err e;
    struct step s = {.g = g, .p = p, .c = {.clip_low = 0.2, .clip_high = 0.2, .beta = 0.04, .max_completion = 16}};
    float loss[256];
    uint32_t all[N_ANSWER];
    char name[64];
    for (int i = 0; i < 3; i++)
        if (str_eq(type, norm[i])) s.c.norm = (enum policy_norm)i;
    snprintf(name, sizeof(name), "%s.old_logps", kind);
    MUST(safetensors_read_f32(g->s, safetensors_find(g->s, name), s.old[0], N_ANSWER * MAX_LEN, &e));
    for (uint32_t i = 0; i < N_ANSWER; i++) all[i] = i;
    packer_begin(p, all, N_ANSWER);
    assert_true(packer_next(p, 1));
    MUST(tape_step(g->tape, &p->batch, NULL, false, s.reference, NULL, &e));
    p->batch.weigh = weigh;
    p->batch.weigh_arg = &s;
    dev_zero(g->dev, g->grads, g->n_param);
    MUST(tape_step(g->tape, &p->batch, g->adapter, true, loss, NULL, &e));
    double grad_norm = sqrt(dev_sum_squares(g->dev, g->grads, g->n_param));
    if (!near(s.loss, json_real_value(json_object_get(want, "loss"))) ||
        !near(s.kl, json_real_value(json_object_get(want, "kl"))) ||
        !near(s.clipped, json_real_value(json_object_get(want, "clipped"))) ||
        !near(grad_norm, json_real_value(json_object_get(want, "grad_norm"))))
        fail_msg("%s %s: loss %.9g, kl %.9g, clipped %.9g, gradient norm %.9g", kind, type, s.loss, s.kl, s.clipped,
                 grad_norm);
    return true;
}

static double norm_of(const struct safetensors *s, const char *prefix)
{
    struct err e;
    double sum = 0;
    for (size_t i = 0; i < safetensors_n_tensor(s); i++) {
        const struct tensor_info *t = safetensors_tensor(s, i);
        if (!str_starts(t->name, prefix)) continue;
        size_t n = (size_t)t->n_bytes / 4;
        float *x = calloc(n, sizeof(*x));
        MUST(safetensors_read_f32(s, t, x, n, &e));
        for (size_t k = 0; k < n; k++) sum += (double)x[k] * (double)x[k];
        free(x);
    }
    return sqrt(sum);
}

static void check_golden(bool share)
{
    char dir[] = "/tmp/tailor-policy-XXXXXX", prefix[64];
    struct err e;
    struct packer p;
    size_t i;
    json_t *want;
    int n_gradient = 0;
    assert_non_null(mkdtemp(dir));
    struct golden g = golden_open(dir);
    MUST(packer_init(&p, &g.rows, N_ANSWER, 4096, share, &e));
    p.own = true;
    json_array_foreach(json_object_get(g.meta, "results"), i, want)
    {
        const char *kind = json_string_value(json_object_get(want, "case"));
        check_case(&g, &p, want);
        snprintf(prefix, sizeof(prefix), "%s.grad.", kind);
        if (!near(norm_of(g.s, prefix), json_real_value(json_object_get(want, "grad_norm")))) continue;
        check_gradients(&g, kind, dir);
        n_gradient++;
    }
    assert_int_equal(i, 6);
    assert_int_equal(n_gradient, 2);
    packer_deinit(&p);
    golden_close(&g);
    assert_int_equal(file_remove_tree(dir, &e), 0);
}

static void test_golden(void **state)
{
    (void)state;
    check_golden(true);
    check_golden(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_advantages),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
