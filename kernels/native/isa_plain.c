/* Every kernel for whatever processor the compiler was asked to build for (SSE2, NEON). */
#define FN(name) name##_plain
#define GEMM_ROWS 2
#include "kernels.h"
