/* The floors: every number is there on the lowest and the highest level of this CPU, none is absurd, and a lack of
 * memory is an error. How fast the machine is, is not a matter for a test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compute/measure/floors.h"
#include "ground/base/mem.h"

static void test_all_measured(void **state)
{
    (void)state;
    struct err e = {0};
    const enum kern_isa isa[2] = {KERN_SCALAR, kern_isa_detect()};
    for (int i = 0; i < 2; i++) {
        struct kern k;
        struct floors f = {0};
        kern_init(&k, isa[i]);
        assert_int_equal(floors_measure(&f, 2, isa[i], &e), 0);
        assert_true(f.read_gb_s > 0 && f.read_gb_s < 1e5);
        assert_true(f.fp32_gflops > 0 && f.fp32_gflops < 1e6);
        assert_true(f.int8_gops > 0 && f.int8_gops < 1e7);
        assert_true(f.int4_int8_gops > 0 && f.int4_int8_gops < 1e7);
        assert_true((f.bf16_gflops > 0) == (k.floor.bf16 != NULL));
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    struct err e = {0};
    struct floors f;
    mem_fault_after(1);
    assert_int_equal(floors_measure(&f, 1, KERN_SCALAR, &e), -ERR_NOMEM);
    mem_fault_after(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_measured), cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
