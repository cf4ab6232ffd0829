"""The tasks of lm-eval that a run names, found and identified before anything is loaded."""

from functools import lru_cache

from quantbench.evaluation.harness.loading import load_harness_task
from quantbench.evaluation.harness.names import parse_name
from quantbench.settings import RunSettings
from quantbench.tasks import data_of


def resolve_harness(settings: RunSettings) -> dict[str, str]:
    """What identifies each one's content, by name; an error for one that cannot be asked."""
    asked = settings.evaluation
    return {name: digest(name, data_of(name, asked.task_data), asked.limit) for name in asked.harness_tasks}


@lru_cache(maxsize=64)
def digest(name: str, folder: str | None, limit: int | None) -> str:
    """Looked up once for all models of a run."""
    return load_harness_task(parse_name(name), folder, limit).sha256
