/* Methods that compare answers: their losses and derivatives as functions, losses, log-probabilities and gradients that
 * PyTorch and PEFT compute, what must hold at the first step, equality of micro-batches and packing, and whole runs. */
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
#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/train/method.h"
#include "lifecycle/train/preference.h"
#include "tuning_runs.h"

/* --- losses as functions --- */

static double loss_at(const struct method_config *c, struct method_input in, int which, double h)
{
    struct method_output out;
    in.logp[which] += h;
    method_loss(c, &in, &out);
    return out.loss;
}

static void test_slopes(void **state)
{
    (void)state;
    const struct method_config config[] = {
        {.kind = METHOD_DPO, .beta = 0.3},
        {.kind = METHOD_DPO, .beta = 0.3, .ipo = true},
        {.kind = METHOD_ORPO, .lambda = 0.7},
        {.kind = METHOD_KTO, .beta = 0.4, .desirable_weight = 1.5, .undesirable_weight = 0.5},
    };
    for (size_t m = 0; m < N_ELEM(config); m++)
        for (uint64_t i = 0; i < 40; i++) {
            struct method_input in = {.desirable = i % 2 == 0, .kl = rng_unit(4, m, i)};
            struct method_output out;
            for (uint64_t k = 0; k < 2; k++) {
                in.logp[k] = -0.01 - 6 * rng_unit(1, k, i);
                in.reference[k] = -6 * rng_unit(2, k, i);
            }
            method_loss(&config[m], &in, &out);
            for (int k = 0; k < 2; k++) {
                double h = 1e-5, slope = (loss_at(&config[m], in, k, h) - loss_at(&config[m], in, k, -h)) / (2 * h);
                if (fabs(slope - out.slope[k]) > 1e-6 * (1 + fabs(slope)))
                    fail_msg("method %zu, case %d, side %d: slope %.9g, by differences %.9g", m, (int)i, k,
                             out.slope[k], slope);
            }
        }
}

/* What is known without a computer; and that nothing overflows where answers are certain or impossible. */
static void test_identities(void **state)
{
    (void)state;
    struct method_output out;
    const struct method_config dpo = {.kind = METHOD_DPO, .beta = 0.1};
    method_loss(&dpo, &(struct method_input){.logp = {-7, -3}, .reference = {-7, -3}}, &out);
    assert_true(out.loss == log(2) && out.reward[0] == 0 && out.reward[1] == 0);
    const struct method_config ipo = {.kind = METHOD_DPO, .beta = 0.25, .ipo = true};
    method_loss(&ipo, &(struct method_input){.logp = {-1, -3}, .reference = {0, 0}}, &out);
    assert_true(out.loss == 0 && out.slope[0] == 0); /* the ratio is 1 / (2 beta) */
    /* two tokens, one of probability 0.8: log odds are log 4 and -log 4 */
    const struct method_config orpo = {.kind = METHOD_ORPO, .lambda = 1};
    method_loss(&orpo, &(struct method_input){.logp = {log(0.8), log(0.2)}}, &out);
    assert_true(fabs(out.loss - log1p(1.0 / 16)) < 1e-12);
    const struct method_config kto = {.kind = METHOD_KTO, .beta = 0.1, .desirable_weight = 2, .undesirable_weight = 1};
    method_loss(&kto, &(struct method_input){.logp = {-5}, .reference = {-5}, .desirable = true}, &out);
    assert_true(out.loss == 1);
    const struct method_config *const all[] = {&dpo, &ipo, &orpo, &kto};
    for (size_t m = 0; m < N_ELEM(all); m++)
        for (int i = 0; i < 4; i++) {
            struct method_input in = {.logp = {i & 1 ? 0 : -1e5, i & 2 ? 0 : -1e5}};
            method_loss(all[m], &in, &out);
            assert_true(isfinite(out.loss) && isfinite(out.slope[0]) && isfinite(out.slope[1]));
        }
}

/* --- a trainer on the tiny model --- */

#define MUST(call)                              \
    do {                                        \
        if ((call) != 0) fail_msg("%s", e.msg); \
    } while (0)

/* --- the golden values --- */

static json_t *ids_of(const struct safetensors *s, const char *name)
{
    struct err e;
    int32_t value[64];
    const struct tensor_info *t = safetensors_find(s, name);
    json_t *list = json_array();
    assert_non_null(t);
    assert_true(t->n_bytes <= sizeof(value));
    MUST(safetensors_read(s, t, value, 0, (size_t)t->n_bytes, &e));
    for (size_t i = 0; i < t->n_bytes / 4; i++) json_array_append_new(list, json_integer(value[i]));
    return list;
}

static json_t *answer_of(const struct safetensors *s, const char *side, int i)
{
    char ids[64], labels[64];
    snprintf(ids, sizeof(ids), "%s.%d.ids", side, i);
    snprintf(labels, sizeof(labels), "%s.%d.labels", side, i);
    return json_pack("{s:o,s:o}", "ids", ids_of(s, ids), "labels", ids_of(s, labels));
}

static void write_pairs(const struct safetensors *s, const char *dir)
{
    char *path = path_join(dir, "pairs.jsonl");
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 3; i++) {
        json_t *row =
            json_pack("{s:o,s:o}", "chosen", answer_of(s, "chosen", i), "rejected", answer_of(s, "rejected", i));
        json_dumpf(row, f, JSON_COMPACT);
        fputc('\n', f);
        json_decref(row);
    }
    fclose(f);
    mem_free(path);
}

/* Tensors "init.*" as a PEFT directory. */
static void write_init(const struct safetensors *s, const char *dir)
{
    struct safetensors_item item[64];
    size_t n = 0;
    struct err e;
    char *init = path_join(dir, "init"), *path = path_join(init, "adapter_model.safetensors"),
         *config = path_join(init, "adapter_config.json");
    MUST(file_mkdirs(init, &e));
    for (size_t i = 0; i < safetensors_n_tensor(s); i++) {
        const struct tensor_info *t = safetensors_tensor(s, i);
        if (!str_starts(t->name, "init.")) continue;
        float *data = calloc(1, (size_t)t->n_bytes);
        MUST(safetensors_read_f32(s, t, data, (size_t)t->n_bytes / 4, &e));
        item[n++] = (struct safetensors_item){t->name + 5, TENSOR_F32, {t->shape[0], t->shape[1]}, 2, data};
    }
    MUST(safetensors_save(path, item, n, NULL, &e));
    for (size_t i = 0; i < n; i++) free((float *)(uintptr_t)item[i].data);
    static const char text[] = "{\"peft_type\":\"LORA\",\"task_type\":\"CAUSAL_LM\",\"r\":4,\"lora_alpha\":8,"
                               "\"lora_dropout\":0.0,\"bias\":\"none\",\"target_modules\":[\"q_proj\",\"k_proj\",\"v_"
                               "proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]}";
    MUST(file_write_atomic(config, text, strlen(text), &e));
    mem_free(init), mem_free(path), mem_free(config);
}

/* The gradients, saved as if they were the adapter: names and order of rows are then those of PEFT. */
static void check_gradients(struct trainer *t, const struct safetensors *s, const char *dir)
{
    struct err e;
    struct safetensors *got;
    char *path = path_join(dir, "gradients"), *file = path_join(path, "adapter_model.safetensors");
    float *g = calloc(t->n_param, sizeof(*g));
    int n_checked = 0;
    dev_read(t->dev, g, t->grads, t->n_param);
    dev_write(t->dev, t->params, g, t->n_param);
    MUST(adapter_save(t->adapter, path, "base", NULL, &e));
    MUST(safetensors_open(&got, file, &e));
    for (size_t i = 0; i < safetensors_n_tensor(s); i++) {
        const struct tensor_info *want = safetensors_tensor(s, i);
        if (!str_starts(want->name, "grad.")) continue;
        const struct tensor_info *have = safetensors_find(got, want->name + 5);
        size_t n = (size_t)want->n_bytes / 4;
        float *a = calloc(n, sizeof(*a)), *b = calloc(n, sizeof(*b));
        double worst = 0, largest = 0;
        assert_non_null(have);
        MUST(safetensors_read_f32(s, want, a, n, &e));
        MUST(safetensors_read_f32(got, have, b, n, &e));
        for (size_t k = 0; k < n; k++) {
            worst = fmax(worst, fabs((double)(a[k] - b[k])));
            largest = fmax(largest, fabs((double)a[k]));
        }
        if (!(worst < 1e-4 * largest)) fail_msg("%s is off by %g of %g", want->name, worst, largest);
        free(a), free(b);
        n_checked++;
    }
    assert_true(n_checked == 4 * 7 * 2);
    safetensors_close(got);
    free(g);
    mem_free(path), mem_free(file);
}

static bool near(double a, double b, double rel)
{
    return fabs(a - b) <= rel * fabs(b);
}

static void check_scores(const struct trainer *t, const json_t *golden)
{
    static const char *const name[] = {"chosen_logps", "rejected_logps", "ref_chosen_logps", "ref_rejected_logps"};
    for (size_t i = 0; i < 12; i++) {
        const double *have = i / 3 < 2 ? t->preference->train.logp : t->preference->train.reference;
        const json_t *want = json_array_get(json_object_get(golden, name[i / 3]), i % 3);
        double x = have[2 * (i % 3) + i / 3 % 2], y = json_real_value(want);
        if (!near(x, y, 1e-5)) fail_msg("%s[%zu] is %.9g, not %.9g", name[i / 3], i % 3, x, y);
    }
}

static void check_golden(const char *method, const char *batch, const char *packing)
{
    static const uint32_t all[] = {0, 1, 2};
    char *dir = place_new(), path[200], data[200], init[200], how[200], size[64], pack[64];
    struct safetensors *s;
    struct bench b;
    struct trainer t;
    struct step_result r = {0};
    struct err e;
    json_t *golden;
    snprintf(path, sizeof(path), "tests/data/golden/train/%s.safetensors", method);
    MUST(safetensors_open(&s, path, &e));
    snprintf(path, sizeof(path), "tests/data/golden/train/%s.json", method);
    MUST(json_read_file(path, 1 << 20, &golden, &e));
    write_pairs(s, dir);
    write_init(s, dir);
    snprintf(data, sizeof(data), "data=%s/pairs.jsonl", dir);
    snprintf(init, sizeof(init), "adapter_init=%s/init", dir);
    snprintf(how, sizeof(how), "method=%s", method);
    snprintf(size, sizeof(size), "batch_size=%s", batch);
    snprintf(pack, sizeof(pack), "packing=%s", packing);
    const char *field[] = {"base=tests/data/golden/models/llama",
                           data,
                           init,
                           how,
                           size,
                           pack,
                           "data_format=tokens",
                           "output=/tmp/none",
                           "rank=4",
                           "alpha=8",
                           NULL};
    MUST(bench_new(&b, field, 2, PRECISION_REFERENCE, &e));
    MUST(trainer_setup(&t, &b.request, &e));
    MUST(preference_measure(&t, &e));
    dev_zero(t.dev, t.grads, t.n_param);
    MUST(preference_gradient(&t, all, 3, 0, &r, &e));
    if (!near(r.loss, json_real_value(json_object_get(golden, "loss")), 1e-5))
        fail_msg("%s: loss %.9g, not %.9g", method, r.loss, json_real_value(json_object_get(golden, "loss")));
    if (str_eq(method, "dpo")) check_scores(&t, golden);
    check_gradients(&t, s, dir);
    trainer_deinit(&t);
    bench_free(&b);
    json_decref(golden);
    safetensors_close(s);
    place_free(dir);
}

static void test_golden(void **state)
{
    (void)state;
    static const char *const method[] = {"dpo", "orpo"};
    for (size_t i = 0; i < N_ELEM(method); i++) {
        check_golden(method[i], "8", "true");
        check_golden(method[i], "8", "false");
        check_golden(method[i], "1", "true"); /* three micro-batches: the same denominators */
        check_golden(method[i], "2", "true");
    }
}

/* --- rows of our own --- */

/* Pairs (or judged answers) of one prompt each: good answers are of small ids, bad ones of large ids. */
static void write_rows(const char *dir, const char *name, int n_row, bool judged)
{
    char *path = path_join(dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int r = 0; r < n_row; r++) {
        json_t *side[2];
        for (int k = 0; k < 2; k++) {
            json_t *ids = json_array(), *labels = json_array();
            int n_answer = 3 + (int)rng_below(4, 9, (uint64_t)k, (uint64_t)r);
            for (int i = 0; i < 6 + n_answer; i++) {
                int id = (int)rng_below(280, 5, (uint64_t)r, (uint64_t)i);
                if (i < 4) id = 7 + i; /* all prompts begin alike */
                if (i >= 6) id = (k == 0 ? 10 : 200) + (int)rng_below(20, 6, (uint64_t)(2 * r + k), (uint64_t)i);
                json_array_append_new(ids, json_integer(id));
                json_array_append_new(labels, json_integer(i < 6 ? -100 : id));
            }
            side[k] = json_pack("{s:o,s:o}", "ids", ids, "labels", labels);
        }
        for (int k = 0; judged && k < 2; k++) {
            json_object_set_new(side[k], "label", json_boolean(k == 0));
            json_dumpf(side[k], f, JSON_COMPACT);
            fputc('\n', f);
        }
        json_t *pair = json_pack("{s:o,s:o}", "chosen", side[0], "rejected", side[1]);
        if (!judged) {
            json_dumpf(pair, f, JSON_COMPACT);
            fputc('\n', f);
        }
        json_decref(pair);
    }
    fclose(f);
    mem_free(path);
}

/* A fresh adapter changes nothing: the loss of DPO is ln 2 to the bit and every reward 0, KTO's is half the weights,
 * and the reference is the policy. */
static void test_first_step(void **state)
{
    (void)state;
    static const struct {
        const char *method, *more;
        double loss;
        bool judged;
    } cases[] = {{"method=dpo", "beta=0.1", 0.69314718055994529, false},
                 {"method=dpo", "dpo_loss=ipo", 25, false}, /* (0 - 1 / (2 beta))^2 */
                 {"method=kto", "beta=0.3", 0.5, true}};
    char *dir = place_new(), data[200];
    write_rows(dir, "pairs", 6, false);
    write_rows(dir, "judged", 6, true);
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        struct bench b;
        struct trainer t;
        struct step_result r = {0};
        struct err e;
        uint32_t all[12];
        snprintf(data, sizeof(data), "data=%s/%s", dir, cases[i].judged ? "judged" : "pairs");
        const char *field[] = {"base=tests/data/golden/models/llama",
                               data,
                               cases[i].method,
                               cases[i].more,
                               "data_format=tokens",
                               "output=/tmp/none",
                               "rank=4",
                               NULL};
        MUST(bench_new(&b, field, 1, PRECISION_REFERENCE, &e));
        MUST(trainer_setup(&t, &b.request, &e));
        MUST(preference_measure(&t, &e));
        for (uint32_t k = 0; k < t.plan.n_row; k++) all[k] = k;
        MUST(preference_gradient(&t, all, t.plan.n_row, 0, &r, &e));
        if (fabs(r.loss - cases[i].loss) > 1e-15 * cases[i].loss)
            fail_msg("%s: loss %.17g, not %.17g", cases[i].method, r.loss, cases[i].loss);
        assert_true(r.preference.reward[0] == 0 && r.preference.reward[1] == 0 && r.preference.kl == 0);
        assert_true(dev_sum_squares(t.dev, t.grads, t.n_param) > 0);
        trainer_deinit(&t);
        bench_free(&b);
    }
    place_free(dir);
}

/* Answers in the same part or not, prompts shared or repeated: the same gradient of KTO. */
static void test_kto_parts(void **state)
{
    (void)state;
    static const char *const how[][2] = {
        {"batch_size=12", "packing=true"}, {"batch_size=5", "packing=false"}, {"batch_size=1", "packing=true"}};
    char *dir = place_new(), data[200];
    float *first = NULL, *g = NULL;
    write_rows(dir, "judged", 6, true);
    snprintf(data, sizeof(data), "data=%s/judged", dir);
    for (size_t i = 0; i < N_ELEM(how); i++) {
        struct bench b;
        struct trainer t;
        struct step_result r = {0};
        struct err e;
        uint32_t all[12];
        const char *field[] = {"base=tests/data/golden/models/llama",
                               data,
                               "method=kto",
                               how[i][0],
                               how[i][1],
                               "data_format=tokens",
                               "output=/tmp/none",
                               "rank=4",
                               NULL};
        MUST(bench_new(&b, field, 1, PRECISION_REFERENCE, &e));
        MUST(trainer_setup(&t, &b.request, &e));
        MUST(preference_measure(&t, &e));
        g = calloc(t.n_param, sizeof(*g));
        for (size_t k = 0; k < t.n_param; k++) g[k] = (float)(0.1 * rng_normal(3, 3, k));
        dev_write(t.dev, t.params, g, t.n_param);
        adapter_update(t.adapter);
        for (uint32_t k = 0; k < 12; k++) all[k] = k;
        MUST(preference_gradient(&t, all, 12, 0, &r, &e));
        dev_read(t.dev, g, t.grads, t.n_param);
        double worst = 0, largest = 0;
        for (size_t k = 0; i > 0 && k < t.n_param; k++) {
            worst = fmax(worst, fabs((double)(g[k] - first[k])));
            largest = fmax(largest, fabs((double)first[k]));
        }
        if (worst > 1e-5 * largest) fail_msg("%s %s: off by %g of %g", how[i][0], how[i][1], worst, largest);
        if (i == 0)
            first = g;
        else
            free(g);
        trainer_deinit(&t);
        bench_free(&b);
    }
    free(first);
    place_free(dir);
}

/* --- whole runs --- */

static int run(const char *const *field, int n_thread, bool resume, uint64_t stop_after, struct train_result *out,
               struct err *e)
{
    return run_with(field, n_thread, PRECISION_REFERENCE, resume, stop_after, out, e);
}

static json_t *last_step(const char *dir)
{
    char *path = path_join(dir, "events.jsonl");
    struct json_lines l;
    struct err e;
    json_t *event, *last = NULL;
    MUST(json_lines_open(&l, path, 1 << 20, &e));
    while (json_lines_next(&l, &event, &e) == 1) {
        if (str_eq(json_string_value(json_object_get(event, "event")), "step")) {
            json_decref(last);
            last = json_incref(event);
        }
        json_decref(event);
    }
    json_lines_close(&l);
    mem_free(path);
    return last;
}

static void same_adapter(const char *a, const char *b)
{
    same_files(a, b, "adapter/adapter_model.safetensors");
}

/* Each method moves what it is for: good answers up, bad ones down, on rows it was not shown too; interrupted and
 * resumed, or with another number of threads, it ends with the same bytes. */
static void test_runs(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        bool judged;
    } cases[] = {{"method=dpo", false}, {"method=orpo", false}, {"method=kto", true}};
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        char *dir = place_new(), data[200], eval[200], out[200], whole[128], part[128];
        struct train_result r;
        struct err e;
        write_rows(dir, "rows", 24, cases[i].judged);
        write_rows(dir, "others", 8, cases[i].judged);
        snprintf(data, sizeof(data), "data=%s/rows", dir);
        snprintf(eval, sizeof(eval), "eval_data=%s/others", dir);
        snprintf(whole, sizeof(whole), "%s/whole", dir);
        snprintf(part, sizeof(part), "%s/part", dir);
        snprintf(out, sizeof(out), "output=%s", whole);
        const char *field[] = {"base=tests/data/golden/models/llama",
                               data,
                               eval,
                               cases[i].method,
                               out,
                               "epochs=4",
                               "data_format=tokens",
                               "batch_size=4",
                               "lr=0.01",
                               "rank=4",
                               "save_every=3",
                               "precision=reference",
                               NULL};
        MUST(run(field, 1, false, 0, &r, &e));
        json_t *last = last_step(whole);
        if (!(json_real_value(json_object_get(last, "reward_margin")) > 0.1))
            fail_msg("%s: %s", cases[i].method, json_dumps(last, 0));
        if (!cases[i].judged) assert_true(json_real_value(json_object_get(last, "reward_accuracy")) > 0.9);
        json_decref(last);
        assert_true(r.eval_loss < (cases[i].judged ? 0.5 : str_eq(cases[i].method, "method=dpo") ? 0.6 : 9));
        snprintf(out, sizeof(out), "output=%s", part);
        assert_int_equal(run(field, 2, false, 5, &r, &e), -ERR_INTERRUPTED);
        MUST(run(field, 2, true, 0, &r, &e));
        same_adapter(whole, part);
        place_free(dir);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *field, *more, *says;
        int rc;
    } cases[] = {
        {"method=sft", "beta=0.2", "method sft: that method has no such field", -ERR_USAGE},
        {"method=orpo", "dpo_loss=ipo", "dpo_loss and method orpo", -ERR_USAGE},
        {"method=dpo", "lambda=0.2", "lambda and method dpo", -ERR_USAGE},
        {"method=grpo", "data_format=chat", "rewards is empty", -ERR_USAGE},
        {"method=dpo", "beta=0", "beta 0: it must be above 0", -ERR_USAGE},
        {"method=kto", "seed=1", "label", -ERR_INPUT},
        {"method=sft", "seed=1", "ids", -ERR_INPUT},
    };
    char *dir = place_new(), data[200], out[200];
    write_rows(dir, "pairs", 2, false);
    write_rows(dir, "judged", 1, true);
    snprintf(data, sizeof(data), "data=%s/pairs", dir);
    snprintf(out, sizeof(out), "output=%s/run", dir);
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        struct train_result r;
        struct err e = {0};
        const char *field[] = {"base=tests/data/golden/models/llama",
                               data,
                               out,
                               "data_format=tokens",
                               cases[i].field,
                               cases[i].more,
                               NULL};
        int rc = run(field, 1, false, 0, &r, &e);
        if (rc != cases[i].rc || strstr(e.msg, cases[i].says) == NULL)
            fail_msg("%s %s: %d, \"%s\"", cases[i].field, cases[i].more, rc, e.msg);
    }
    place_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slopes),     cmocka_unit_test(test_identities), cmocka_unit_test(test_golden),
        cmocka_unit_test(test_first_step), cmocka_unit_test(test_kto_parts),  cmocka_unit_test(test_runs),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
