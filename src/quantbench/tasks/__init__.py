"""Benchmarks by name. A loader takes the user's --task-data path (or None) and returns a Task."""

from collections.abc import Callable, Sequence

from quantbench.errors import TaskError, unknown
from quantbench.settings.harness_names import is_harness
from quantbench.tasks.evalplus import HUMANEVAL_PLUS, MBPP_PLUS, load_humaneval_plus, load_mbpp_plus
from quantbench.tasks.gsm8k import load_gsm8k
from quantbench.tasks.humaneval import load_humaneval
from quantbench.tasks.problem import Problem, PromptProtocol, Task
from quantbench.tasks.quickeval import load_quickeval

TASKS: dict[str, Callable[[str | None], Task]] = {
    "humaneval": load_humaneval,
    HUMANEVAL_PLUS: load_humaneval_plus,
    MBPP_PLUS: load_mbpp_plus,
    "gsm8k": load_gsm8k,
    "quickeval": load_quickeval,
}


def load_task(name: str, data: str | None = None) -> Task:
    """The task of this name; TaskError for an unknown name or unusable data."""
    if name not in TASKS:
        raise TaskError(unknown("task", name, TASKS))
    return TASKS[name](data)


def data_of(name: str, data: str | None) -> str | None:
    """The file that --task-data gives a task: the whole text, or behind its name in `humaneval=a,gsm8k=b`."""
    named = files_of(data)
    return data if named is None else named.get(name)


def check_data(data: str | None, names: Sequence[str]) -> None:
    """TaskError for a file that no task of these is given, or that several would be."""
    named = files_of(data)
    if data and named is None and len(names) != 1:
        raise TaskError(
            "--task-data belongs to one task; name it as in --task-data humaneval=HumanEval.jsonl.gz"
        )
    for name in named or {}:
        if name not in names:
            raise TaskError(f"--task-data names the task '{name}', which is not run; add it to --tasks")


def files_of(data: str | None) -> dict[str, str] | None:
    """Files by the names of tasks; None for a text that is one file."""
    parts = [part.partition("=") for part in (data or "").split(",")]
    if not all((name.strip() in TASKS or is_harness(name.strip())) and file for name, _, file in parts):
        return None
    return {name.strip(): file.strip() for name, _, file in parts}


__all__ = ["TASKS", "Problem", "PromptProtocol", "Task", "check_data", "data_of", "load_task"]
