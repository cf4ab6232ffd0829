"""COMMANDS: what `quantbench NAME` does. Importing it loads neither torch nor the analysis.

Each is a function of its settings, of where its answer goes and of where it says what it is doing; it
returns the exit status. Its docstring is its help.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rich.console import Console

from quantbench.commands.audit import audit
from quantbench.commands.compare import compare
from quantbench.commands.doctor import doctor
from quantbench.commands.export import export
from quantbench.commands.methods import methods
from quantbench.commands.recommend import recommend
from quantbench.commands.report import report
from quantbench.commands.run import run
from quantbench.commands.score import score
from quantbench.commands.status import status
from quantbench.output import Output
from quantbench.settings import Settings
from quantbench.settings.commands import (
    AuditSettings,
    CompareSettings,
    DoctorSettings,
    ExportSettings,
    MethodsSettings,
    RecommendSettings,
    ReportSettings,
    ScoreSettings,
    StatusSettings,
)
from quantbench.settings.run import RunSettings

Asked = TypeVar("Asked", bound=Settings)


@dataclass(frozen=True, slots=True)
class Command(Generic[Asked]):
    """A command: its options, and what it does."""

    settings: type[Asked]
    act: Callable[[Asked, Output, Console], int]


COMMANDS: dict[str, Command[Any]] = {
    "run": Command(RunSettings, run),
    "status": Command(StatusSettings, status),
    "report": Command(ReportSettings, report),
    "recommend": Command(RecommendSettings, recommend),
    "compare": Command(CompareSettings, compare),
    "score": Command(ScoreSettings, score),
    "methods": Command(MethodsSettings, methods),
    "audit": Command(AuditSettings, audit),
    "export": Command(ExportSettings, export),
    "doctor": Command(DoctorSettings, doctor),
}
