/* Whole runs on a tiny model: the trajectory that PyTorch and PEFT take, resumption to the same bytes, refusals, and
 * that a model learns what it is shown. */
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
#include "lifecycle/train/train.h"
#include "tuning_runs.h"

static const char model_path[] = "tests/data/golden/models/llama";

/* --- a place for runs, and one run --- */

static int run(const char *const *field, int n_thread, bool resume, uint64_t stop_after, struct train_result *out,
               struct err *e)
{
    return run_with(field, n_thread, PRECISION_AUTO, resume, stop_after, out, e);
}

static char *field_of(const char *key, const char *dir, const char *name)
{
    char *path = path_join(dir, name), *text = malloc(strlen(key) + strlen(path) + 2);
    sprintf(text, "%s=%s", key, path);
    mem_free(path);
    return text;
}

/* --- the trajectory --- */

static json_t *read_json(const char *path)
{
    struct err e;
    json_t *j;
    if (json_read_file(path, 1 << 24, &j, &e) != 0) fail_msg("%s", e.msg);
    return j;
}

static void read_i32(const struct safetensors *s, const char *name, json_t *list)
{
    struct err e;
    int32_t value[256];
    const struct tensor_info *t = safetensors_find(s, name);
    assert_non_null(t);
    assert_true(t->n_bytes <= sizeof(value));
    if (safetensors_read(s, t, value, 0, (size_t)t->n_bytes, &e) != 0) fail_msg("%s", e.msg);
    for (size_t i = 0; i < t->n_bytes / 4; i++)
        assert_int_equal(json_array_append_new(list, json_integer(value[i])), 0);
}

static void write_golden_rows(const struct safetensors *s, const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int step = 0; step < 10; step++)
        for (int k = 0; k < 4; k++) {
            char name[64];
            json_t *row = json_pack("{s:[],s:[]}", "ids", "labels");
            snprintf(name, sizeof(name), "step%d.micro%d.%d.ids", step, k / 2, k % 2);
            read_i32(s, name, json_object_get(row, "ids"));
            snprintf(name, sizeof(name), "step%d.micro%d.%d.labels", step, k / 2, k % 2);
            read_i32(s, name, json_object_get(row, "labels"));
            json_dumpf(row, f, JSON_COMPACT);
            fputc('\n', f);
            json_decref(row);
        }
    fclose(f);
}

/* Tensors "init.*" as a PEFT directory. */
static void write_golden_init(const struct safetensors *s, const char *dir, bool dora)
{
    struct safetensors_item item[96];
    size_t n = 0;
    struct err e;
    char *path = path_join(dir, "adapter_model.safetensors"), *config = path_join(dir, "adapter_config.json");
    if (file_mkdirs(dir, &e) != 0) fail_msg("%s", e.msg);
    for (size_t i = 0; i < safetensors_n_tensor(s); i++) {
        const struct tensor_info *t = safetensors_tensor(s, i);
        if (!str_starts(t->name, "init.")) continue;
        float *data = calloc(1, (size_t)t->n_bytes);
        if (safetensors_read_f32(s, t, data, (size_t)t->n_bytes / 4, &e) != 0) fail_msg("%s", e.msg);
        item[n++] = (struct safetensors_item){t->name + 5, TENSOR_F32, {t->shape[0], t->shape[1]}, t->n_dim, data};
    }
    if (safetensors_save(path, item, n, NULL, &e) != 0) fail_msg("%s", e.msg);
    for (size_t i = 0; i < n; i++) free((float *)(uintptr_t)item[i].data);
    char text[512];
    int n_text = snprintf(text, sizeof(text),
                          "{\"peft_type\":\"LORA\",\"task_type\":\"CAUSAL_LM\",\"r\":4,\"lora_alpha\":8,"
                          "\"lora_dropout\":0.0,\"bias\":\"none\",\"use_dora\":%s,\"target_modules\":[\"q_proj\","
                          "\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]}",
                          dora ? "true" : "false");
    if (file_write_atomic(config, text, (size_t)n_text, &e) != 0) fail_msg("%s", e.msg);
    mem_free(path), mem_free(config);
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_number(v)) fail_msg("no number \"%s\"", key);
    return json_number_value(v);
}

static void check_events(const char *dir, const json_t *steps)
{
    struct json_lines l;
    struct err e;
    json_t *event;
    size_t n = 0;
    char *path = path_join(dir, "events.jsonl");
    if (json_lines_open(&l, path, 1 << 20, &e) != 0) fail_msg("%s", e.msg);
    while (json_lines_next(&l, &event, &e) == 1) {
        if (str_eq(json_string_value(json_object_get(event, "event")), "step")) {
            const json_t *want = json_array_get(steps, n++);
            assert_true(fabs(number(event, "lr") - number(want, "lr")) < 1e-9);
            assert_true(fabs(number(event, "loss") / number(want, "loss") - 1) < (n == 1 ? 1e-6 : 1e-5));
            assert_true(fabs(number(event, "grad_norm") / number(want, "grad_norm") - 1) < 1e-4);
            assert_true(number(event, "n_target") == number(want, "n_target"));
        }
        json_decref(event);
    }
    assert_int_equal(n, json_array_size(steps));
    json_lines_close(&l);
    mem_free(path);
}

static void check_final(const struct safetensors *s, const char *dir, bool full)
{
    struct err e;
    struct safetensors *got;
    char *path = path_join(dir, full ? "model/model.safetensors" : "adapter/adapter_model.safetensors");
    if (safetensors_open(&got, path, &e) != 0) fail_msg("%s", e.msg);
    for (size_t i = 0; i < safetensors_n_tensor(s); i++) {
        const struct tensor_info *t = safetensors_tensor(s, i);
        if (!str_starts(t->name, "final.")) continue;
        const struct tensor_info *g = safetensors_find(got, t->name + 6);
        size_t n = (size_t)t->n_bytes / 4;
        float *a = calloc(n, sizeof(*a)), *b = calloc(n, sizeof(*b));
        double worst = 0, largest = 0;
        assert_non_null(g);
        assert_int_equal(safetensors_read_f32(s, t, a, n, &e) | safetensors_read_f32(got, g, b, n, &e), 0);
        for (size_t k = 0; k < n; k++) {
            worst = fmax(worst, fabs((double)(a[k] - b[k])));
            largest = fmax(largest, fabs((double)a[k]));
        }
        if (!(worst < 5e-3 * largest)) fail_msg("%s is off by %g of %g", t->name, worst, largest);
        free(a), free(b);
    }
    safetensors_close(got);
    mem_free(path);
}

/* PyTorch's and PEFT's of state: "lora", "dora", "full". */
static void test_trajectory(void **state)
{
    const char *kind = *state;
    bool full = str_eq(kind, "full");
    char *dir = place_new(), *rows = path_join(dir, "data.jsonl"), *init = path_join(dir, "init"),
         *out = path_join(dir, "run");
    char name[256], adapter[32];
    struct safetensors *s;
    struct err e;
    struct train_result r;
    snprintf(name, sizeof(name), "tests/data/golden/train/sft-%s-llama.safetensors", kind);
    if (safetensors_open(&s, name, &e) != 0) fail_msg("%s", e.msg);
    snprintf(name, sizeof(name), "tests/data/golden/train/sft-%s-llama.json", kind);
    snprintf(adapter, sizeof(adapter), "adapter=%s", kind);
    json_t *meta = read_json(name);
    write_golden_rows(s, rows);
    if (!full) write_golden_init(s, init, str_eq(kind, "dora"));
    char *f[] = {field_of("data", dir, "data.jsonl"), field_of("adapter_init", dir, "init"),
                 field_of("output", dir, "run")};
    const char *fields[] = {"base=tests/data/golden/models/llama",
                            f[0],
                            f[2],
                            adapter,
                            "data_format=tokens",
                            "epochs=1",
                            "batch_size=2",
                            "grad_accum=2",
                            "packing=false",
                            full ? "lr=0.002" : "lr=0.01",
                            "schedule=cosine",
                            "warmup_steps=3",
                            "betas=0.9,0.95",
                            "weight_decay=0.01",
                            "max_grad_norm=1",
                            "precision=reference",
                            "shuffle=false",
                            full ? NULL : f[1],
                            "rank=4",
                            "alpha=8",
                            NULL};
    if (run(fields, 2, false, 0, &r, &e) != 0) fail_msg("%s", e.msg);
    assert_int_equal(r.steps, 10);
    check_events(out, json_object_get(meta, "steps"));
    check_final(s, out, full);
    json_decref(meta);
    safetensors_close(s);
    for (size_t i = 0; i < N_ELEM(f); i++) free(f[i]);
    mem_free(rows), mem_free(init), mem_free(out);
    place_free(dir);
}

/* --- runs over rows of our own --- */

static void write_rows(const char *dir, const char *name, int n_row)
{
    char *path = path_join(dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int r = 0; r < n_row; r++) {
        int n = 6 + (int)rng_below(8, 1, 2, (uint64_t)r);
        char labels[512] = "";
        fprintf(f, "{\"ids\":[");
        for (int i = 0; i < n; i++) {
            int id = (int)(i < 3 ? (uint64_t)i + 5 : 3 + rng_below(280, 2, (uint64_t)r, (uint64_t)i));
            fprintf(f, "%s%d", i > 0 ? "," : "", id);
            sprintf(labels + strlen(labels), "%s%d", i > 0 ? "," : "", i < 5 ? -100 : id);
        }
        fprintf(f, "],\"labels\":[%s]}\n", labels);
    }
    fclose(f);
    mem_free(path);
}

static void test_resume(void **state)
{
    const char *kind = *state;
    bool full = str_eq(kind, "full");
    char adapter[32];
    snprintf(adapter, sizeof(adapter), "adapter=%s", kind);
    char *dir = place_new();
    struct err e;
    struct train_result whole, r;
    write_rows(dir, "data", 30);
    char *data = field_of("data", dir, "data"),
         *out[] = {field_of("output", dir, "whole"), field_of("output", dir, "cut")};
    const char *fields[] = {"base=tests/data/golden/models/llama",
                            data,
                            out[0],
                            "data_format=tokens",
                            adapter,
                            "epochs=3",
                            "batch_size=4",
                            "lr=0.01",
                            "save_every=2",
                            "eval_every=5",
                            NULL,
                            NULL};
    char *eval = field_of("eval_data", dir, "data");
    fields[10] = eval;
    if (run(fields, 1, false, 0, &whole, &e) != 0) fail_msg("%s", e.msg);
    assert_int_equal(whole.steps, 24);
    fields[2] = out[1];
    /* interrupted twice, with other thread counts each time */
    assert_int_equal(run(fields, 2, false, 7, &r, &e), -ERR_INTERRUPTED);
    assert_non_null(strstr(e.msg, "--resume"));
    assert_int_equal(run(fields, 2, false, 0, &r, &e), -ERR_CONFLICT);
    assert_non_null(strstr(e.msg, "--resume"));
    assert_int_equal(run(fields, 1, true, 4, &r, &e), -ERR_INTERRUPTED);
    /* what a killed process left behind its last checkpoint is forgotten */
    char *events = path_join(dir, "cut/events.jsonl");
    FILE *f = fopen(events, "a");
    fputs("{\"event\":\"step\",\"step\":12", f);
    fclose(f);
    mem_free(events);
    if (run(fields, 3, true, 0, &r, &e) != 0) fail_msg("%s", e.msg);
    assert_true(r.steps == 24 && memcmp(&r.train_loss, &whole.train_loss, sizeof(double)) == 0 &&
                memcmp(&r.eval_loss, &whole.eval_loss, sizeof(double)) == 0);
    char *a = path_join(dir, full ? "whole/model" : "whole/adapter");
    char *b = path_join(dir, full ? "cut/model" : "cut/adapter");
    same_files(a, b, full ? "model.safetensors" : "adapter_model.safetensors");
    /* a run that has ended stays as it is */
    if (run(fields, 1, true, 0, &r, &e) != 0) fail_msg("%s", e.msg);
    assert_true(r.was_complete && r.steps == 24 && memcmp(&r.train_loss, &whole.train_loss, sizeof(double)) == 0);
    mem_free(a), mem_free(b);
    /* other data, other fields: refused by name */
    fields[7] = "lr=0.02";
    assert_int_equal(run(fields, 1, true, 0, &r, &e), -ERR_CONFLICT);
    assert_non_null(strstr(e.msg, "config"));
    fields[7] = "lr=0.01";
    write_rows(dir, "data", 31);
    assert_int_equal(run(fields, 1, true, 0, &r, &e), -ERR_CONFLICT);
    assert_non_null(strstr(e.msg, "its data was"));
    free(data), free(out[0]), free(out[1]), free(eval);
    place_free(dir);
}

/* What may be cut, packed and recomputed without changing what is learned. */
static void test_layouts_agree(void **state)
{
    (void)state;
    static const char *const how[][5] = {
        {"packing=true", "recompute=off", "token_budget=2048", "batch_size=8", "grad_accum=2"},
        {"packing=false", "recompute=off", "token_budget=2048", "batch_size=8", "grad_accum=2"},
        {"packing=true", "recompute=on", "token_budget=30", "batch_size=8", "grad_accum=2"},
        {"packing=false", "recompute=off", "token_budget=2048", "batch_size=16", "grad_accum=1"},
        {"packing=true", "recompute=off", "token_budget=2048", "batch_size=3", "grad_accum=6"},
        {"packing=true", "recompute=on", "token_budget=2048", "batch_size=18", "grad_accum=1"}};
    /* the last two take 18 rows a step, the others 16 */
    char *dir = place_new();
    double loss[N_ELEM(how)];
    write_rows(dir, "data", 24);
    char *data = field_of("data", dir, "data");
    for (size_t i = 0; i < N_ELEM(how); i++) {
        struct err e;
        struct train_result r;
        char name[16];
        snprintf(name, sizeof(name), "run%zu", i);
        char *out = field_of("output", dir, name);
        const char *fields[] = {"base=tests/data/golden/models/llama",
                                data,
                                out,
                                "data_format=tokens",
                                "rank=4",
                                "max_steps=3",
                                "precision=reference",
                                "lr=0.001",
                                how[i][0],
                                how[i][1],
                                how[i][2],
                                how[i][3],
                                how[i][4],
                                NULL};
        if (run(fields, 2, false, 0, &r, &e) != 0) fail_msg("%s", e.msg);
        loss[i] = r.train_loss;
        free(out);
    }
    for (size_t i = 1; i < N_ELEM(how); i++) {
        double want = loss[i < 4 ? 0 : 4];
        if (!(fabs(loss[i] / want - 1) < 2e-6)) fail_msg("layout %zu: loss %.9g, was %.9g", i, loss[i], want);
    }
    free(data);
    place_free(dir);
}

/* Too long where it is ten times as slow, and nothing that the others do not run. */
static UNUSED void test_learns(void **state)
{
    (void)state;
    char *dir = place_new();
    struct err e;
    struct train_result r;
    write_rows(dir, "data", 32);
    char *data = field_of("data", dir, "data"), *out = field_of("output", dir, "run");
    const char *fields[] = {"base=tests/data/golden/models/llama",
                            data,
                            out,
                            "data_format=tokens",
                            "rank=16",
                            "epochs=120",
                            "batch_size=16",
                            "lr=0.02",
                            "warmup_steps=10",
                            "save_every=1000",
                            NULL};
    if (run(fields, 2, false, 0, &r, &e) != 0) fail_msg("%s", e.msg);
    if (!(r.train_loss < 0.05)) fail_msg("after %llu steps the loss is %g", (unsigned long long)r.steps, r.train_loss);
    free(data), free(out);
    place_free(dir);
}

static void test_early_stop(void **state)
{
    (void)state;
    char *dir = place_new();
    struct err e;
    struct train_result r;
    write_rows(dir, "data", 16);
    write_rows(dir, "other", 40); /* rows that training on the first sixteen does not help for long */
    char *data = field_of("data", dir, "data"), *out = field_of("output", dir, "run"),
         *eval = field_of("eval_data", dir, "other");
    const char *fields[] = {"base=tests/data/golden/models/llama",
                            data,
                            out,
                            eval,
                            "data_format=tokens",
                            "rank=8",
                            "epochs=200",
                            "batch_size=16",
                            "lr=0.05",
                            "schedule=constant",
                            "eval_every=2",
                            "early_stop=3",
                            NULL};
    if (run(fields, 2, false, 0, &r, &e) != 0) fail_msg("%s", e.msg);
    assert_true(r.steps < 200);
    assert_true(isfinite(r.eval_loss));
    free(data), free(out), free(eval);
    place_free(dir);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        int code;
        const char *says;
    } cases[] = {{"method=grpo", -ERR_USAGE, "tokens has no text that rewards could judge"},
                 {"method=ppo", -ERR_USAGE, "\"ppo\" is not one of sft, dpo, orpo, kto, grpo"},
                 {"group_size=4", -ERR_USAGE, "group_size and method sft: that method has no such field"},
                 {"rewards={\"type\":\"json\"}", -ERR_USAGE, "rewards and method sft"},
                 {"adapter=qlora", -ERR_UNSUPPORTED, "weights are F32, not quantized"},
                 {"target_modules=q_proj,lm_head", -ERR_USAGE, "\"lm_head\""},
                 {"betas=0.9", -ERR_USAGE, "betas has 1"},
                 {"early_stop=2", -ERR_USAGE, "eval_data"},
                 {"data_format=chat", -ERR_UNSUPPORTED, "no tokenizer"},
                 {"max_length=5", -ERR_INPUT, "max_length is 5"},
                 {"memory_limit=100000", -ERR_LIMIT, "a higher memory_limit"},
                 {"adapter_init=/nonexistent", -ERR_NOT_FOUND, "/nonexistent"},
                 {"data=/nonexistent", -ERR_NOT_FOUND, "/nonexistent"}};
    char *dir = place_new(), *out = path_join(dir, "run");
    write_rows(dir, "data", 8);
    char *data = field_of("data", dir, "data"), *output = field_of("output", dir, "run");
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        struct err e = {0};
        struct train_result r;
        const char *fields[] = {
            "base=tests/data/golden/models/llama", data, output, "data_format=tokens", cases[i].field, NULL};
        int rc = run(fields, 1, false, 0, &r, &e);
        if (rc != cases[i].code || strstr(e.msg, cases[i].says) == NULL)
            fail_msg("%s: %d, \"%s\", wanted %d, \"%s\"", cases[i].field, rc, e.msg, cases[i].code, cases[i].says);
        assert_false(file_exists(out)); /* nothing is left of a run that never began */
    }
    free(data), free(output);
    mem_free(out);
    place_free(dir);
}

/* Noise is a row's own: however rows are cut into micro-batches they learn the same, and not what they learn without.
 */
static void test_neftune(void **state)
{
    (void)state;
    static const char *const cut[][2] = {
        {"batch_size=8", "grad_accum=1"}, {"batch_size=2", "grad_accum=4"}, {"token_budget=40", "batch_size=8"}};
    char *dir = place_new();
    struct err e = {0};
    double loss[4];
    write_rows(dir, "data", 24);
    char *data = field_of("data", dir, "data");
    for (int k = 0; k < 4; k++) {
        char name[16];
        struct train_result r;
        snprintf(name, sizeof(name), "run%d", k);
        char *out = field_of("output", dir, name);
        const char *fields[] = {"base=tests/data/golden/models/llama",
                                data,
                                out,
                                "data_format=tokens",
                                "rank=4",
                                "lr=0.01",
                                "epochs=2",
                                "precision=reference",
                                cut[k % 3][0],
                                cut[k % 3][1],
                                k < 3 ? "neftune_alpha=10" : "neftune_alpha=0",
                                NULL};
        if (run(fields, 1 + k % 2, false, 0, &r, &e) != 0) fail_msg("%s", e.msg);
        loss[k] = r.train_loss;
        free(out);
    }
    assert_true(fabs(loss[1] / loss[0] - 1) < 1e-5 && fabs(loss[2] / loss[0] - 1) < 1e-5);
    assert_true(fabs(loss[3] / loss[0] - 1) > 1e-4);
    free(data);
    place_free(dir);
}

/* In full there is no adapter to be told of, and none of the base's numbers may be quantized. */
static void test_full_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *base, *field;
        int code;
        const char *says;
    } cases[] = {{"base=tests/data/golden/models/llama", "rank=4", -ERR_USAGE, "rank"},
                 {"base=tests/data/golden/models/llama", "adapter_init=x", -ERR_USAGE, "adapter_init"},
                 {"base=tests/data/golden/gguf/llama.gguf", "seed=1", -ERR_UNSUPPORTED, "GGUF"}};
    char *dir = place_new();
    write_rows(dir, "data", 8);
    char *data = field_of("data", dir, "data"), *output = field_of("output", dir, "run");
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        struct err e = {0};
        struct train_result r;
        const char *fields[] = {cases[i].base,  data,           output, "data_format=tokens",
                                "adapter=full", cases[i].field, NULL};
        assert_int_equal(run(fields, 1, false, 0, &r, &e), cases[i].code);
        if (strstr(e.msg, cases[i].says) == NULL) fail_msg("%s: \"%s\"", cases[i].field, e.msg);
    }
    free(data), free(output);
    place_free(dir);
}

int main(void)
{
    static char lora[] = "lora", dora[] = "dora", full[] = "full";
    if (!file_exists(model_path)) return 1;
    const struct CMUnitTest tests[] = {
        {.name = "test_trajectory lora", .test_func = test_trajectory, .initial_state = lora},
        {.name = "test_trajectory dora", .test_func = test_trajectory, .initial_state = dora},
        {.name = "test_trajectory full", .test_func = test_trajectory, .initial_state = full},
        {.name = "test_resume lora", .test_func = test_resume, .initial_state = lora},
        {.name = "test_resume dora", .test_func = test_resume, .initial_state = dora},
        {.name = "test_resume full", .test_func = test_resume, .initial_state = full},
        cmocka_unit_test(test_layouts_agree),
        cmocka_unit_test(test_full_refuses),
        cmocka_unit_test(test_neftune),
#if !defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(test_learns),
#endif
        cmocka_unit_test(test_early_stop),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
