"""torchao's configurations as transformers takes them, and the devices that its kernels need."""

from typing import Any

from quantbench.methods.method import LoadSettings


def int8(settings: LoadSettings) -> Any:
    """int8 weights, a scale per output channel."""
    from torchao.quantization import Int8WeightOnlyConfig

    return configured(Int8WeightOnlyConfig())


def int8_dynamic(settings: LoadSettings) -> Any:
    """int8 weights and activations, a scale per output channel and per token."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    return configured(Int8DynamicActivationInt8WeightConfig())


def int4(settings: LoadSettings) -> Any:
    """4 bits in groups of 128, packed in tiles for tensor cores."""
    from torchao.quantization import Int4WeightOnlyConfig

    return configured(Int4WeightOnlyConfig(group_size=128, int4_packing_format="tile_packed_to_4d"))


def float8(settings: LoadSettings) -> Any:
    """e4m3 weights, a scale per output channel."""
    from torchao.quantization import Float8WeightOnlyConfig

    return configured(Float8WeightOnlyConfig())


def float8_dynamic(settings: LoadSettings) -> Any:
    """e4m3 weights and activations, a scale per output channel and per token."""
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow

    return configured(Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()))


def configured(config: Any) -> Any:
    """A configuration of torchao as one of transformers."""
    from transformers import TorchAoConfig

    return TorchAoConfig(config)


def needs_ampere(device: str) -> str | None:
    """Why the 4-bit kernels do not run on a device."""
    return needs(device, "4-bit kernels", (8, 0))


def needs_ada(device: str) -> str | None:
    """Why products of 8-bit floats do not run on a device."""
    return needs(device, "products of 8-bit floats", (8, 9))


def needs(device: str, what: str, capability: tuple[int, int]) -> str | None:
    """A sentence where a device is no GPU of at least this compute capability."""
    wanted = f"torchao's {what} need a GPU of compute capability {capability[0]}.{capability[1]} or more"
    if not device.startswith("cuda"):
        return f"{wanted}; use --device cuda:0 on a machine that has one"
    import torch

    found = torch.cuda.get_device_capability(device)
    return None if found >= capability else f"{wanted}, and {device} has {found[0]}.{found[1]}"
