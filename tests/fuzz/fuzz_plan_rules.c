/* Fuzz target: decision rules as CSV, and descriptions of arrivals. A rule that was taken has a state whatever the
 * facts are; arrivals that were taken can be drawn. The first byte 'a' chooses arrivals. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/mem.h"
#include "lifecycle/plan/arrivals.h"
#include "lifecycle/plan/decision_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_states(const struct decision_rules *r)
{
    const double value[] = {NAN, 0, 1, 1e7, -INFINITY};
    for (size_t k = 0; k < sizeof value / sizeof value[0]; k++) {
        double facts[N_FACT];
        for (int i = 0; i < N_FACT; i++) facts[i] = value[k];
        for (size_t i = 0; i < r->n; i++)
            if (decision_rule_state(&r->item[i], facts) > RULE_UNKNOWN) abort();
    }
}

static void fuzz_rules(const char *text, size_t n)
{
    struct decision_rules r;
    struct err e = {0};
    int rc = decision_rules_read(&r, "fuzz.csv", text, n, &e);
    if (rc < 0 && !e.msg[0]) abort();
    if (rc == 0) check_states(&r);
    decision_rules_free(&r);
}

static void fuzz_arrivals(const char *text)
{
    struct arrivals a = {.n = 20, .prompt_tokens = 10, .output_tokens = 5, .length_cv = 1, .seed = 1};
    struct sim_request *r = NULL;
    struct err e = {0};
    int rc = arrivals_parse(text, &a, &e);
    if (rc < 0 && !e.msg[0]) abort();
    if (rc == 0 && arrivals_draw(&a, &r, &e)) abort();
    for (size_t i = 1; r && i < a.n; i++)
        if (!(r[i].arrival_s >= r[i - 1].arrival_s) || r[i].prompt_tokens < 1) abort();
    mem_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = mem_strndup((const char *)data, n);
    if (n && data[0] == 'a')
        fuzz_arrivals(text + 1);
    else
        fuzz_rules((const char *)data, n);
    mem_free(text);
    return 0;
}
