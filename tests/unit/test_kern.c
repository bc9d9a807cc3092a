/* The kernel tables of every instruction set this CPU has against scalar, and what happens when an entry is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kern_checks.h"

#include "ground/base/file.h"
#include "ground/base/mem.h"

enum { MAX_TESTS = 128 };

static struct kern levels[KERN_AMX + 1];
#if defined(__x86_64__)
static struct kern tiles, runs; /* AVX-512 with the int8 products of either kind of CPU */
#endif
static char names[MAX_TESTS][64];
static struct CMUnitTest tests[MAX_TESTS];
static size_t n_test;

static void test_add(const char *name, const char *level, CMUnitTestFunction fn, void *state)
{
    snprintf(names[n_test], sizeof(names[0]), "%s %s", level, name);
    tests[n_test] = (struct CMUnitTest){names[n_test], fn, NULL, NULL, state};
    n_test++;
}

static void wrong_add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] += i == 40 ? 0 : x[i];
    }
}

/* right but for one part in a million in one column: only a comparison of bits sees it */
static void wrong_gemm(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const float *p, size_t ldp,
                       size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    levels[KERN_SCALAR].gemm_ref(y, ldy, x, x_row, x_k, p, ldp, n_row, n_col, n_k, accumulate);
    y[n_col - 1] = bits_f32(f32_bits(y[n_col - 1]) + 1);
}

static void wrong_gemm_q8(float *y, size_t ldy, const void *packed, size_t group_bytes, size_t n_group,
                          const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate)
{
    levels[KERN_SCALAR].quant[QUANT_Q4_1].gemm_q8(y, ldy, packed, group_bytes, n_group, x, n_row, n_block, accumulate);
    y[(n_row - 1) * ldy] = 0;
}

static float wrong_softmax(float *x, size_t n, float scale)
{
    float lse = levels[KERN_SCALAR].softmax(x, n, scale);
    return lse + 0x1p-18f;
}

static void test_wrong_entry_is_named_and_replaced(void **state)
{
    (void)state;
    struct kern good, two[2], k;
    kern_fill(&good, KERN_SCALAR);
    assert_null(kern_self_test(&good));
    two[0] = good;
    for (int i = 0; i < 4; i++) {
        static const char *const name[] = {"add", "gemm_ref", "Q4_1 gemm_q8", "softmax"};
        two[1] = good;
        two[1].isa = KERN_AVX2;
        two[1].add = i == 0 ? wrong_add : good.add;
        two[1].gemm_ref = i == 1 ? wrong_gemm : good.gemm_ref;
        two[1].quant[QUANT_Q4_1].gemm_q8 = i == 2 ? wrong_gemm_q8 : good.quant[QUANT_Q4_1].gemm_q8;
        two[1].softmax = i == 3 ? wrong_softmax : good.softmax;
        assert_non_null(kern_self_test(&two[1]));
        assert_string_equal(kern_self_test(&two[1]), name[i]);
        kern_choose(&k, two, KERN_AVX2);
        assert_null(kern_self_test(&k));
        assert_true(k.add == good.add && k.gemm_ref == good.gemm_ref && k.softmax == good.softmax);
        assert_true(k.quant[QUANT_Q4_1].gemm_q8 == good.quant[QUANT_Q4_1].gemm_q8);
        assert_int_equal(k.isa, KERN_AVX2);
    }
}

static int does_nothing(void)
{
    return 0;
}

static void set_entry(struct kern *k, const struct kern_entry *entry, int (*fn)(void))
{
    memcpy((char *)k + entry->offset, &fn, sizeof(fn)); /* of another type: what is called with arguments takes none */
}

static bool same_entry(const struct kern *a, const struct kern *b, const struct kern_entry *entry)
{
    return memcmp((const char *)a + entry->offset, (const char *)b + entry->offset, sizeof(void (*)(void))) == 0;
}

/* What kern_choose says on stderr (mem_free). */
static char *choose_aloud(struct kern *k, const struct kern *level, enum kern_isa isa)
{
    char path[] = "/tmp/tailor-kern-XXXXXX", *text;
    size_t n;
    struct err e;
    int file = mkstemp(path), kept = dup(STDERR_FILENO);
    assert_true(file >= 0 && kept >= 0);
    fflush(stderr);
    dup2(file, STDERR_FILENO);
    kern_choose(k, level, isa);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(file);
    if (file_read_all(path, 1 << 20, &text, &n, &e)) fail_msg("%s", e.msg);
    unlink(path);
    return text;
}

/* Sanitized, each of them is ten times as slow. */
#if defined(__SANITIZE_ADDRESS__)
enum { ENTRY_STEP = 5 };
#else
enum { ENTRY_STEP = 1 };
#endif

/* Every entry of every level in turn does nothing at all: the self-test finds it, a warning names it, and the entry of
 * the next lower level is used (or of the one below that, when it is the same function), the others stay. */
static void test_every_broken_entry_falls_back(void **state)
{
    (void)state;
    for (int isa = KERN_AVX2; isa <= (int)kern_isa_detect(); isa++) {
        for (size_t i = 0; i < kern_n_entry; i += ENTRY_STEP) {
            const struct kern_entry *entry = &kern_entries[i];
            struct kern level[KERN_AMX + 1], k;
            memcpy(level, levels, sizeof(level));
            if ((int)entry->since > isa || same_entry(&level[isa], &(struct kern){.isa = KERN_SCALAR}, entry)) {
                continue; /* this CPU has none */
            }
            set_entry(&level[isa], entry, does_nothing);
            const char *found = kern_self_test(&level[isa]);
            if (!found || strcmp(found, entry->name) != 0) {
                fail_msg("%s of %s: the self-test found %s", entry->name, kern_isa_name((enum kern_isa)isa),
                         found ? found : "nothing");
            }
            char want[160], *said = choose_aloud(&k, level, (enum kern_isa)isa);
            snprintf(want, sizeof(want), "kernel %s of %s gives wrong results on this CPU: using %s", entry->name,
                     kern_isa_name((enum kern_isa)isa), kern_isa_name((enum kern_isa)(isa - 1)));
            if (!strstr(said, want) || kern_self_test(&k)) fail_msg("wanted \"%s\", got \"%s\"", want, said);
            assert_true(entry->since == KERN_AVX512 || same_entry(&k, &levels[isa - 1], entry));
            mem_free(said);
        }
    }
}

static void test_init_takes_the_level(void **state)
{
    (void)state;
    for (int isa = KERN_SCALAR; isa <= (int)kern_isa_detect(); isa++) {
        struct kern k;
        kern_init(&k, (enum kern_isa)isa);
        assert_int_equal(k.isa, isa);
        assert_true(k.gemm_f32 == levels[isa].gemm_f32); /* nothing fell back on this CPU */
        assert_true(k.gemm_bf16 == levels[isa].gemm_bf16);
        assert_true(isa >= KERN_AVX512 ? isa != KERN_AMX || k.gemm_bf16 != NULL : k.gemm_bf16 == NULL);
    }
}

static void test_names(void **state)
{
    (void)state;
    for (int isa = KERN_SCALAR; isa <= KERN_AMX; isa++) {
        enum kern_isa parsed;
        assert_int_equal(kern_isa_parse(kern_isa_name((enum kern_isa)isa), &parsed, NULL), 0);
        assert_int_equal(parsed, isa);
    }
    struct err e = {0};
    enum kern_isa parsed;
    assert_int_equal(kern_isa_parse("neon", &parsed, &e), -ERR_USAGE);
    assert_string_equal(e.msg, "cannot use instruction set \"neon\": expected scalar, avx2, avx512 or amx");
    assert_int_equal(kern_isa_parse("AVX2", &parsed, NULL), 0);
}

int main(void)
{
    kern_fill(&levels[KERN_SCALAR], KERN_SCALAR);
    test_add("every broken entry falls back", "any", test_every_broken_entry_falls_back, NULL);
    test_add("a wrong entry is named and replaced", "any", test_wrong_entry_is_named_and_replaced, NULL);
    test_add("init takes the level asked for", "any", test_init_takes_the_level, NULL);
    test_add("names of instruction sets", "any", test_names, NULL);
    for (int isa = KERN_SCALAR; isa <= (int)kern_isa_detect(); isa++) {
        const char *name = kern_isa_name((enum kern_isa)isa);
        kern_fill(&levels[isa], (enum kern_isa)isa);
#define X(check) test_add(#check, name, check_##check, &levels[isa]);
        KERN_CHECKS(X)
        if (levels[isa].gemm_bf16 != NULL) {
            BF16_CHECKS(X)
        }
#undef X
    }
#if defined(__x86_64__)
    if (kern_isa_detect() >= KERN_AVX512) {
        tiles = runs = levels[KERN_AVX512];
        kern_q8_fill_avx512(&tiles);
        kern_q8_runs_fill_avx512(&runs);
        test_add("gemm_q8", "tiles", check_gemm_q8, &tiles);
        test_add("gemm_q8", "runs", check_gemm_q8, &runs);
    }
#endif
    return _cmocka_run_group_tests("kern", tests, n_test, NULL, NULL);
}
