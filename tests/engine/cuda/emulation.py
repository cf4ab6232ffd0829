"""Compiles the persistent kernel for the CPU emulator and runs steps on it."""

import ctypes
import hashlib
import shutil
import subprocess
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from quantbench.engine.cuda.persistent.launch import StepArguments
from quantbench.engine.cuda.persistent.shape import StepShape
from quantbench.engine.cuda.state import StepState
from quantbench.engine.parameters import Parameters

COMPILER = shutil.which("g++")
SHAPE = {"shared_bytes": 60_000, "short_split": 16, "short_splits": 2, "least_run": 16, "slot_limit": 4096}


def emulated_step(
    model: Parameters, state: StepState, folder: Path, *, blocks: int = 3, warps: int = 3
) -> Callable[[], bool]:
    """A function that runs one step; false where the kernel deadlocked or broke a rule of the machine."""
    shape = StepShape(rows=state.rows, blocks=blocks, warps=warps, **SHAPE)
    defines = [f"-D{key}={value}" for key, value in shape.defines(model).items()]
    library = folder / f"{hashlib.sha256(' '.join(defines).encode()).hexdigest()[:16]}.so"
    if not library.is_file():
        parts = Path(str(files("quantbench.engine.cuda.persistent")))
        main = Path(__file__).parent / "emulated.cpp"
        options = ["-std=c++17", "-O1", "-w", "-shared", "-fPIC", f"-I{parts}", *defines]
        subprocess.run([str(COMPILER), *options, "-o", str(library), str(main)], check=True, timeout=120)
    code = ctypes.CDLL(str(library))
    arguments = StepArguments(model, state, shape)
    return lambda: bool(code.run_step(ctypes.byref(arguments.parameters)))
