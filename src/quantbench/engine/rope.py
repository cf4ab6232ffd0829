"""Rotary position embedding: reads its parameters from a configuration and makes cosine and sine tables.

Types: default, linear, llama3 (Llama 3.1 and later) and yarn, after their papers and with the defaults of
transformers; factors, the same as a list, as GGUF files have them. Types whose frequencies
change with the length of the text (dynamic, longrope) are left out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quantbench.errors import ModelError

ROPE_TYPES = ("default", "linear", "llama3", "yarn", "factors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """The parameters of one rotary embedding; fields of other types than `kind` keep their defaults."""

    kind: str  # one of ROPE_TYPES
    theta: float
    head_dim: int
    factor: float = 1.0
    original_positions: int = 0  # llama3, yarn: the length before the extension
    low_freq_factor: float = 1.0  # llama3
    high_freq_factor: float = 4.0  # llama3
    beta_fast: float = 32.0  # yarn
    beta_slow: float = 1.0  # yarn
    truncate: bool = True  # yarn
    factors: tuple[float, ...] = ()  # factors: what each frequency is divided by
    attention_factor: float = 1.0  # yarn: cosine and sine are multiplied with it

    def inverse_frequencies(self) -> Tensor:
        """Radians per position, float32 [head_dim / 2]."""
        exponent = torch.arange(0, self.head_dim, 2, dtype=torch.float32) / self.head_dim
        plain = 1.0 / (self.theta**exponent)
        if self.kind == "linear":
            return plain / self.factor
        if self.kind == "llama3":
            return self._llama3(plain)
        if self.kind == "yarn":
            return self._yarn(plain)
        if self.kind == "factors":
            return plain / torch.tensor(self.factors)
        return plain

    def tables(self, positions: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine for positions 0 to positions - 1, float32 [positions, head_dim] each.

        The second half of a row repeats the first; the sine's first half is negated, so that a rotation is
        x * cosine + swap_halves(x) * sine.
        """
        angles = torch.arange(positions, dtype=torch.float32)[:, None] * self.inverse_frequencies()
        cos, sin = angles.cos() * self.attention_factor, angles.sin() * self.attention_factor
        return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)

    def _llama3(self, plain: Tensor) -> Tensor:
        """Long waves are stretched by `factor`, short ones kept, those between blended."""
        wavelength = 2 * math.pi / plain
        turns = self.original_positions / wavelength  # within the original length
        span = self.high_freq_factor - self.low_freq_factor
        keep = ((turns - self.low_freq_factor) / span).clamp(0, 1)
        return (1 - keep) * plain / self.factor + keep * plain

    def _yarn(self, plain: Tensor) -> Tensor:
        """Dimensions that turn often are kept, those that turn seldom are stretched by `factor`."""
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


def read_rope(config: Mapping[str, Any], *, head_dim: int, max_positions: int) -> Rope:
    """The rotary parameters of a configuration, in the form of transformers 5 or of its forerunners."""
    given = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = given.get("rope_type", given.get("type", "default"))
    theta = float(given.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    if kind == "default":
        return Rope(kind=kind, theta=theta, head_dim=head_dim)
    if kind == "factors":
        return Rope(kind=kind, theta=theta, head_dim=head_dim, factors=_factors(given, head_dim))
    original = (
        config.get("original_max_position_embeddings")
        or given.get("original_max_position_embeddings")
        or max_positions
    )
    factor = given.get("factor") or max_positions / original
    if kind == "linear":
        return Rope(kind=kind, theta=theta, head_dim=head_dim, factor=factor)
    if kind == "llama3":
        return Rope(
            kind=kind,
            theta=theta,
            head_dim=head_dim,
            factor=factor,
            original_positions=original,
            low_freq_factor=_number(given, "low_freq_factor"),
            high_freq_factor=_number(given, "high_freq_factor"),
        )
    return Rope(
        kind=kind,
        theta=theta,
        head_dim=head_dim,
        factor=factor,
        original_positions=original,
        beta_fast=given.get("beta_fast") or 32.0,
        beta_slow=given.get("beta_slow") or 1.0,
        truncate=given.get("truncate", True),
        attention_factor=_attention_factor(given, factor),
    )


def _factors(given: Mapping[str, Any], head_dim: int) -> tuple[float, ...]:
    """One for each frequency, as GGUF files of Llama 3 and later store them."""
    values = given.get("factors")
    if (
        not isinstance(values, list)
        or len(values) != head_dim // 2
        or not all(isinstance(value, float) and value > 0 for value in values)
    ):
        raise ModelError(f"rope_parameters need {head_dim // 2} positive 'factors'; get the model again")
    return tuple(float(value) for value in values)


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
