"""Compile Triton kernels for a GPU that is not here: what proves that they build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Variant:
    """One kernel with the types of its arguments and the values of its constants.

    signature: argument name -> Triton's spelling ("*fp32", "*bf16", "*i32", "i32", "fp32");
    constants: constexpr name -> value. ``num_warps`` and the like go to ``options``.
    Each op's ``fused.variants()`` lists the ones it launches.
    """

    name: str
    kernel: Any
    signature: Mapping[str, str]
    constants: Mapping[str, Any]
    options: Mapping[str, Any]


def compile_for(variant: Variant, capability: int) -> int:
    """Size in bytes of the machine code for an NVIDIA GPU of this capability (80, 90).

    As a launch compiles it that finds tensors beginning at multiples of 16 bytes, as torch's do,
    and sizes that are multiples of 16: only what the compiler knows to be aligned does it load in
    vectors and fetch ahead, and it has broken there alone.
    Needs no GPU, but must run where TRITON_INTERPRET was never set.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = {
        name: variant.signature.get(name, "constexpr") for name in variant.kernel.arg_names
    }
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, argument in enumerate(variant.kernel.params)
        if signature[argument.name] != "constexpr" and not argument.do_not_specialize
    }
    source = ASTSource(variant.kernel, signature, dict(variant.constants), aligned)
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options=dict(variant.options))
    return len(compiled.asm["cubin"])
