"""Compiles the CUDA C++ kernels for the CPU emulator and runs them on it."""

import ctypes
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

from quantbench.engine.cuda.decode_attention.launch import AttentionParams, Form
from quantbench.engine.cuda.decode_attention.launch import Run as Attend
from quantbench.engine.cuda.few_rows.launch import ProductParams, Run
from quantbench.engine.cuda.few_rows.variant import Variant
from quantbench.engine.cuda.persistent.launch import StepArguments, codes_of
from quantbench.engine.cuda.persistent.shape import StepShape
from quantbench.engine.cuda.sources import PACKAGES
from quantbench.engine.cuda.state import StepState
from quantbench.engine.parameters import Parameters

COMPILER = shutil.which("g++")
SHAPE = {"shared_bytes": 60_000, "short_split": 16, "short_splits": 2, "least_run": 16, "slot_limit": 4096}


def emulated_step(
    model: Parameters,
    state: StepState,
    folder: Path,
    *,
    blocks: int = 3,
    warps: int = 3,
    **shape_changes: int,
) -> Callable[[], bool]:
    """A function that runs one step; false where the kernel deadlocked or broke a rule of the machine."""
    changes = {**SHAPE, "kv_codes": codes_of(state), **shape_changes}
    shape = StepShape(rows=state.rows, blocks=blocks, warps=warps, **changes)
    code = library("emulated.cpp", shape.defines(model), folder)
    arguments = StepArguments(model, state, shape)
    return lambda: bool(code.run_step(ctypes.byref(arguments.parameters)))


def emulated_products(folder: Path) -> Run:
    """What launches forms of few_rows.cu on the emulator; it fails where a kernel breaks a rule."""

    def run(variant: Variant, product: ProductParams, blocks: int) -> None:
        code = library("emulated_few_rows.cpp", variant.defines(), folder)
        assert code.run_product(ctypes.byref(product), blocks), "the kernel broke a rule of the machine"

    return run


def emulated_attention(folder: Path) -> Attend:
    """What launches forms of attend.cu on the emulator; it fails where a kernel breaks a rule."""

    def run(form: Form, parameters: AttentionParams, blocks: int) -> None:
        code = library("emulated_attention.cpp", form.defines(), folder)
        assert code.run_attention(ctypes.byref(parameters), blocks), "the kernel broke a rule of the machine"

    return run


def library(name: str, macros: Mapping[str, object], folder: Path) -> ctypes.CDLL:
    """A kernel compiled with these macros, once a folder."""
    defines = [f"-D{key}={value}" for key, value in macros.items()]
    made = folder / f"{hashlib.sha256(' '.join([name, *defines]).encode()).hexdigest()[:16]}.so"
    if not made.is_file():
        main = Path(__file__).parent / name
        parts = [f"-I{files(package)}" for package in PACKAGES]
        options = ["-std=c++17", "-O1", "-w", "-shared", "-fPIC", *parts, *defines]
        subprocess.run([str(COMPILER), *options, "-o", str(made), str(main)], check=True, timeout=120)
    return ctypes.CDLL(str(made))
