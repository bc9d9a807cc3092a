/* Verdicts on the claims of two guides: those of the planner's reference, found by computing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "ground/base/attr.h"
#include "ground/base/mem.h"
#include "lifecycle/plan/seed_table.h"

static void verdicts_are_those_of_the_reference(void **state)
{
    (void)state;
    static const struct {
        const char *claim;
        enum seed_verdict verdict;
        const char *because; /* part of the reason */
    } row[] = {
        {"1.5B FP16 on an RTX 3060, ten users", SEED_HOLDS, "2.9 GiB"},
        {"1.5B INT8 on an RTX 3060, ten users", SEED_HOLDS, "1.7 GiB"},
        {"1.5B INT8 on a CPU, ten users", SEED_LIMITS, "tokens/s"},
        {"7B INT4 on an RTX 3060, ten users", SEED_HOLDS, "5.3 GiB"},
        {"7B INT4 on an RTX 4060, ten users", SEED_LIMITS, "room for 15"},
        {"14B INT4 on an RTX 4070, ten users", SEED_WRONG, "9.4 GiB"},
        {"14B INT4 on an RTX 4080, ten users", SEED_LIMITS, "room for 1"},
        {"32B INT4 on 2 x RTX 4090, ten users", SEED_OVERSIZED, "18.3 GiB"},
        {"70B INT4 on 2 x A100 80 GB, ten users", SEED_OVERSIZED, "37.8 GiB"},
        {"671B INT4 on 6 x A100 or more, ten users", SEED_WRONG, "8 is the real minimum"},
        {"training 7B on one RTX 4090", SEED_LIMITS, "QLoRA"},
        {"training 14B on one RTX 4090", SEED_LIMITS, "QLoRA only"},
        {"training 32B on 2 x RTX 4090", SEED_LIMITS, "QLoRA only"},
        {"training 671B on 8 x A100 80 GB or more", SEED_LIMITS, "QLoRA only"},
        {"1.5B: purchase 10-20k CNY", SEED_HOLDS, ""},
        {"7B: purchase 50-100k CNY", SEED_WRONG, "times what they cost"},
        {"14B: purchase 100-200k CNY", SEED_WRONG, "times what they cost"},
        {"32B: purchase 300-500k CNY", SEED_WRONG, "times what they cost"},
        {"70B: purchase 800k-1M CNY", SEED_HOLDS, ""},
        {"671B: purchase 3-4M CNY", SEED_HOLDS, ""},
        {"1.5B: below 500 CNY a month", SEED_HOLDS, ""},
        {"7B: 800-1,500 CNY a month", SEED_WRONG, "life of"},
        {"70B: 10-15k CNY a month", SEED_WRONG, "life of 6"},
        {"671B: 60-100k CNY a month", SEED_HOLDS, "life of 3"},
        {"a team of 1-5: Llama-3.3-70B in 4 bits needs 48-80 GB: 2 x RTX 4090 or 1 x A6000", SEED_LIMITS,
         "does not fit"},
        {"hardware for it: 50-150k CNY", SEED_HOLDS, ""},
        {"a company of up to 100: Llama 4 Scout 17B on one A100 80G, 10-20 requests at a time", SEED_LIMITS, "active"},
        {"private deployment pays from ten million calls a month (the English text: millions)", SEED_DEPENDS,
         "16 H100"},
        {"quantization speeds up inference", SEED_LIMITS, "0.9"},
    };
    struct catalogue c;
    struct err e;
    struct seed_rows *rows = mem_alloc(sizeof *rows);
    if (catalogue_open(&c, NULL, NULL, &e) || seed_rows_compute(&c, rows, &e)) fail_msg("%s", e.msg);
    for (size_t i = 0; i < N_ELEM(row); i++) {
        const struct seed_row *r = NULL;
        for (size_t k = 0; k < rows->n; k++)
            if (strcmp(rows->row[k].claim_en, row[i].claim) == 0) r = &rows->row[k];
        if (!r) {
            fail_msg("no row \"%s\"", row[i].claim);
            return;
        }
        if (r->verdict != row[i].verdict || !strstr(r->reason_en, row[i].because))
            fail_msg("%s: %s: %s", r->claim_en, seed_verdict_name[r->verdict], r->reason_en);
    }
    for (size_t k = 0; k < rows->n; k++) {
        assert_true(rows->row[k].claim_zh[0] && rows->row[k].reason_en[0] && rows->row[k].reason_zh[0]);
        assert_true(strlen(rows->row[k].reason_en) + 1 < SEED_TEXT && strlen(rows->row[k].reason_zh) + 1 < SEED_TEXT);
    }
    mem_free(rows);
    catalogue_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts_are_those_of_the_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
