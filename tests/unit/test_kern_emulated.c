/* The AVX-512 (with VDPBF16PS) and AMX kernels where this machine has none of them: the same files, compiled in
 * tests/emu on portable intrinsics and emulated tiles. */
#include "kern_checks.h"

/* from tests/emu */
void kern_gemm_fill_avx512_emulated(struct kern *k);
void kern_q8_fill_avx512_emulated(struct kern *k);
void kern_q8_runs_fill_avx512_emulated(struct kern *k);
void kern_panel_fill_avx512_emulated(struct kern *k);
void kern_rows_fill_avx512_emulated(struct kern *k);
void kern_train_fill_avx512_emulated(struct kern *k);
void kern_convert_fill_avx512_emulated(struct kern *k);
void kern_gemm_fill_amx_emulated(struct kern *k);
void kern_gemm_fill_avx512bf16_emulated(struct kern *k);
void kern_gemm_f16_fill_avx512_emulated(struct kern *k);
void kern_kv_fill_avx512_emulated(struct kern *k);
void kern_panel_fill_avx512bf16_emulated(struct kern *k);
void kern_rows_fill_avx512bf16_emulated(struct kern *k);
void kern_panel_fill_avx512fp16_emulated(struct kern *k);

static struct kern emulated; /* AVX-512 entries and AMX ones */
static struct kern pairs;    /* the same with VDPBF16PS in the place of tiles, and int8 products without runs */

static void test_self_test(void **state)
{
    (void)state;
    assert_null(kern_self_test(&emulated));
    assert_null(kern_self_test(&pairs));
}

static void wrong_gemm_bf16(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *p, size_t p_stride,
                            size_t n_row, size_t n_group, size_t n_k, bool accumulate)
{
    emulated.gemm_bf16(y, ldy, x, ldx, p, p_stride, n_row, n_group, n_k, accumulate);
    y[(n_row - 1) * ldy] += 1;
}

/* Tiles that give wrong sums are given up together with the readers that only they use. */
static void test_wrong_tiles_are_dropped(void **state)
{
    (void)state;
    struct kern level[KERN_AMX + 1], k;
    for (int i = KERN_SCALAR; i <= KERN_AMX; i++) {
        kern_fill(&level[i], KERN_SCALAR);
        level[i].isa = (enum kern_isa)i;
    }
    level[KERN_AMX] = emulated;
    kern_choose(&k, level, KERN_AMX);
    assert_int_equal(k.isa, KERN_AMX);
    assert_true(k.gemm_bf16 == emulated.gemm_bf16 && k.quant[QUANT_Q4_0].panel_bf16 != NULL);
    level[KERN_AMX].gemm_bf16 = wrong_gemm_bf16;
    assert_string_equal(kern_self_test(&level[KERN_AMX]), "gemm_bf16");
    kern_choose(&k, level, KERN_AMX);
    assert_int_equal(k.isa, KERN_AVX512);
    assert_null(k.gemm_bf16);
    assert_null(k.product_bf16);
    assert_null(k.quant[QUANT_Q4_0].panel_bf16);
    assert_null(k.quant[QUANT_Q4_0].rows_bf16);
    assert_true(k.gemm_f32 == emulated.gemm_f32);
}

/* Where AVX-512 has a bf16 product too, it takes the place of wrong tiles; a reader that is wrong takes all with it. */
static void test_wrong_tiles_are_replaced_by_pairs(void **state)
{
    (void)state;
    struct kern level[KERN_AMX + 1], k;
    for (int i = KERN_SCALAR; i <= KERN_AMX; i++) {
        kern_fill(&level[i], KERN_SCALAR);
        level[i].isa = (enum kern_isa)i;
    }
    level[KERN_AVX512] = pairs;
    level[KERN_AMX] = emulated;
    level[KERN_AMX].gemm_bf16 = wrong_gemm_bf16;
    kern_choose(&k, level, KERN_AMX);
    assert_int_equal(k.isa, KERN_AVX512);
    assert_true(k.gemm_bf16 == pairs.gemm_bf16);
    assert_true(k.quant[QUANT_Q4_0].panel_bf16 == emulated.quant[QUANT_Q4_0].panel_bf16); /* serves both */
    assert_null(kern_self_test(&k));
    level[KERN_AVX512].quant[QUANT_F16].panel_bf16 = pairs.quant[QUANT_BF16].panel_bf16;
    assert_string_equal(kern_self_test(&level[KERN_AVX512]), "F16 panel_bf16");
    kern_choose(&k, level, KERN_AVX512);
    assert_int_equal(k.isa, KERN_AVX512);
    assert_null(k.gemm_bf16);
    assert_null(k.quant[QUANT_Q4_0].rows_bf16);
}

int main(void)
{
    kern_fill(&emulated, KERN_SCALAR);
    kern_gemm_fill_avx512_emulated(&emulated);
    kern_q8_fill_avx512_emulated(&emulated);
    kern_gemm_f16_fill_avx512_emulated(&emulated);
    kern_kv_fill_avx512_emulated(&emulated);
    kern_panel_fill_avx512_emulated(&emulated);
    kern_rows_fill_avx512_emulated(&emulated);
    kern_train_fill_avx512_emulated(&emulated);
    kern_convert_fill_avx512_emulated(&emulated);
    kern_gemm_fill_amx_emulated(&emulated);
    kern_panel_fill_avx512bf16_emulated(&emulated);
    kern_rows_fill_avx512bf16_emulated(&emulated);
    emulated.isa = KERN_AMX;
    pairs = emulated;
    kern_panel_fill_avx512fp16_emulated(&emulated);
    kern_q8_runs_fill_avx512_emulated(&emulated);
    pairs.isa = KERN_AVX512;
    pairs.product_bf16 = NULL;
    kern_gemm_fill_avx512bf16_emulated(&pairs);
#define X(check) {#check, check_##check, NULL, NULL, &emulated},
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_self_test), cmocka_unit_test(test_wrong_tiles_are_dropped),
                                       cmocka_unit_test(test_wrong_tiles_are_replaced_by_pairs),

                                       KERN_CHECKS(X) BF16_CHECKS(X)
#undef X
#define X(check) {#check " otherwise", check_##check, NULL, NULL, &pairs},
                                           BF16_CHECKS(X) X(gemm_q8)};
#undef X
    return cmocka_run_group_tests(tests, NULL, NULL);
}
