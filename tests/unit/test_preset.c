/* Presets: what is chosen from which facts, that given fields stand, and that nothing is chosen unasked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ground/base/str.h"
#include "lifecycle/train/config.h"
#include "lifecycle/train/preset.h"

struct said {
    int n;
    char all[2048];
};

static void hear(void *arg, const char *line)
{
    struct said *s = arg;
    size_t n = strlen(s->all);
    s->n++;
    snprintf(s->all + n, sizeof(s->all) - n, "%s\n", line);
}

/* Fields as KEY=VALUE, NULL at the end; filled in from f. */
static struct param_set *filled(const char *const *field, const struct preset_facts *f, struct said *said)
{
    struct param_set *s = param_set_new(train_params, train_n_param);
    struct err e;
    for (; *field != NULL; field++) {
        char key[64];
        const char *eq = strchr(*field, '=');
        snprintf(key, sizeof(key), "%.*s", (int)(eq - *field), *field);
        if (param_set_text(s, key, eq + 1, &e) != 0) fail_msg("%s", e.msg);
    }
    if (preset_fill(s, f, NULL, hear, said, &e) != 0) fail_msg("%s", e.msg);
    return s;
}

static const struct preset_facts small = {.n_param = 135000000, .is_quantized = true, .n_embd = 576, .n_row = 10000};

static void test_chooses(void **state)
{
    (void)state;
    struct said said = {0};
    struct param_set *s = filled((const char *[]){NULL}, &small, &said);
    assert_string_equal(param_str(s, "method"), "sft");
    assert_string_equal(param_str(s, "adapter"), "qlora");
    assert_int_equal(param_int(s, "rank"), 16);
    assert_true(param_float(s, "alpha") == 32);
    assert_true(param_float(s, "lr") == 1e-3);
    assert_int_equal(param_int(s, "epochs"), 1);
    assert_int_equal(param_int(s, "batch_size"), 32);
    assert_int_equal(param_int(s, "warmup_steps"), 15);
    assert_false(param_is_set(s, "eval_every"));
    assert_int_equal(said.n, 5);
    param_set_free(s);
}

static void test_follows_facts(void **state)
{
    (void)state;
    struct said said = {0};
    struct preset_facts f = {.n_param = 8000000000, .n_embd = 4096, .n_row = 100, .has_pairs = true, .has_eval = true};
    struct param_set *s = filled((const char *[]){NULL}, &f, &said);
    assert_string_equal(param_str(s, "method"), "dpo");
    assert_string_equal(param_str(s, "adapter"), "lora");
    assert_int_equal(param_int(s, "rank"), 8);
    assert_true(param_float(s, "lr") < 2.1e-5 && param_float(s, "lr") > 5e-6);
    assert_int_equal(param_int(s, "epochs"), 1);
    assert_int_equal(param_int(s, "batch_size"), 4);
    assert_int_equal(param_int(s, "eval_every"), 2);
    assert_int_equal(param_int(s, "early_stop"), 3);
    param_set_free(s);
    f.has_pairs = f.has_eval = false;
    s = filled((const char *[]){NULL}, &f, &said);
    assert_int_equal(param_int(s, "epochs"), 5);
    assert_true(param_float(s, "lr") > 2e-4 && param_float(s, "lr") < 4e-4);
    param_set_free(s);
}

static void test_given_stands(void **state)
{
    (void)state;
    struct said said = {0};
    const char *const given[] = {"rank=4", "lr=0.5", "max_steps=7", "batch_size=3", "method=orpo", NULL};
    struct param_set *s = filled(given, &small, &said);
    assert_int_equal(param_int(s, "rank"), 4);
    assert_true(param_float(s, "alpha") == 8 && param_float(s, "lr") == 0.5);
    assert_int_equal(param_int(s, "max_steps"), 7);
    assert_false(param_is_set(s, "epochs"));
    assert_int_equal(param_int(s, "batch_size"), 3);
    assert_string_equal(param_str(s, "method"), "orpo");
    assert_null(strstr(said.all, "lr "));
    param_set_free(s);
}

static void test_wanted(void **state)
{
    (void)state;
    struct err e;
    struct param_set *s = param_set_new(train_params, train_n_param);
    assert_int_equal(param_set_text(s, "base", "m", &e), 0);
    assert_int_equal(param_set_text(s, "seed", "3", &e), 0);
    assert_true(preset_wanted(s));
    assert_int_equal(param_set_text(s, "rank", "16", &e), 0);
    assert_false(preset_wanted(s));
    assert_int_equal(param_set_text(s, "preset", "on", &e), 0);
    assert_true(preset_wanted(s));
    param_clear(s, "rank");
    assert_int_equal(param_set_text(s, "preset", "off", &e), 0);
    assert_false(preset_wanted(s));
    param_set_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_chooses), cmocka_unit_test(test_follows_facts),
                                       cmocka_unit_test(test_given_stands), cmocka_unit_test(test_wanted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
