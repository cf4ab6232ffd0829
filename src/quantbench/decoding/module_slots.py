"""Where a transformers model holds each tensor of a source, whose names are ours for every family."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from quantbench.sources.families import parameter_name

EXPERTS = ".experts."


def slots_of(model: Any, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Our name -> the model's own tensor or a part of it: it joins experts, and gates with ups."""
    slots: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        stem, _, last = name.rpartition(EXPERTS)
        if not stem or parameter.dim() != 3:
            slots[parameter_name(config, name)] = parameter
            continue
        kinds = ("gate_proj", "up_proj") if last == "gate_up_proj" else (last,)
        for number, expert in enumerate(parameter):
            prefix = f"{stem}{EXPERTS}{number}"
            parts = expert.chunk(len(kinds))
            slots |= {f"{prefix}.{kind}.weight": part for kind, part in zip(kinds, parts, strict=True)}
    return slots
