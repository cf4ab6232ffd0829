"""Rotary position embedding: reads its parameters from a configuration and makes cosine and sine tables.

Types: default, linear, llama3 (Llama 3.1 and later) and yarn, after their papers and with the defaults of
transformers; factors, the same as a list, as GGUF files have them; longrope. dynamic, whose frequencies
change with every token, is left out.

longrope has short factors and long ones, which a text has everywhere that is longer than the length before
the extension. As in transformers a text that outgrows it is computed anew (`crossing`); unlike there each
text of a batch decides for itself. (llama.cpp decides by the context that it was started with.)

A head's first half is turned with its second. Where a part of a head is rotated, the loader has put that
part's halves at the beginnings of the head's halves (`head_order`); the rest is turned by nothing. The tables
also carry the square root of what scores are multiplied with beyond 1 / sqrt(head_dim). torch is imported
when tables are made: a plan is made without it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.sources.families import rotates
from quantbench.sources.family_table import FAMILIES

if TYPE_CHECKING:
    from torch import Tensor

ROPE_TYPES = ("default", "linear", "llama3", "yarn", "factors", "longrope")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """The parameters of one rotary embedding; fields of other types than `kind` keep their defaults."""

    kind: str  # one of ROPE_TYPES
    theta: float
    head_dim: int
    factor: float = 1.0
    original_positions: int = 0  # llama3, yarn, longrope: the length before the extension
    low_freq_factor: float = 1.0  # llama3
    high_freq_factor: float = 4.0  # llama3
    beta_fast: float = 32.0  # yarn
    beta_slow: float = 1.0  # yarn
    truncate: bool = True  # yarn
    factors: tuple[float, ...] = ()  # factors, longrope: what each frequency is divided by
    long_factors: tuple[float, ...] = ()  # longrope: the same in texts beyond the original length
    attention_factor: float = 1.0  # yarn, longrope: cosine and sine are multiplied with it
    rotary_dim: int = 0  # what is rotated of a head; 0 is all of it
    rotates: bool = True  # whether anything is
    scale: float = 1.0  # of all of a head, rotated or not

    def is_long(self, length: int) -> bool:
        """Whether a text of so many tokens has factors of its own."""
        return bool(self.long_factors) and length > self.original_positions

    @property
    def long(self) -> "Rope":
        """The rotation of prompts that are long; itself where none is."""
        return replace(self, factors=self.long_factors, long_factors=()) if self.long_factors else self

    @property
    def turned(self) -> int:
        """Elements of a head that are rotated."""
        return (self.rotary_dim or self.head_dim) if self.rotates else 0

    @property
    def uniform(self) -> bool:
        """Whether one factor holds for all of a head, so that `attention_factor` says it all."""
        return self.scale == 1 and (self.turned == self.head_dim or self.attention_factor == 1)

    def inverse_frequencies(self) -> "Tensor":
        """Radians per position, float32 [head_dim / 2], 0 where nothing is rotated."""
        import torch

        if not self.rotates:
            return torch.zeros(self.head_dim // 2)
        if self.turned < self.head_dim:
            part = replace(self, head_dim=self.turned, rotary_dim=0).inverse_frequencies()
            return torch.cat((part, torch.zeros((self.head_dim - self.turned) // 2)))
        exponent = torch.arange(0, self.head_dim, 2, dtype=torch.float32) / self.head_dim
        plain = 1.0 / (self.theta**exponent)
        if self.kind == "linear":
            return plain / self.factor
        if self.kind == "llama3":
            return self._llama3(plain)
        if self.kind == "yarn":
            return self._yarn(plain)
        if self.kind in ("factors", "longrope"):
            return plain / torch.tensor(self.factors)
        return plain

    def tables(self, positions: int) -> "tuple[Tensor, Tensor]":
        """Cosine and sine for positions 0 to positions - 1, float32 [positions, head_dim] each.

        The second half of a row repeats the first; the sine's first half is negated, so that a rotation is
        x * cosine + swap_halves(x) * sine. A position at which texts become long has their factors.
        """
        import torch

        places = torch.arange(positions, dtype=torch.float32)[:, None]
        angles = places * self.inverse_frequencies()
        if self.is_long(positions):
            begin = self.original_positions
            angles[begin:] = places[begin:] * self.long.inverse_frequencies()
        factor = torch.full((self.head_dim // 2,), self.scale)
        factor[: self.turned // 2] *= self.attention_factor
        cos, sin = angles.cos() * factor, angles.sin() * factor
        return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)

    def _llama3(self, plain: "Tensor") -> "Tensor":
        """Long waves are stretched by `factor`, short ones kept, those between blended."""
        wavelength = 2 * math.pi / plain
        turns = self.original_positions / wavelength  # within the original length
        span = self.high_freq_factor - self.low_freq_factor
        keep = ((turns - self.low_freq_factor) / span).clamp(0, 1)
        return (1 - keep) * plain / self.factor + keep * plain

    def _yarn(self, plain: "Tensor") -> "Tensor":
        """Dimensions that turn often are kept, those that turn seldom are stretched by `factor`."""
        import torch

        low, high = self._turning(self.beta_fast), self._turning(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, self.head_dim - 1)
        span = (high - low) or 0.001
        stretch = ((torch.arange(self.head_dim // 2, dtype=torch.float32) - low) / span).clamp(0, 1)
        return plain / self.factor * stretch + plain * (1 - stretch)

    def _turning(self, turns: float) -> float:
        """The dimension that makes this many turns within the original length."""
        length = self.original_positions / (turns * 2 * math.pi)
        return self.head_dim * math.log(length) / (2 * math.log(self.theta))


def layer_ropes(
    config: Mapping[str, Any], *, head_dim: int, windows: Sequence[int | None]
) -> tuple[Rope, ...]:
    """The rotation of each layer of a completed configuration."""
    family = FAMILIES[config["model_type"]]
    kinds = {
        local: read_rope(config, head_dim=head_dim, local=local)
        for local in ((True, False) if family.local_rope else (False,))
    }
    still = replace(kinds[False], rotates=False)
    return tuple(
        kinds[family.local_rope and window is not None] if rotates(config, layer) else still
        for layer, window in enumerate(windows)
    )


def rope_settings(config: Mapping[str, Any], *, local: bool = False) -> dict[str, Any]:
    """What a configuration says of the rotation, of layers with a window where `local`, in one form."""
    given = dict(config.get("rope_scaling") or config.get("rope_parameters") or {})
    family = FAMILIES[config["model_type"]]
    if family.local_rope:
        nested = dict(config.get("rope_parameters") or {})
        if any(isinstance(value, dict) for value in nested.values()):
            given = {**(nested.get("sliding_attention" if local else "full_attention") or {})}
            if not local:
                given |= config.get("rope_scaling") or {}
        elif local:
            given = {}
        given.setdefault("rope_theta", config.get("rope_local_base_freq" if local else "rope_theta"))
    kind = given.get("rope_type", given.get("type", "default"))
    return given | {"rope_type": family.rope_names.get(kind, kind) if isinstance(kind, str) else kind}


def rotary_dim(config: Mapping[str, Any], head_dim: int) -> int:
    """What is rotated of a head, in a completed configuration."""
    given = config.get("rope_scaling") or config.get("rope_parameters") or {}
    return int(head_dim * (given.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0))


def head_order(config: Mapping[str, Any], head_dim: int) -> list[int] | None:
    """Which element of a stored head stands where, so that halves are turned with halves; None for their own
    order."""
    turned = rotary_dim(config, head_dim)
    if turned == head_dim:
        return None
    half, rest = turned // 2, (head_dim - turned) // 2
    firsts = [*range(half), *range(turned, turned + rest)]
    return [*firsts, *range(half, turned), *range(turned + rest, head_dim)]


def score_scale(config: Mapping[str, Any], head_dim: int) -> float:
    """What scores are multiplied with, over 1 / sqrt(head_dim)."""
    family = FAMILIES[config["model_type"]]
    if "query_pre_attn_scalar" in family.reads:
        return float((head_dim / config["query_pre_attn_scalar"]) ** 0.5)
    if "attention_multiplier" in family.reads:
        return float(config["attention_multiplier"] * head_dim**0.5)
    return 1.0


def read_rope(config: Mapping[str, Any], *, head_dim: int, local: bool = False) -> Rope:
    """The rotary parameters of a completed configuration, as transformers 5 has it or its forerunners."""
    given = rope_settings(config, local=local)
    max_positions = int(config["max_position_embeddings"])
    part = rotary_dim(config, head_dim)
    rope = _read_kind(given, config, part, max_positions)
    return replace(rope, head_dim=head_dim, rotary_dim=part, scale=score_scale(config, head_dim) ** 0.5)


def _read_kind(
    given: Mapping[str, Any], config: Mapping[str, Any], head_dim: int, max_positions: int
) -> Rope:
    kind = given["rope_type"]
    theta = float(given.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    rope = Rope(kind=kind, theta=theta, head_dim=head_dim)
    if kind == "default":
        return rope
    if kind == "factors":
        return replace(rope, factors=_factors(given, head_dim))
    original = (
        config.get("original_max_position_embeddings")
        or given.get("original_max_position_embeddings")
        or max_positions
    )
    factor = given.get("factor") or max_positions / original
    if kind == "linear":
        return replace(rope, factor=factor)
    if kind == "longrope":
        return replace(
            rope,
            factors=_factors(given, head_dim, "short_factor"),
            long_factors=_factors(given, head_dim, "long_factor") if original < max_positions else (),
            original_positions=original,
            attention_factor=_longrope_factor(given, factor, original),
        )
    rope = replace(rope, factor=factor, original_positions=original)
    if kind == "llama3":
        low, high = (_number(given, name) for name in ("low_freq_factor", "high_freq_factor"))
        return replace(rope, low_freq_factor=low, high_freq_factor=high)
    return replace(
        rope,
        beta_fast=given.get("beta_fast") or 32.0,
        beta_slow=given.get("beta_slow") or 1.0,
        truncate=given.get("truncate", True),
        attention_factor=_attention_factor(given, factor),
    )


def _factors(given: Mapping[str, Any], head_dim: int, key: str = "factors") -> tuple[float, ...]:
    """One for each frequency, as GGUF files of Llama 3 and later and longrope have them."""
    values = given.get(key)
    if (
        not isinstance(values, list)
        or len(values) != head_dim // 2
        or not all(isinstance(value, float | int) and value > 0 for value in values)
    ):
        raise ModelError(f"rope_parameters need {head_dim // 2} positive '{key}'; get the model again")
    return tuple(float(value) for value in values)


def _longrope_factor(given: Mapping[str, Any], factor: float, original: int) -> float:
    """As given, or from how much longer texts have become."""
    if given.get("attention_factor") is not None:
        return float(given["attention_factor"])
    return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))


def _number(given: Mapping[str, Any], key: str) -> float:
    value = given.get(key)
    if not isinstance(value, int | float):
        raise ModelError(f"rope_parameters lack the number '{key}'; get a complete copy of the config.json")
    return float(value)


def _attention_factor(given: Mapping[str, Any], factor: float) -> float:
    """yarn: as given, or from mscale, or from the factor alone."""
    if given.get("attention_factor") is not None:
        return float(given["attention_factor"])

    def scale(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    mscale, mscale_all = given.get("mscale"), given.get("mscale_all_dim")
    if mscale and mscale_all:
        return scale(mscale) / scale(mscale_all)
    return scale(1.0)
