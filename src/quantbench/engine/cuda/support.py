"""Why the CUDA engine cannot run something, as phrases; each is None where it can."""

import os
import shutil
import sysconfig
from pathlib import Path

import torch

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.triton.language import MISSING
from quantbench.engine.parameters import ExpertParameters, Parameters
from quantbench.weights.formats import MixedWeight

OLDEST = (8, 0)  # compute capability that the kernels' instructions need


def unsupported_reason(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a model cannot run here, as a phrase; None when it can."""
    if device.type != "cuda":
        return "the device is not CUDA"
    return triton_unsupported_reason(device) or model_unsupported_reason(config, dtype)


def triton_unsupported_reason(device: torch.device) -> str | None:
    """Why Triton's kernels cannot run on this CUDA device, as a phrase; None when they can."""
    if MISSING is not None:
        return MISSING
    major, minor = torch.cuda.get_device_capability(device)
    if (major, minor) < OLDEST:
        return f"the GPU's compute capability {major}.{minor} is below {OLDEST[0]}.{OLDEST[1]}"
    return launcher_unsupported_reason()


def launcher_unsupported_reason() -> str | None:
    """What Triton lacks to compile the C function that launches each kernel; None when it is all there."""
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "Triton needs a C compiler: install gcc"
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")  # as Triton does
    if not Path(sysconfig.get_path("include", scheme), "Python.h").is_file():
        return "Triton needs Python's header files: install python3-dev"
    return None


def model_unsupported_reason(config: ModelConfig, dtype: torch.dtype) -> str | None:
    """What of a model the kernels do not know, as a phrase; None when they know it."""
    if dtype not in (torch.float16, torch.bfloat16):
        return f"activations are {str(dtype).removeprefix('torch.')}, not 16-bit floats"
    if config.head_dim % 8:
        return f"head_dim {config.head_dim} is not a multiple of 8"
    return None


def unsupported_format(parameters: Parameters) -> str | None:
    """Which format of weights has no GPU kernel."""
    for matrix in parameters.matrices():
        if not matrix.weight.has_gpu_kernel:
            return f"weights held as {matrix.weight.scheme} have no GPU kernel"
    for layer in parameters.layers:
        if isinstance(layer.mlp, ExpertParameters) and len(_formats(layer.mlp)) > 2:
            return "experts of a layer in several formats have no GPU kernel"
    return None


def _formats(mlp: ExpertParameters) -> set[tuple[str, int, str, int | None]]:
    """What ups and downs are held in; parts of a mixture apart. Two where all experts are alike."""
    return {
        (type(weight).__name__, place, weight.format, weight.group_size)
        for expert in mlp.experts
        for place, matrix in enumerate(expert.matrices)
        for weight in (matrix.weights() if isinstance(matrix.weight, MixedWeight) else (matrix.weight,))
    }
