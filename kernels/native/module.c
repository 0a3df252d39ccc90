/* The library's doors: each kernel under one name, for the best instruction set of this processor.
 *
 * It is loaded with ctypes, which lets other threads run meanwhile; being an extension module is
 * only how it is built and found.
 */
#include <Python.h>
#include <stdint.h>

enum { PLAIN = 0, AVX2 = 1, AVX512 = 2 };

#if defined(__x86_64__)
#define OP(name, parameters, arguments) \
    void name##_plain parameters;       \
    void name##_avx2 parameters;        \
    void name##_avx512 parameters;
#else
#define OP(name, parameters, arguments) void name##_plain parameters;
#endif
#include "ops.def"
#undef OP

static int best(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return AVX2;
#endif
    return PLAIN;
}

static int chosen = -1;

/* What every kernel takes, as compiled: a library may be older than those who call it. */
const char *tamis_interface(void) {
#define OP(name, parameters, arguments) #name #parameters
    return
#include "ops.def"
        ;
#undef OP
}

/* Use at most this instruction set (tests run all three); returns what is in use then. */
int tamis_limit_instruction_set(int most) {
    int able = best();
    chosen = most < able ? most : able;
    return chosen;
}

#if defined(__x86_64__)
#define OP(name, parameters, arguments)       \
    void tamis_##name parameters {            \
        if (chosen == AVX512)                 \
            name##_avx512 arguments;          \
        else if (chosen == AVX2)              \
            name##_avx2 arguments;            \
        else                                  \
            name##_plain arguments;           \
    }
#else
#define OP(name, parameters, arguments) \
    void tamis_##name parameters { name##_plain arguments; }
#endif
#include "ops.def"

__attribute__((constructor)) static void choose(void) { chosen = best(); }

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernels", NULL, -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModule_Create(&definition); }
