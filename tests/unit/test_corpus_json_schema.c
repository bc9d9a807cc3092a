/* The fuzz corpus of JSON Schemas and values, whole and cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../fuzz/fuzz_json_schema.c"
#include "../fuzz/replay.h"

static void corpus_is_survived(void **state)
{
    (void)state;
    assert_true(replay_corpus("tests/fuzz/corpus/json_schema") > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(corpus_is_survived)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
