"""HumanEval+ and MBPP+ (Liu et al. 2023, arXiv:2305.01210): EvalPlus's files, with more inputs.

The files are EvalPlus's releases (HumanEvalPlus.jsonl.gz, MbppPlus.jsonl.gz), from --task-data, from the
paths in EvalPlus's own variables, or from its cache. Base and plus inputs are tried in one pass, see
evaluation/plus.py. Where none is there, the data sets of the hub are taken (hub_plus.py).
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantbench.errors import TaskError
from quantbench.tasks.hub import fetch_file
from quantbench.tasks.hub_plus import HUB_FILES, file_in, is_hub_form, read_hub_form
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
HUB_DATASETS = {HUMANEVAL_PLUS: "evalplus/humanevalplus", MBPP_PLUS: "evalplus/mbppplus"}
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
    path = file_in(Path(data) if data else find_file(name) or hub_file(name))
    if is_hub_form(path):
        return load_hub_form(name, path, protocols)
    problems = read_problems(path)
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


def load_hub_form(name: str, path: Path, protocols: Sequence[PromptProtocol]) -> Task:
    """The task of a hub data set's file: each problem's base and plus inputs are one test."""
    problems = read_hub_form(name, path)
    whole = len(problems) in SIZES[name]
    size = "" if whole else f"{len(problems)} problems, not the published {name} of {SIZES[name][0]}; "
    return Task(
        name=name,
        problems=problems,
        protocol=protocols[0],
        protocols=tuple(protocols),
        data_sha256=content_digest(problems),
        comparable=whole,
        note=f"{size}the hub's form of the data, base and plus inputs in one test",
        many_inputs=True,
    )


def find_file(name: str) -> Path | None:
    """The file that EvalPlus's variable names, or the newest in its cache; None where there is neither."""
    variable, start = PLACES[name]
    if path := os.environ.get(variable):
        return Path(path)
    root = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(root) if root else Path.home() / ".cache") / "evalplus"
    found = sorted(cache.glob(f"{start}-v*.jsonl"))
    return found[-1] if found else None


def hub_file(name: str) -> Path:
    """The hub's data set, from the cache or from the hub; TaskError names what else to give."""
    variable, start = PLACES[name]
    fix = f"give EvalPlus's {start}.jsonl.gz with --task-data {name}={start}.jsonl.gz, or set {variable}"
    return fetch_file(HUB_DATASETS[name], HUB_FILES, title=name, fix=fix)


def digest_of(problems: Sequence[Problem]) -> str:
    """sha256 over the problems and their inputs, as the file has them."""
    digest = hashlib.sha256(content_digest(problems).encode())
    for problem in problems:
        inputs: dict[str, Any] = dict(problem.inputs or {})
        digest.update(json.dumps(inputs, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
