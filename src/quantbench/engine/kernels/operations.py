"""The operations of a step and of a prompt pass, as two tables: Triton's kernels and their references.

The passes are written once, over a table; so the same code that runs on the GPU is tested without one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from quantbench.engine.kernels.add_norm import add_norm, add_norm_reference
from quantbench.engine.kernels.decode_attention import decode_attention, decode_attention_reference
from quantbench.engine.kernels.dequantize import dequantize, dequantize_reference
from quantbench.engine.kernels.embed import embed, embed_reference
from quantbench.engine.kernels.linear_many import linear_many, linear_many_reference
from quantbench.engine.kernels.pick import pick, pick_reference
from quantbench.engine.kernels.prompt_attention import prompt_attention, prompt_attention_reference
from quantbench.engine.kernels.rotate import rotate_prompts, rotate_prompts_reference
from quantbench.engine.kernels.silu_mul import silu_mul, silu_mul_reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Each has the signature of its reference."""

    name: str
    embed: Callable[..., None]
    add_norm: Callable[..., None]
    linear: Callable[..., None]
    decode_attention: Callable[..., None]
    pick: Callable[..., None]
    rotate_prompts: Callable[..., None]
    prompt_attention: Callable[..., None]
    silu_mul: Callable[..., None]
    dequantize: Callable[..., None]


TRITON = Operations(
    name="triton",
    embed=embed,
    add_norm=add_norm,
    linear=linear_many,
    decode_attention=decode_attention,
    pick=pick,
    rotate_prompts=rotate_prompts,
    prompt_attention=prompt_attention,
    silu_mul=silu_mul,
    dequantize=dequantize,
)

PLAIN = Operations(
    name="plain torch",
    embed=embed_reference,
    add_norm=add_norm_reference,
    linear=linear_many_reference,
    decode_attention=decode_attention_reference,
    pick=pick_reference,
    rotate_prompts=rotate_prompts_reference,
    prompt_attention=prompt_attention_reference,
    silu_mul=silu_mul_reference,
    dequantize=dequantize_reference,
)
