"""Numbers that are not finite: found where weights are cast and logits are read, said in one sentence.

A NaN makes every comparison false and every later figure meaningless, so it must end its trial at once.
Minus infinity alone is a legitimate logit: a token that must not be drawn.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from quantbench.errors import ModelError, NotFiniteError

OF_WEIGHTS = {torch.float16: "use --methods bf16,int8", torch.bfloat16: "use --methods fp32,int8"}
OF_ACTIVATIONS = {
    torch.float16: "use --dtype bfloat16, or --methods bf16",
    torch.bfloat16: "use --dtype float32, or --methods fp32",
}
NO_WIDER = "get the model in a narrower type"


def cast_finite(
    name: str,
    tensor: Tensor,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    fixes: Mapping[torch.dtype, str] = OF_WEIGHTS,
) -> Tensor:
    """`tensor` on `device` in `dtype`; ModelError with count, largest value and fix where that overflows."""
    placed = tensor.to(device=device, dtype=dtype)
    if not is_finite(placed):
        raise ModelError(overflow(name, tensor, dtype, fixes))
    return placed


def is_finite(tensor: Tensor) -> bool:
    """Whether no element is NaN or infinite; one pass, a temporary of 8-bit floats alone."""
    if tensor.numel() == 0 or not tensor.is_floating_point():
        return True
    if tensor.element_size() == 1:  # 8-bit floats know no minimum; each is a finite float32 or NaN
        return not bool(tensor.float().isnan().any())
    low, high = torch.aminmax(tensor)
    return bool(torch.isfinite(low) & torch.isfinite(high))


def overflow(
    name: str, stored: Tensor, dtype: torch.dtype, fixes: Mapping[torch.dtype, str] = OF_WEIGHTS
) -> str:
    """Why the weight `name` cannot be held in `dtype`: which, how many, how large, and the fix."""
    if reason := broken(name, stored):
        return reason
    kind = str(dtype).removeprefix("torch.")
    values = stored.double().abs()
    limit = torch.finfo(dtype).max
    return (
        f"'{name}' holds values beyond {limit:.5g}, the largest {kind} ({int((values > limit).sum())} of "
        f"{values.numel():,}, up to {float(values.max()):.3g}), which would become infinite; "
        f"{fixes.get(dtype, NO_WIDER)}"
    )


def broken(name: str, stored: Tensor) -> str | None:
    """The sentence for a weight that is not finite in the model's own files; None where it is."""
    values = stored.double()
    count = int((~values.isfinite()).sum())
    if not count:
        return None
    return (
        f"'{name}' holds values that are not finite in the model's own files ({count} of {values.numel():,} "
        "are NaN or infinite); download or save the model again"
    )


def check_logits(logits: Tensor, where: str) -> None:
    """NotFiniteError where a logit is NaN or plus infinity, or all of a row are minus infinity.

    logits [rows, vocabulary]; `where` says what they were predicted for: 'after four tokens'.
    """
    if logits.numel() and not is_finite(logits.amax(dim=-1)):
        raise NotFiniteError(f"the logits {where} are")
