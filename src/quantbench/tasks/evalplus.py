"""HumanEval+ and MBPP+ (Liu et al. 2023, arXiv:2305.01210): EvalPlus's files, with more inputs.

The files are EvalPlus's releases (HumanEvalPlus.jsonl.gz, MbppPlus.jsonl.gz), from --task-data, from the
paths in EvalPlus's own variables, or from its cache. Base and plus inputs are tried in one pass, see
evaluation/plus.py.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantbench.errors import TaskError
from quantbench.tasks.mbpp_inputs import restored
from quantbench.tasks.problem import Grading, Problem, PromptProtocol, Task
from quantbench.tasks.problem_file import content_digest, read_problems
from quantbench.tasks.protocols import FUNCTION_PROTOCOLS, MBPP_PROTOCOLS

HUMANEVAL_PLUS, MBPP_PLUS = "humaneval+", "mbpp+"
# The variable that names the file, and what its name starts with in EvalPlus's cache.
PLACES = {
    HUMANEVAL_PLUS: ("HUMANEVAL_OVERRIDE_PATH", "HumanEvalPlus"),
    MBPP_PLUS: ("MBPP_OVERRIDE_PATH", "MbppPlus"),
}
SIZES = {HUMANEVAL_PLUS: (164,), MBPP_PLUS: (378, 399)}  # of the published releases


def load_humaneval_plus(data: str | None = None) -> Task:
    """HumanEval+ from `data`, HUMANEVAL_OVERRIDE_PATH or EvalPlus's cache; TaskError if none can be read."""
    return _load(HUMANEVAL_PLUS, data, FUNCTION_PROTOCOLS, lambda problem: problem)


def load_mbpp_plus(data: str | None = None) -> Task:
    """MBPP+ from `data`, MBPP_OVERRIDE_PATH or EvalPlus's cache; TaskError if none can be read."""
    return _load(MBPP_PLUS, data, MBPP_PROTOCOLS, restored)


def _load(
    name: str,
    data: str | None,
    protocols: Sequence[PromptProtocol],
    restore: Callable[[Problem], Problem],
) -> Task:
    problems = read_problems(Path(data) if data else find_file(name))
    bare = [problem.task_id for problem in problems if problem.inputs is None]
    if bare:
        raise TaskError(f"{bare[0]} has no plus_input; give EvalPlus's file of {name} with --task-data")
    note = None
    if len(problems) not in SIZES[name]:
        note = f"{len(problems)} problems, not the published {name} of {SIZES[name][0]}"
    return Task(
        name=name,
        problems=tuple(restore(replace(problem, dataset=name)) for problem in problems),
        protocol=protocols[0],
        protocols=tuple(protocols),
        data_sha256=digest_of(problems),
        comparable=note is None,
        note=note,
        grading=Grading.PLUS,
    )


def find_file(name: str) -> Path:
    """The file that EvalPlus's variable names, or the newest in its cache; TaskError names what to give."""
    variable, start = PLACES[name]
    if path := os.environ.get(variable):
        return Path(path)
    root = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(root) if root else Path.home() / ".cache") / "evalplus"
    found = sorted(cache.glob(f"{start}-v*.jsonl"))
    if not found:
        raise TaskError(
            f"{name} is not in EvalPlus's cache ({cache}); give its {start}.jsonl.gz with "
            f"--task-data {name}={start}.jsonl.gz, or set {variable}"
        )
    return found[-1]


def digest_of(problems: Sequence[Problem]) -> str:
    """sha256 over the problems and their inputs, as the file has them."""
    digest = hashlib.sha256(content_digest(problems).encode())
    for problem in problems:
        inputs: dict[str, Any] = dict(problem.inputs or {})
        digest.update(json.dumps(inputs, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
