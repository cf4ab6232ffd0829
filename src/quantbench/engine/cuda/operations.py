"""The operations of a step and of a prompt pass, as two tables: Triton's kernels and their references.

The passes are written once, over a table; so the same code that runs on the GPU is tested without one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from quantbench.engine.cuda.decode_attention.launch import decode_attention
from quantbench.engine.cuda.triton.add_norm import add_norm, add_norm_reference
from quantbench.engine.cuda.triton.argmax import argmax, argmax_reference
from quantbench.engine.cuda.triton.decode_attention import decode_attention_reference
from quantbench.engine.cuda.triton.dequantize import dequantize, dequantize_reference
from quantbench.engine.cuda.triton.embed import embed, embed_reference
from quantbench.engine.cuda.triton.join import join, join_reference
from quantbench.engine.cuda.triton.linear import tiled_linear, tiled_linear_reference
from quantbench.engine.cuda.triton.norm_heads import norm_heads, norm_heads_reference
from quantbench.engine.cuda.triton.prompt_attention import prompt_attention, prompt_attention_reference
from quantbench.engine.cuda.triton.rotate import rotate_prompts, rotate_prompts_reference
from quantbench.engine.cuda.triton.route import route, route_reference
from quantbench.engine.cuda.triton.silu_mul import silu_mul, silu_mul_reference


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOperations:
    """Each has the signature of its reference."""

    name: str
    embed: Callable[..., None]
    add_norm: Callable[..., None]
    join: Callable[..., None]
    norm_heads: Callable[..., None]
    route: Callable[..., None]
    linear: Callable[..., None]
    decode_attention: Callable[..., None]
    argmax: Callable[..., None]
    rotate_prompts: Callable[..., None]
    prompt_attention: Callable[..., None]
    silu_mul: Callable[..., None]
    dequantize: Callable[..., None]


TRITON = StepOperations(
    name="triton",
    embed=embed,
    add_norm=add_norm,
    join=join,
    norm_heads=norm_heads,
    route=route,
    linear=tiled_linear,
    decode_attention=decode_attention,
    argmax=argmax,
    rotate_prompts=rotate_prompts,
    prompt_attention=prompt_attention,
    silu_mul=silu_mul,
    dequantize=dequantize,
)

PLAIN = StepOperations(
    name="plain torch",
    embed=embed_reference,
    add_norm=add_norm_reference,
    join=join_reference,
    norm_heads=norm_heads_reference,
    route=route_reference,
    linear=tiled_linear_reference,
    decode_attention=decode_attention_reference,
    argmax=argmax_reference,
    rotate_prompts=rotate_prompts_reference,
    prompt_attention=prompt_attention_reference,
    silu_mul=silu_mul_reference,
    dequantize=dequantize_reference,
)
