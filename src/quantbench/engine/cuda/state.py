"""What one decode step reads and writes on the device: token ids, positions, KV cache, generated ids.

A step feeds `tokens[b]` at `positions[b]` for every row b, writes that position's keys and values, and
either picks the most likely next token itself or, when `logits` is there, leaves the choice to a sampler.
Every buffer has a fixed address, so that a step can be captured in a graph. Nothing here computes, and
no memory is held beyond what the rows and the capacity asked for take.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.kv_format import KV_CODES
from quantbench.settings import KvFormat

# of a layer: keys, values [rows, kv_heads, capacity, head_dim]; of codes their scales too, without head_dim
LayerCache = tuple[Tensor, ...]
CACHES = ("keys", "values", "key_scales", "value_scales")  # of a state; scales where it has codes
IDLE = -1  # the position of a row without work


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """Buffers of B rows. A row is idle while its position is outside 0..capacity-1.

    For a busy row b at position p a step
    1. writes keys[:, b, :, p] (rotated) and values[:, b, :, p] of the token fed, in every layer;
    2. without `logits`: t = argmax over the vocabulary (the lowest id of equal ones; NO_TOKEN where the
       greatest logit is not finite, NaN counting as the greatest), then tokens[b] = t, positions[b] = p + 1,
       and output[b, p + 1] = t where p + 1 < capacity;
       with `logits`: logits[b] is written, and tokens, positions and output are left as they are.
    A token that the vocabulary does not have is fed as token 0, so that whatever the numbers are nothing is
    read beyond a tensor. For an idle row nothing is written save its logits, which are then meaningless.

    `first` gives views that share these buffers: kernels take strides from the tensors.
    """

    tokens: Tensor  # int32 [B]: the token to be fed
    positions: Tensor  # int32 [B]: where it is fed; IDLE for a row without work
    keys: Tensor  # activations or codes [layers, B, kv_heads, capacity, head_dim], last two contiguous
    values: Tensor  # the same
    output: Tensor  # int32 [B, capacity]: generated ids by position
    logits: Tensor | None = None  # float32 [B, vocab_size]
    key_scales: Tensor | None = None  # of codes: float32 [layers, B, kv_heads, capacity], the last contiguous
    value_scales: Tensor | None = None  # the same

    @property
    def rows(self) -> int:
        return self.tokens.shape[0]

    @property
    def capacity(self) -> int:
        """Positions that a row can hold: prompt and new tokens together."""
        return self.keys.shape[3]

    def caches(self) -> Iterator[Tensor]:
        """All tensors of the cache, [layers, B, kv_heads, capacity, ...]."""
        for name in CACHES:
            if (tensor := getattr(self, name)) is not None:
                yield tensor

    def layer_cache(self, number: int) -> LayerCache:
        """Of one layer, as kernels take it."""
        return tuple(tensor[number] for tensor in self.caches())

    def first(self, rows: int) -> "StepState":
        """The first rows alone, as views of the same buffers."""
        return StepState(
            tokens=self.tokens[:rows],
            positions=self.positions[:rows],
            keys=self.keys[:, :rows],
            values=self.values[:, :rows],
            output=self.output[:rows],
            logits=None if self.logits is None else self.logits[:rows],
            key_scales=None if self.key_scales is None else self.key_scales[:, :rows],
            value_scales=None if self.value_scales is None else self.value_scales[:, :rows],
        )


def allocate_state(
    config: ModelConfig,
    *,
    rows: int,
    capacity: int,
    dtype: torch.dtype,
    device: torch.device | str,
    with_logits: bool = False,
    kv: KvFormat | None = None,
) -> StepState:
    """A state whose rows are all idle; its cache, of `dtype` or with `kv`, is not initialised."""
    cache = (config.layers, rows, config.kv_heads, capacity, config.head_dim)
    held = dtype if kv is None else KV_CODES[kv].dtype

    def scales() -> Tensor | None:
        return None if kv is None else torch.empty(cache[:-1], dtype=torch.float32, device=device)

    logits = (rows, config.vocab_size)
    return StepState(
        tokens=torch.zeros(rows, dtype=torch.int32, device=device),
        positions=torch.full((rows,), IDLE, dtype=torch.int32, device=device),
        keys=torch.empty(cache, dtype=held, device=device),
        values=torch.empty(cache, dtype=held, device=device),
        output=torch.zeros(rows, capacity, dtype=torch.int32, device=device),
        logits=torch.empty(logits, dtype=torch.float32, device=device) if with_logits else None,
        key_scales=scales(),
        value_scales=scales(),
    )
