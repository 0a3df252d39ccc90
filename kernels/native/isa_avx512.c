/* Every kernel for AVX-512 (32 registers of 16 floats). */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512")
#endif
#define FN(name) name##_avx512
#define GEMM_ROWS 12
#include "kernels.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
