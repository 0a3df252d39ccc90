/* Vectors of 16 floats for every processor: the compiler splits them where registers are narrower.
 *
 * Included once for each instruction set by isa_*.c, which sets
 *   FN(name)    the name with the set's suffix,
 *   GEMM_ROWS   rows of a product that are kept in registers at a time.
 */
#ifndef TAMIS_SIMD_H
#define TAMIS_SIMD_H

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LANES 16
typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef float vf_unaligned __attribute__((vector_size(4 * LANES), aligned(4)));

#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const float *from) { return *(const vf_unaligned *)from; }
INLINE void store(float *to, vf x) { *(vf_unaligned *)to = x; }
INLINE vf spread(float x) { return (vf){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }

INLINE float sum(vf x) {
    float total = 0;
    for (int lane = 0; lane < LANES; lane++) total += x[lane];
    return total;
}

/* The first `count` floats, zeros beyond: never reads past them. */
INLINE vf load_part(const float *from, int64_t count) {
    vf x = spread(0);
    memcpy(&x, from, (size_t)count * sizeof(float));
    return x;
}

INLINE void store_part(float *to, vf x, int64_t count) {
    memcpy(to, &x, (size_t)count * sizeof(float));
}

INLINE vf choose_where(vi mask, vf then, vf otherwise) {
    return (vf)(((vi)then & mask) | ((vi)otherwise & ~mask));
}

/* e^x to 2 units in the last place for |x| <= 87, saturating beyond (Cephes' polynomial). */
INLINE vf vexp(vf x) {
    const vf most = spread(87.0f);
    vf capped = choose_where(x > most, most, x);
    capped = choose_where(capped < -most, -most, capped);
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to the nearest integer */
    vf shifted = capped * 1.44269504088896341f + magic;
    vf whole = shifted - magic;
    vf rest = capped - whole * 0.693359375f;
    rest = rest + whole * 2.12194440e-4f;
    vf y = spread(1.9875691500e-4f);
    y = y * rest + 1.3981999507e-3f;
    y = y * rest + 8.3334519073e-3f;
    y = y * rest + 4.1665795894e-2f;
    y = y * rest + 1.6666665459e-1f;
    y = y * rest + 5.0000001201e-1f;
    y = y * rest * rest + rest + 1.0f;
    vi power = ((vi)shifted - (vi)spread(magic) + 127) << 23;
    return y * (vf)power;
}

INLINE vf vsigmoid(vf x) { return 1.0f / (1.0f + vexp(-x)); }

/* States that fade become subnormal numbers, which are slow: flushed to zero inside a kernel. */
#if defined(__x86_64__)
INLINE unsigned flush_subnormals(void) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
}
INLINE void restore_subnormals(unsigned before) { _mm_setcsr(before); }
#else
INLINE unsigned flush_subnormals(void) { return 0; }
INLINE void restore_subnormals(unsigned before) { (void)before; }
#endif

#endif
