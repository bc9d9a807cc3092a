/* Fuzz target: what a judge replies. A reply that was understood is a share, 0 to 1, or does not apply; one that was
 * not says so. The reply is also the answer that is asked about: the question holds it whatever its bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "ground/json/json.h"
#include "ground/base/mem.h"
#include "lifecycle/rules/judge_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_reply(const struct judge_rule *j, const char *reply, size_t n)
{
    struct err e = {0};
    bool applies = true;
    double value = -1;
    int rc = judge_rule_value(j, reply, n, &applies, &value, &e);
    if (rc < 0 && !e.msg[0]) abort();
    if (rc == 0 && applies && !(value >= 0 && value <= 1)) abort();
}

static void ask(const struct judge_rule *j, const char *answer, size_t n)
{
    struct sandbox_input in = {.answer = answer, .n = n};
    struct ask_call call = {0};
    struct err e = {0};
    bool applies = false;
    int rc = judge_rule_ask(j, &in, &call, &applies, &e);
    if (rc < 0 && !e.msg[0]) abort();
    if (rc == 0 && applies != (call.messages != NULL)) abort();
    json_decref((json_t *)(uintptr_t)call.messages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct judge_rule *j = NULL;
    struct err e = {0};
    json_t *spec = json_pack("{s:s,s:s,s:s,s:s,s:i,s:i}", "type", "judge", "url", "http://127.0.0.1:1/v1", "model", "m",
                             "question", "How good is it?", "min", 1, "max", 5);
    if (spec == NULL || judge_rule_new(&j, spec, "rewards[0]", &e) != 0) abort();
    read_reply(j, (const char *)data, n);
    ask(j, (const char *)data, n);
    judge_rule_free(j);
    json_decref(spec);
    return 0;
}
