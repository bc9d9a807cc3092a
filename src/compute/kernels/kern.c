/* The table: which level this CPU has, which functions a level consists of, and the fall-back when an entry gives
 * wrong results. Owns no arithmetic. The scalar level always works. */
#include <string.h>
#include <strings.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "compute/kernels/kern_int.h"
#include "ground/base/log.h"

static const char *const isa_names[] = {
    [KERN_SCALAR] = "scalar", [KERN_AVX2] = "avx2", [KERN_AVX512] = "avx512", [KERN_AMX] = "amx"};

#if defined(__x86_64__)
enum { L7_1_EAX_AVX512_BF16 = 1 << 5 };
struct cpu {
    bool is_amd;
    unsigned family;
    unsigned l1_ecx, l7_ebx, l7_ecx, l7_edx; /* cpuid leaves 1 and 7 */
    unsigned l7_1_eax;                       /* leaf 7, subleaf 1 */
    unsigned xcr0;                           /* register state that the operating system saves */
};

static bool has(unsigned reg, unsigned bits)
{
    return (reg & bits) == bits;
}

static bool cpu_read(struct cpu *c)
{
    unsigned a, b, c0, d;
    if (!__get_cpuid(0, &a, &b, &c0, &d)) {
        return false;
    }
    c->is_amd = b == signature_AMD_ebx && c0 == signature_AMD_ecx && d == signature_AMD_edx;
    if (!__get_cpuid(1, &a, &b, &c->l1_ecx, &d)) {
        return false;
    }
    c->family = (a >> 8 & 15) + (a >> 20 & 255); /* the second part counts from 15 on, where the first ends */
    if (!has(c->l1_ecx, bit_OSXSAVE) || !__get_cpuid_count(7, 0, &a, &c->l7_ebx, &c->l7_ecx, &c->l7_edx)) {
        return false;
    }
    if (!__get_cpuid_count(7, 1, &c->l7_1_eax, &b, &a, &d)) {
        c->l7_1_eax = 0;
    }
    unsigned high;
    __asm__ volatile("xgetbv" : "=a"(c->xcr0), "=d"(high) : "c"(0));
    return true;
}

/* Linux hands out the 8 KiB of tile registers on request only, to the whole process. */
static bool amx_permitted(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

enum kern_isa kern_isa_detect(void)
{
    enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6, XCR0_AMX = 0x60000 };
    enum { L7_EDX_AMX_BF16 = 1 << 22, L7_EDX_AMX_TILE = 1 << 24, L7_EDX_AMX_INT8 = 1 << 25 };
    struct cpu c;
    if (!cpu_read(&c) || !has(c.xcr0, XCR0_AVX) || !has(c.l7_ebx, bit_AVX2) || !has(c.l1_ecx, bit_FMA | bit_F16C)) {
        return KERN_SCALAR;
    }
    if (!has(c.xcr0, XCR0_AVX512) || !has(c.l7_ecx, bit_AVX512VNNI) ||
        !has(c.l7_ebx, (unsigned)bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | (unsigned)bit_AVX512VL)) {
        return KERN_AVX2;
    }
    if (!has(c.xcr0, XCR0_AMX) || !has(c.l7_edx, L7_EDX_AMX_BF16 | L7_EDX_AMX_TILE | L7_EDX_AMX_INT8) ||
        !has(c.l7_1_eax, L7_1_EAX_AVX512_BF16) || !amx_permitted()) {
        return KERN_AVX512;
    }
    return KERN_AMX;
}

/* VDPBF16PS is worth using without tiles: on Zen 5 it runs at twice the rate of float32 multiply-adds (measured, 531
 * against 266 GFLOPS a core), on Intel's Sapphire Rapids it is slower than they are. A fact about the maker and not a
 * measurement at start: the same machine computes the same bits in every run. */
static bool has_fast_bf16(void)
{
    struct cpu c;
    return cpu_read(&c) && c.is_amd && has(c.l7_1_eax, L7_1_EAX_AVX512_BF16);
}

/* Zen 4 does an instruction of 512 bits in two halves: one product of bytes a cycle beside two loads, and a store of a
 * whole register takes two cycles, so that weights are better unpacked again for every tile of rows than kept in the
 * cache (Q4_0, GOPS of two cores at 4, 8, 12, 16, 64 rows: 453, 427, 536, 560, 626 in runs, 479, 620, 585, 610, 632
 * in tiles). Both give the same bits. */
static bool has_half_wide_512(void)
{
    enum { FAMILY_ZEN_4 = 0x19 };
    struct cpu c;
    return cpu_read(&c) && c.is_amd && c.family == FAMILY_ZEN_4;
}
static bool has_fp16(void)
{
    enum { L7_EDX_AVX512_FP16 = 1 << 23 };
    struct cpu c;
    return cpu_read(&c) && has(c.l7_edx, L7_EDX_AVX512_FP16);
}

/* Where tiles become faster than products of bytes depends on what reads the weights for them. Every CPU with tiles so
 * far has float16 arithmetic, but a hypervisor may hide it. Emerald Rapids, rates of tiles over those of int8 at 8, 10,
 * 12, 14, 16 sequences, one byte: 1.5B Q4_0 1.08, 1.12, 1.20, 1.25, 1.35, Q4_K_M 0.82, 0.93, 1.00, 1.14, 1.30, Q8_0
 * 1.07, 1.04, 1.19, 1.28, 1.33; two bytes, at 6 to 10: 0.5B Q4_0 0.86, 1.05, 1.11, 1.14, 1.18, Q8_0 1.06, 1.12, 1.13,
 * 1.24, 1.25, Q4_K_M 0.97, 1.04, 1.08, 1.12, 1.19, SmolLM2 0.89, 0.98, 1.11, 1.10, 1.13. */
static void fill_amx(struct kern *k)
{
    kern_gemm_fill_amx(k);
    kern_panel_fill_avx512bf16(k);
    kern_rows_fill_avx512bf16(k);
    kern_floor_fill_amx(k);
    k->bf16_min_rows[0] = 22;
    k->bf16_min_rows[1] = 16;
    if (has_fp16()) {
        kern_panel_fill_avx512fp16(k);
        k->bf16_min_rows[0] = 12;
        k->bf16_min_rows[1] = 8;
    }
}
#else
enum kern_isa kern_isa_detect(void)
{
    return KERN_SCALAR;
}
#endif

const char *kern_isa_name(enum kern_isa isa)
{
    return isa_names[isa];
}

int kern_isa_parse(const char *name, enum kern_isa *out, struct err *e)
{
    for (size_t i = 0; i < N_ELEM(isa_names); i++) {
        if (strcasecmp(name, isa_names[i]) == 0) {
            *out = (enum kern_isa)i;
            return 0;
        }
    }
    return err_set(e, ERR_USAGE, name, "cannot use instruction set \"%s\": expected scalar, avx2, avx512 or amx", name);
}

void kern_fill(struct kern *k, enum kern_isa isa)
{
    memset(k, 0, sizeof(*k));
    k->isa = isa;
    kern_gemm_fill_scalar(k);
    kern_kv_fill_scalar(k);
    kern_rows_fill_scalar(k);
    kern_train_fill_scalar(k);
    kern_convert_fill_scalar(k);
    kern_floor_fill_scalar(k);
#if defined(__x86_64__)
    if (isa >= KERN_AVX2) {
        kern_gemm_fill_avx2(k);
        kern_q8_fill_avx2(k);
        kern_q8_steps_fill_avx2(k);
        kern_gemm_f16_fill_avx2(k);
        kern_kv_fill_avx2(k);
        kern_panel_fill_avx2(k);
        kern_rows_fill_avx2(k);
        kern_train_fill_avx2(k);
        kern_convert_fill_avx2(k);
        kern_floor_fill_avx2(k);
    }
    if (isa >= KERN_AVX512) {
        kern_gemm_fill_avx512(k);
        kern_q8_fill_avx512(k);
        if (!has_half_wide_512()) {
            kern_q8_runs_fill_avx512(k);
        }
        kern_gemm_f16_fill_avx512(k);
        kern_kv_fill_avx512(k);
        kern_panel_fill_avx512(k);
        kern_rows_fill_avx512(k);
        kern_train_fill_avx512(k);
        kern_convert_fill_avx512(k);
        kern_floor_fill_avx512(k);
    }
    if (isa >= KERN_AVX512 && has_fast_bf16()) {
        kern_gemm_fill_avx512bf16(k);
        kern_panel_fill_avx512bf16(k);
        kern_rows_fill_avx512bf16(k);
    }
    if (isa >= KERN_AMX) {
        fill_amx(k);
    }
#endif
}

static void copy_entry(struct kern *to, const struct kern *from, const struct kern_entry *entry)
{
    memcpy((char *)to + entry->offset, (const char *)from + entry->offset, sizeof(void (*)(void)));
}

/* The bf16 product comes with its readers or not at all, and a table whose tiles were wrong is one of AVX-512. */
static void settle_bf16(struct kern *k, const struct kern *level)
{
    bool whole = k->gemm_bf16 && k->pairs_bf16 && k->exp_bf16 && k->swiglu_bf16;
    for (int i = 0; i < QUANT_COUNT; i++) {
        whole = whole && k->quant[i].panel_bf16 && k->quant[i].rows_bf16;
    }
    for (int i = 0; i < QUANT_COUNT && !whole; i++) {
        k->quant[i].panel_bf16 = NULL;
        k->quant[i].rows_bf16 = NULL;
    }
    k->gemm_bf16 = whole ? k->gemm_bf16 : NULL;
    k->pairs_bf16 = whole ? k->pairs_bf16 : NULL;
    k->exp_bf16 = whole ? k->exp_bf16 : NULL;
    k->swiglu_bf16 = whole ? k->swiglu_bf16 : NULL;
    if (k->isa == KERN_AMX && k->gemm_bf16 != level[KERN_AMX].gemm_bf16) {
        k->isa = KERN_AVX512;
        k->product_bf16 = NULL;
        k->floor = level[KERN_AVX512].floor;
    }
}

/* gemm_f16, gemm_kv and gemm_few give the bits of gemm_f32, which the scalar ones do only beside their own kind: they
 * do not fuse. */
static void settle_f16(struct kern *k, const struct kern *level)
{
    if (k->gemm_f16 == level[KERN_SCALAR].gemm_f16 || k->gemm_kv == level[KERN_SCALAR].gemm_kv) {
        k->gemm_f16 = level[KERN_SCALAR].gemm_f16;
        k->gemm_kv = level[KERN_SCALAR].gemm_kv;
        k->gemm_f32 = level[KERN_SCALAR].gemm_f32;
        for (int i = 0; i < QUANT_COUNT; i++) {
            k->quant[i].gemm_few = level[KERN_SCALAR].quant[i].gemm_few;
        }
    }
}

/* Leaves the entry of the highest level that works, after a warning for each that does not. */
static void entry_choose(struct kern *k, const struct kern *level, const struct kern_entry *entry)
{
    int at = (int)k->isa;
    while (at >= (int)entry->since && at > KERN_SCALAR && !entry->same(k, &level[KERN_SCALAR])) {
        at--;
        copy_entry(k, &level[at], entry);
        log_warn("kernel %s of %s gives wrong results on this CPU: using %s", entry->name, isa_names[at + 1],
                 isa_names[at]);
    }
}

void kern_choose(struct kern *k, const struct kern *level, enum kern_isa isa)
{
    *k = level[isa];
    for (size_t i = 0; i < kern_n_entry; i++) {
        const struct kern_entry *entry = &kern_entries[i];
        if (entry->since <= k->isa) {
            entry_choose(k, level, entry);
        }
    }
    settle_f16(k, level);
    settle_bf16(k, level);
}

void kern_init(struct kern *k, enum kern_isa isa)
{
    struct kern level[KERN_AMX + 1];
    for (int i = KERN_SCALAR; i <= (int)isa; i++) {
        kern_fill(&level[i], (enum kern_isa)i);
    }
    kern_choose(k, level, isa);
}

const char *kern_self_test(const struct kern *k)
{
    struct kern scalar;
    kern_fill(&scalar, KERN_SCALAR);
    for (size_t i = 0; i < kern_n_entry; i++) {
        if (k->isa >= kern_entries[i].since && !kern_entries[i].same(k, &scalar)) {
            return kern_entries[i].name;
        }
    }
    return NULL;
}
