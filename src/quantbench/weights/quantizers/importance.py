"""How much each input of a matrix matters, as far as the model's own weights tell without any data.

A matrix behind an RMS norm reads inputs that were scaled to mean square one and then multiplied by the
norm's weight g; if the channels were alike before, input j has mean square g_j^2, and the error of the
matrix's output is the sum of (w_j - w'_j)^2 g_j^2. Other matrices have no such proxy.
"""

from typing import TYPE_CHECKING

from quantbench.sources import ModelSource
from quantbench.sources.layout import EMBEDDING, HEAD, is_tied

if TYPE_CHECKING:
    from torch import Tensor

NORM_BEFORE = {
    "self_attn.q_proj.weight": "input_layernorm.weight",
    "self_attn.k_proj.weight": "input_layernorm.weight",
    "self_attn.v_proj.weight": "input_layernorm.weight",
    "mlp.gate_proj.weight": "post_attention_layernorm.weight",
    "mlp.up_proj.weight": "post_attention_layernorm.weight",
}


def input_importance(source: ModelSource, name: str) -> "Tensor | None":
    """g_j^2 [in] in float32 for the matrix `name`; None where no norm stands before it.

    A tied embedding counts as the head. Where all are equal, as in random weights, None too.
    """
    norm = norm_before(name, tied=is_tied(source.config))
    if norm is None:
        return None
    importance = source.tensor(norm).float().square()
    return None if bool((importance == importance[0]).all()) else importance


def norm_before(name: str, *, tied: bool) -> str | None:
    """The norm whose output the matrix reads; None for one that reads anything else."""
    if name == HEAD or (tied and name == EMBEDDING):
        return "model.norm.weight"
    for suffix, norm in NORM_BEFORE.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix) + norm
    return None
