/* Every kernel for AVX2 with fused multiply-add (16 registers of 8 floats). */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define FN(name) name##_avx2
#define GEMM_ROWS 2
#include "kernels.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
