/* All kernels, compiled once for each instruction set. */
#include "simd.h"

#include "../bi_gated_scan/mingru.inc.c"
#include "../folded/folded.inc.c"
#include "../linear_scan/linear_scan.inc.c"
