"""Compiles `kernels.cpp` for the machine at hand at first use, keeps it in the user's cache, and loads it.

A compiler (c++, g++ or clang++) is the only thing needed; nothing is downloaded. Without one, or where
compiling fails, `load_kernels` says why and the engine goes on in plain torch. The cached file's name holds
a digest of the sources, the flags, the compiler and the CPU's features, so that a home folder shared by
unlike machines is safe. Setting QUANTBENCH_CPU_KERNELS=off turns the kernels off.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import psutil

from quantbench.user_cache import user_cache

SOURCE = Path(__file__).with_name("kernels.cpp")
SOURCES = (
    "kernels.cpp",
    "block_product.hpp",
    "blocks.hpp",
    "codes.hpp",
    "columns.hpp",
    "cuts.hpp",
    "kv_cells.hpp",
    "layers.hpp",
    "panels.hpp",
    "parts.hpp",
    "product.hpp",
    "products.hpp",
    "prompt_attention.hpp",
    "prompt_dot.hpp",
    "prompt_product.hpp",
    "readers.hpp",
    "rows.hpp",
    "stored_readers.hpp",
    "token_attention.hpp",
    "unpacking.hpp",
    "vectors.hpp",
)
SWITCH = "QUANTBENCH_CPU_KERNELS"
TARGETS = {"x86_64": "-march=native", "aarch64": "-mcpu=native", "arm64": "-mcpu=native"}  # by machine
FLAGS = (
    "-fPIC",
    "-O3",
    "-std=c++17",
    TARGETS.get(platform.machine(), "-march=native"),
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-w",
)
# torch's own OpenMP runtime is in the process already, and a second one would fight it for the cores: first
# leave its symbols to be found there, then try the compiler's, then do without threads
THREADINGS = ((("-fopenmp",), ()), (("-fopenmp",), ("-fopenmp",)), ((), ()))
COMPILE_LIMIT_S = 600  # it takes 40 on one core that has nothing else to do


@dataclass(frozen=True, slots=True)
class Built:
    """The loaded kernels, or the reason why there are none."""

    kernels: ctypes.CDLL | None
    reason: str | None = None
    seconds: float = 0.0  # that compiling and loading took in this process


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One library: the first of its sources is compiled, the others are what it includes."""

    stem: str  # of its file's name
    sources: tuple[Path, ...]
    flags: tuple[str, ...]


def kernels() -> Unit:
    """The products and the steps between them."""
    sources = tuple(SOURCE.with_name(name) for name in SOURCES)
    return Unit(stem="cpu-kernels", sources=sources, flags=FLAGS)


@cache
def load_kernels() -> Built:
    """The kernels, compiled if need be; asked once a process."""
    return load_unit(kernels())


def load_unit(unit: Unit) -> Built:
    """A library, compiled if need be."""
    if os.environ.get(SWITCH) == "off":
        return Built(None, f"{SWITCH}=off")
    compiler = find_compiler()
    if compiler is None:
        return Built(None, "no C++ compiler found (install g++)")
    start = time.perf_counter()
    built = build(compiler, user_cache(), unit)
    return replace(built, seconds=time.perf_counter() - start)


def find_compiler() -> str | None:
    """The path of a C++ compiler, the one in CXX first."""
    names = [os.environ.get("CXX"), "c++", "g++", "clang++"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


def build(compiler: str, folder: Path, unit: Unit | None = None) -> Built:
    """Load a library, by default the kernels, from `folder`, compiling it first where it is not there."""
    unit, reason = unit or kernels(), "no attempt"
    for compile_flags, link_flags in THREADINGS:
        flags = (*unit.flags, *compile_flags)
        path = folder / f"{unit.stem}-{digest(compiler, (*flags, *link_flags), unit.sources)}.so"
        try:
            if not path.exists():
                compile_to(path, compiler, list(flags), list(link_flags), unit.sources[0])
            return Built(ctypes.CDLL(str(path)))
        except subprocess.CalledProcessError as error:
            reason = f"{compiler} failed: {(error.stderr or '').strip()[-300:]}"
        except subprocess.TimeoutExpired:
            return Built(None, f"compiling them was not done in {COMPILE_LIMIT_S} s (is the machine busy?)")
        except OSError as error:
            reason = f"cannot build or load CPU kernels: {error}"
    return Built(None, reason)


def compile_to(
    path: Path, compiler: str, compile_flags: list[str], link_flags: list[str], source: Path = SOURCE
) -> None:
    """Compile into a temporary folder, which a killed run's guard removes; `path` appears in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        object_file, library = Path(folder) / "kernels.o", Path(folder) / "kernels.so"
        run([compiler, "-c", *compile_flags, str(source), "-o", str(object_file)])
        run([compiler, "-shared", str(object_file), *link_flags, "-o", str(library)])
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            shutil.copyfile(library, beside)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def run(command: list[str]) -> None:
    """Run a compiler quietly; CalledProcessError holds what it said. A slow one ends with its parts."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = process.communicate(timeout=COMPILE_LIMIT_S)
        except subprocess.TimeoutExpired:
            for part in psutil.Process(process.pid).children(recursive=True):
                part.kill()
            process.kill()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, *said)


def digest(compiler: str, flags: tuple[str, ...], files: tuple[Path, ...] | None = None) -> str:
    """Sixteen hex digits for these sources, compiler, flags and CPU."""
    real = Path(compiler).resolve()
    sources = [path.read_text() for path in files or kernels().sources]
    parts = [*sources, str(real), str(real.stat().st_mtime_ns), " ".join(flags), cpu_features()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def cpu_features() -> str:
    """What tells CPUs with unlike instructions apart."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
