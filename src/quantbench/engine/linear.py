"""What a matrix product is to the model: `plain.linear` runs everywhere, `cpu.linear` faster on a CPU."""

from typing import Protocol

from torch import Tensor

AS_LINEAR = "as linear"  # a `prompt_kernel` that is no other


class Linear(Protocol):
    """One matrix and its bias, applied in the activations' dtype."""

    kernel: str  # what computes it
    prompt_kernel: str  # the same of prompts to be continued
    invariant: bool  # a row's result is the same whatever rows stand beside it
    bits: int  # of activations; 0 where they keep all
    prompt_bits: int  # of those of prompts, at most also of weights; 0 where prompts are as everything else

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        """x [tokens, in] -> [tokens, out], plus `residual` [tokens, out] if given.

        `prompt` says that the tokens are those of prompts to be continued: there a device may take a faster
        way with fewer bits, which `prompt_kernel` then names. The number of tokens does not decide it.
        """
        ...

    def rows(self, ids: Tensor) -> Tensor:
        """Rows `ids` of the matrix as float32 [len(ids), in]: the embedding of tokens."""
        ...
