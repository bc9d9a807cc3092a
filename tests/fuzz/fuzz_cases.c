/* Fuzz target: any bytes as a file of test cases. A case that is accepted is judged with answers made of its own text;
 * one whose expectation can be judged must pass when it is answered with a single expected string. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ground/json/json.h"
#include "lifecycle/eval/cases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum match_outcome judge(const struct eval_case *c, const struct match_rule *rule, const char *answer, size_t n)
{
    enum match_outcome outcome;
    if (match_rule_apply(rule, c->expected, answer, n, &outcome, NULL)) abort();
    return outcome;
}

static void check_case(const struct eval_case *c, const uint8_t *data, size_t n)
{
    if (strlen(c->hash) != 64 || !c->id[0]) abort();
    for (size_t i = 0; i < c->n_rule && !c->gold_bad; i++) {
        const struct match_rule *rule = &c->rule[i];
        const json_t *want = rule->value ? rule->value : c->expected;
        (void)judge(c, rule, (const char *)data, n);
        if (json_is_string(want) && judge(c, rule, json_string_value(want), json_string_length(want)) != MATCH_PASS)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct json_lines lines;
    json_t *row = NULL;
    if (json_lines_open_memory(&lines, "fuzz.jsonl", (const char *)data, n, 1 << 16, NULL)) return 0;
    for (int rc; (rc = json_lines_next(&lines, &row, NULL)) != 0;) {
        struct eval_case c;
        struct err e = {0};
        if (rc < 0) continue;
        if (case_parse(&c, row, "fuzz.jsonl", &e) == 0) {
            check_case(&c, data, n);
            case_deinit(&c);
        } else if (!e.msg[0]) {
            abort();
        }
        json_decref(row);
    }
    json_lines_close(&lines);
    return 0;
}
