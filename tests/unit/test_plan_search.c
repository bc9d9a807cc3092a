/* The search: its points keep what they promise, its front is one, and refusals say why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "ground/base/attr.h"
#include "lifecycle/plan/search.h"

static struct catalogue cat;

static int open_catalogue(void **state)
{
    (void)state;
    return catalogue_open(&cat, NULL, NULL, NULL);
}

static int close_catalogue(void **state)
{
    (void)state;
    catalogue_free(&cat);
    return 0;
}

static struct search_query query(void)
{
    struct plan_case k;
    plan_case_init(&k);
    struct search_query q = {.catalogue = &cat, .goal = k.goal, .demand = k.demand, .max_cards = 8, .data_class = NAN};
    memcpy(q.in, k.in, sizeof q.in);
    q.goal.prompt_tokens = 1000;
    q.goal.output_tokens = 500;
    q.demand.users = 50;
    return q;
}

static struct search_result search(const struct search_query *q)
{
    struct search_result r;
    struct err e;
    if (search_run(q, &r, &e)) fail_msg("%s", e.msg);
    return r;
}

static void points_keep_their_promise(void **state)
{
    (void)state;
    struct search_query q = query();
    q.budget_cny = 500000;
    q.min_params_b = 5;
    struct search_result r = search(&q);
    assert_true(r.n_point > 100 && r.n_front >= 3 && r.n_front < r.n_point);
    for (size_t i = 0; i < r.n_point; i++) {
        const struct search_point *p = &r.point[i];
        assert_true(i == 0 || p->monthly_cny >= r.point[i - 1].monthly_cny);
        assert_true(p->ttft_s <= q.goal.ttft_s && p->tpot_s <= q.goal.tpot_s);
        assert_true(p->capex_cny <= q.budget_cny && p->model->params_total_b >= 5);
        assert_null(strstr(p->model->licence, "non-commercial"));
        assert_true(p->model->n_ctx == 0 || p->model->n_ctx >= 1500);
    }
    search_result_free(&r);
}

static bool beats(const struct search_point *a, const struct search_point *b)
{
    return a->quality_class >= b->quality_class && a->monthly_cny < b->monthly_cny && a->answer_s < 0.99 * b->answer_s;
}

static void nobody_beats_the_front(void **state)
{
    (void)state;
    struct search_query q = query();
    struct search_result r = search(&q);
    for (size_t i = 0; i < r.n_point; i++) {
        bool beaten = false;
        for (size_t k = 0; k < r.n_point && !beaten; k++) beaten = beats(&r.point[k], &r.point[i]);
        if (r.point[i].on_front) assert_false(beaten);
    }
    search_result_free(&r);
}

static const struct search_miss *find_miss(const struct search_result *r, const char *model, enum refusal why)
{
    for (size_t i = 0; i < r->n_miss; i++)
        if (strcmp(r->miss[i].model->name, model) == 0 && r->miss[i].why == why) return &r->miss[i];
    return NULL;
}

/* An accuracy counts where both have one: a small model that was evaluated as the better beats the larger one. */
static void own_evaluations_stand_for_quality(void **state)
{
    (void)state;
    const struct plan_model *small = catalogue_model(&cat, "Qwen3-4B"), *large = catalogue_model(&cat, "Qwen3-14B");
    struct known_quality known[] = {{.model = small, .accuracy = 0.9}, {.model = large, .accuracy = 0.8}};
    struct quality_book book = {.of = known, .n = 2};
    struct search_query q = query();
    q.book = &book;
    struct search_result r = search(&q);
    size_t n_small = 0;
    for (size_t i = 0; i < r.n_point; i++) {
        const struct search_point *p = &r.point[i];
        assert_true((p->known != NULL) == (p->model == small || p->model == large));
        n_small += p->model == small && p->on_front;
        for (size_t k = 0; p->model == large && p->on_front && k < i; k++)
            assert_false(r.point[k].model == small && r.point[k].answer_s < p->answer_s);
    }
    assert_true(n_small > 0);
    search_result_free(&r);
    q.min_accuracy = 0.85;
    r = search(&q);
    assert_non_null(find_miss(&r, "Qwen3-14B", REFUSED_ACCURACY));
    for (size_t i = 0; i < r.n_point; i++) assert_ptr_not_equal(r.point[i].model, large);
    search_result_free(&r);
}

/* By the name of the registry or the file; a longer name is another model. */
static void evaluated_models_find_their_row(void **state)
{
    (void)state;
    assert_string_equal(quality_row_of(&cat, "support", "/models/SmolLM2-135M-Instruct.Q4_1.gguf")->name,
                        "SmolLM2-135M");
    assert_string_equal(quality_row_of(&cat, "qwen2.5-7b", NULL)->name, "Qwen2.5-7B");
    assert_string_equal(quality_row_of(&cat, "DeepSeek-R1-Distill-Qwen-7B-Q4", NULL)->name,
                        "DeepSeek-R1-Distill-Qwen-7B");
    assert_null(quality_row_of(&cat, "support-bot", "/blobs/ab12"));
    assert_null(quality_row_of(&cat, "xQwen2.5-7B", NULL));
    assert_null(quality_row_of(&cat, "Qwen2.5-7Bx", NULL));
}

static void refusals_say_why(void **state)
{
    (void)state;
    struct search_query q = query();
    q.hardware = "RTX4090";
    q.max_cards = 1;
    struct search_result r = search(&q);
    const struct search_miss *m = find_miss(&r, "Llama-3.3-70B", REFUSED_MEMORY);
    assert_non_null(m);
    assert_true(m->value > 10 && m->value < 25); /* AWQ: 37.8 GiB and more on 22.5 usable */
    assert_non_null(find_miss(&r, "Qwen2.5-3B", REFUSED_LICENCE));
    search_result_free(&r);

    q.goal.ttft_s = 0.045;
    r = search(&q);
    m = find_miss(&r, "Qwen2.5-7B", REFUSED_TTFT);
    assert_non_null(m);
    assert_true(m->value > 0.045 && m->value < 5);
    search_result_free(&r);

    q = query();
    q.goal.prompt_tokens = 9000;
    r = search(&q);
    m = find_miss(&r, "SmolLM2-135M", REFUSED_CONTEXT);
    assert_non_null(m);
    assert_true(m->value == 8192);
    search_result_free(&r);

    q = query();
    q.hardware = "RTX3070"; /* no source has its price */
    r = search(&q);
    assert_int_equal(r.n_point, 0);
    assert_non_null(find_miss(&r, "Qwen2.5-0.5B", REFUSED_PRICE));
    search_result_free(&r);
}

static void one_model_tells_all_of_its_refusals(void **state)
{
    (void)state;
    struct search_query q = query();
    q.why = "Llama-3.3-70B";
    q.max_cards = 2;
    struct search_result r = search(&q);
    size_t n = 0;
    for (size_t i = 0; i < r.n_miss; i++) n += strcmp(r.miss[i].model->name, q.why) == 0;
    assert_true(n > 30);
    search_result_free(&r);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct search_result r;
    struct err e;
    struct search_query q = query();
    q.hardware = "RTX9999";
    assert_int_not_equal(search_run(&q, &r, &e), 0);
    search_result_free(&r);
    q = query();
    q.quant = "Q9_9";
    assert_int_equal(search_run(&q, &r, &e), -ERR_USAGE);
    search_result_free(&r);
    q = query();
    q.demand.users = -1;
    assert_int_equal(search_run(&q, &r, &e), -ERR_USAGE);
    search_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(points_keep_their_promise),
                                       cmocka_unit_test(nobody_beats_the_front),
                                       cmocka_unit_test(own_evaluations_stand_for_quality),
                                       cmocka_unit_test(evaluated_models_find_their_row),
                                       cmocka_unit_test(refusals_say_why),
                                       cmocka_unit_test(one_model_tells_all_of_its_refusals),
                                       cmocka_unit_test(nonsense_is_refused)};
    return cmocka_run_group_tests(tests, open_catalogue, close_catalogue);
}
