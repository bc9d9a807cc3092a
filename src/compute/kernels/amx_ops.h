/* The AMX instructions, as inline assembly. Not the compiler's intrinsics: GCC 12's _tile_loadconfig says it reads 8 of
 * the 64 bytes (the rest of a configuration on the stack is then never written), and its tile loads say they read no
 * memory. Here each says "memory", so stores before a load and loads after a store stay where they are.
 * TAILOR_AMX_EMULATE leaves these names to an emulation that the tests provide, so that the same kernels run on any
 * machine. Tile numbers are constants 0..7. Private to kernels. */
#ifndef KERNELS_AMX_OPS_H
#define KERNELS_AMX_OPS_H

#include <stddef.h>
#include <stdint.h>

/* What LDTILECFG reads: palette 1 has eight tiles of at most 16 rows x 64 bytes. */
struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t n_row[16];
};
_Static_assert(sizeof(struct tile_shapes) == 64, "LDTILECFG reads 64 bytes");

#if !defined(TAILOR_AMX_EMULATE)
#define tile_config(shapes) __asm__ volatile("ldtilecfg\t%0" ::"m"(*(shapes)) : "memory")
#define tile_release()      __asm__ volatile("tilerelease" ::: "memory")
#define tile_zero(t)        __asm__ volatile("tilezero\t%%tmm" #t ::)
#define tile_load(t, p, stride_bytes) \
    __asm__ volatile("tileloadd\t(%0,%1,1), %%tmm" #t ::"r"(p), "r"((size_t)(stride_bytes)) : "memory")
/* the same, telling the CPU that the bytes are used once: they do not push others out of the first-level cache */
#define tile_load_once(t, p, stride_bytes) \
    __asm__ volatile("tileloaddt1\t(%0,%1,1), %%tmm" #t ::"r"(p), "r"((size_t)(stride_bytes)) : "memory")
#define tile_store(t, p, stride_bytes) \
    __asm__ volatile("tilestored\t%%tmm" #t ", (%0,%1,1)" ::"r"(p), "r"((size_t)(stride_bytes)) : "memory")
/* acc[m][n] += sum over k of a[m][2k] b[k][2n] + a[m][2k+1] b[k][2n+1], in float32 */
#define tile_dot_bf16(acc, a, b) __asm__ volatile("tdpbf16ps\t%%tmm" #b ", %%tmm" #a ", %%tmm" #acc ::)
/* the same with four signed bytes, in int32 */
#define tile_dot_s8(acc, a, b) __asm__ volatile("tdpbssd\t%%tmm" #b ", %%tmm" #a ", %%tmm" #acc ::)
#endif

#endif
