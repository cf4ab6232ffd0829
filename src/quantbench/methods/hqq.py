"""HQQ, by its own library: the linear layers of a loaded model, the head apart, quantized in place."""

from typing import Any

BITS, GROUP = 4, 64


def quantize_linears(model: Any) -> None:
    """Replace each linear layer whose size is a whole number of groups by the library's own."""
    import torch
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            whole = type(layer) is torch.nn.Linear and layer.weight.numel() % GROUP == 0
            if whole and layer is not head:
                made = HQQLinear(
                    layer,
                    quant_config=BaseQuantizeConfig(nbits=BITS, group_size=GROUP, axis=1),
                    compute_dtype=model.dtype,
                    device=str(model.device),
                )
                setattr(parent, name, made)
