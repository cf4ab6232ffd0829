"""What tells one family of models from another: the facts that `family_table` states of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple


class NormNames(NamedTuple):
    """The norms of a layer by their place; None where there is none."""

    before_attention: str | None
    behind_attention: str | None  # of what attention adds
    before_mlp: str | None
    behind_mlp: str | None  # of what the MLP adds


PRE_NORMS = NormNames("input_layernorm", None, "post_attention_layernorm", None)
POST_NORMS = NormNames(None, "post_attention_layernorm", None, "post_feedforward_layernorm")
FOUR_NORMS = NormNames(
    "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"
)


class Window(Enum):
    """Which layers see `sliding_window` positions alone."""

    NEVER = "no layer"
    ALWAYS = "every layer, where sliding_window is set"
    ASKED = "every layer, where use_sliding_window is set"
    LATE = "where use_sliding_window is set, those of layer_types or from max_window_layers on"
    EVEN = "where use_sliding_window is set, those of layer_types or even ones below max_window_layers"
    PATTERN = "those of layer_types, or all but each sliding_window_pattern-th"


TYPED = (Window.LATE, Window.EVEN, Window.PATTERN)  # those that read layer_types


class HeadNorm(Enum):
    """What norms of queries and keys go over."""

    HEAD = "each head"
    WIDTH = "all heads together"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How one architecture differs from the others. A bias that is a text is decided by that key."""

    architecture: str
    defaults: Mapping[str, Any]  # of keys that a configuration may lack
    aliases: Mapping[str, str] = field(default_factory=dict)  # the family's key -> the common key
    renames: tuple[tuple[str, str], ...] = ()  # parts of stored names -> of ours, in this order
    computed: tuple[str, ...] = ()  # ends of stored names that are no parameters
    qkv_bias: bool | str = False
    out_bias: bool | str = False
    mlp_bias: bool | str = False
    norms: NormNames = PRE_NORMS
    centered_norms: bool = False  # LayerNorm with a bias instead of RMS norm
    norm_offset: float = 0.0  # what is added to stored norm weights
    head_norm: HeadNorm | None = None
    fused_qkv: bool = False  # one matrix
    interleaved: bool = False  # and in it queries, keys and values of a head beside each other
    gated: bool = True  # the MLP has gates
    fused_gate_up: bool = False
    parallel: str | None = None  # the key that decides whether attention and MLP read the same input
    window: Window = Window.NEVER
    local_rope: bool = False  # layers with a window have a rotation of their own
    unrotated: bool = False  # no_rope_layers names layers without rotation
    experts: bool = False  # the MLP is a mixture of experts
    scaled_embedding: bool = False  # by the square root of hidden_size
    partial_rotary: bool = False  # partial_rotary_factor is read
    rope_names: Mapping[str, str] = field(default_factory=dict)  # what older files call a rope_type
    reads: tuple[str, ...] = ()  # keys of factors and caps that the others do not have
    ignored: tuple[str, ...] = ()  # keys of others that mean nothing here
    refused: tuple[str, ...] = ()  # keys that are not read and must not be set
