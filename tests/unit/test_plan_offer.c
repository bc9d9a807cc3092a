/* Capacity of systems of the catalogue against the planner's reference figures, and what must hold of any offer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "ground/base/attr.h"
#include "lifecycle/plan/catalogue.h"
#include "lifecycle/plan/offer.h"

static struct catalogue cat;

static int open_catalogue(void **state)
{
    struct err e;
    (void)state;
    if (catalogue_open(&cat, NULL, NULL, &e) == 0) return 0;
    print_error("%s\n", e.msg);
    return -1;
}

static int close_catalogue(void **state)
{
    (void)state;
    catalogue_free(&cat);
    return 0;
}

static struct plan_system system_of(const char *model, const char *quant, const char *hardware, int tp,
                                    const char *stack)
{
    struct plan_system s;
    struct plan_layout layout = {tp, 1, 16};
    struct err e;
    if (plan_system_init(&s, catalogue_model(&cat, model), plan_quant_find(quant), catalogue_hardware(&cat, hardware),
                         &layout, plan_stack_find(stack)->id, &e))
        fail_msg("%s", e.msg);
    return s;
}

static const struct plan_goal chat = {
    .prompt_tokens = 1000, .output_tokens = 500, .ttft_s = 2, .tpot_s = 0.05, .max_load = 1, .cv = 1};

static void capacities_are_those_of_the_reference(void **state)
{
    (void)state;
    static const struct {
        const char *model, *quant, *hardware;
        int tp;
        double calls_s;
    } row[] = {{"Llama-3.3-70B", "FP8", "H100", 2, 4.0},  {"Qwen3-32B", "FP8", "H100", 1, 4.4},
               {"gpt-oss-120b", "MXFP4", "H100", 1, 3.8}, {"Qwen3-8B", "BF16", "A100-80", 1, 4.4},
               {"Qwen3-8B", "AWQ", "RTX4090", 1, 2.5},    {"Qwen3-30B-A3B", "AWQ", "RTX4090", 1, 1.5},
               {"Qwen3-32B", "AWQ", "RTX4090", 1, 0.41},  {"Llama-3.3-70B", "AWQ", "RTX4090", 2, 0.30},
               {"DeepSeek-R1", "FP8", "H200", 8, 2.8}};
    for (size_t i = 0; i < N_ELEM(row); i++) {
        struct plan_system s = system_of(row[i].model, row[i].quant, row[i].hardware, row[i].tp, "vllm");
        struct offer o;
        offer_of(&s, &chat, &o);
        if (fabs(o.capacity_s / row[i].calls_s - 1) > 0.2)
            fail_msg("%s %s %d x %s: %.2f calls/s, reference %.2f", row[i].model, row[i].quant, row[i].tp,
                     row[i].hardware, o.capacity_s, row[i].calls_s);
        assert_true(o.at.ttft_s <= chat.ttft_s && o.at.tpot_s <= chat.tpot_s);
        assert_true(o.running >= 1 && o.running <= o.room && o.capacity_s <= o.full_s * 1.0001);
    }
}

static void targets_limit_what_is_offered(void **state)
{
    (void)state;
    struct plan_system s = system_of("Llama-3.3-70B", "AWQ", "RTX4090", 2, "vllm");
    struct plan_goal t = chat;
    struct offer o;
    offer_of(&s, &t, &o);
    assert_int_equal(o.limit, OFFER_TPOT);
    double within = o.capacity_s;
    t.tpot_s = 10;
    t.ttft_s = 100;
    offer_of(&s, &t, &o);
    assert_true(o.limit == OFFER_MEMORY && o.capacity_s > within && o.running == o.room);
    t.spare = 1;
    offer_of(&s, &t, &o);
    assert_true(o.limit == OFFER_LOAD && o.capacity_s < o.full_s * 0.85 && o.capacity_s > o.full_s * 0.6);
    t.ttft_s = 0.001;
    offer_of(&s, &t, &o);
    assert_true(o.limit == OFFER_TTFT && o.running == 0 && o.capacity_s == 0);
    s = system_of("Llama-3.3-70B", "BF16", "RTX4090", 2, "vllm");
    offer_of(&s, &chat, &o);
    assert_true(o.limit == OFFER_MEMORY && o.room == 0 && o.running == 0);
}

static void waiting_grows_to_the_limit(void **state)
{
    (void)state;
    struct plan_system s = system_of("Qwen3-32B", "AWQ", "RTX4090", 1, "vllm");
    struct offer o;
    struct queue_result half, most;
    offer_of(&s, &chat, &o);
    assert_int_equal(offer_wait(&s, &chat, &o, 0.5 * o.full_s, &half, NULL), 0);
    assert_int_equal(offer_wait(&s, &chat, &o, 0.95 * o.full_s, &most, NULL), 0);
    assert_true(half.stable && half.p_wait < 0.2 && most.p_wait > 0.6 && most.mean_wait_s > half.mean_wait_s);
    assert_int_equal(offer_wait(&s, &chat, &o, 1.01 * o.full_s, &most, NULL), 0);
    assert_false(most.stable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(capacities_are_those_of_the_reference),
                                       cmocka_unit_test(targets_limit_what_is_offered),
                                       cmocka_unit_test(waiting_grows_to_the_limit)};
    return cmocka_run_group_tests(tests, open_catalogue, close_catalogue);
}
