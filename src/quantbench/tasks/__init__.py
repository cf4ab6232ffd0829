"""Benchmarks by name. A loader takes the user's --task-data path (or None) and returns a Task."""

from collections.abc import Callable

from quantbench.errors import TaskError, unknown
from quantbench.tasks.humaneval import load_humaneval
from quantbench.tasks.problem import Problem, PromptProtocol, Task
from quantbench.tasks.quickeval import load_quickeval

TASKS: dict[str, Callable[[str | None], Task]] = {
    "humaneval": load_humaneval,
    "quickeval": load_quickeval,
}


def load_task(name: str, data: str | None = None) -> Task:
    """The task of this name; TaskError for an unknown name or unusable data."""
    if name not in TASKS:
        raise TaskError(unknown("task", name, TASKS))
    return TASKS[name](data)


__all__ = ["TASKS", "Problem", "PromptProtocol", "Task", "load_task"]
