"""The options of every command but `run`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field

from quantbench.settings.base import Settings
from quantbench.settings.groups import DEVICE, FORMATS, Format
from quantbench.settings.option import Facts, option

FOLDER = option(..., "Results folder.", facts=Facts(argument=True))
MOST_RECOVERY = 2.0  # twice the baseline's pass@1: more is a percentage
UNBOUNDED = "no limit"


class ReportSettings(Settings):
    """What `quantbench report` was asked for."""

    folder: Path = FOLDER
    format: tuple[Format, ...] = FORMATS


class StatusSettings(Settings):
    """What `quantbench status` was asked for."""

    folder: Path = FOLDER


class RecommendSettings(Settings):
    """What `quantbench recommend` was asked for; None sets no limit."""

    folder: Path = FOLDER
    max_memory: str | None = option(None, "Most memory, as 2GB.", facts=Facts(shown=UNBOUNDED))
    max_size: str | None = option(None, "Most bytes of weights, as 500MB.", facts=Facts(shown=UNBOUNDED))
    max_ttft: str | None = option(
        None, "Most time to the first token, as 200ms.", facts=Facts(shown=UNBOUNDED)
    )
    min_speed: float | None = option(
        None,
        "Least decoded tokens per second.",
        facts=Facts(shown=UNBOUNDED, must="be a positive number of tokens per second, as in 20"),
        gt=0,
    )
    min_recovery: float | None = option(
        None,
        "Least share of the baseline's pass@1, as 0.97.",
        facts=Facts(shown=UNBOUNDED, must="be a share of the baseline's pass@1; 0.97 is 97 per cent"),
        gt=0,
        le=MOST_RECOVERY,
    )


class FailOn(StrEnum):
    """When `compare` ends with status 1."""

    REGRESSION = "regression"
    NEVER = "never"


class CompareSettings(Settings):
    """What `quantbench compare` was asked for."""

    old: Path = FOLDER
    new: Path = option(..., "Another results folder of the same model.", facts=Facts(argument=True))
    fail_on: FailOn = option(FailOn.NEVER, "When to exit with status 1: regression or never.")
    tolerance: float | None = option(
        None,
        "Share by which speed and memory may get worse, as 0.03.",
        facts=Facts(shown="0.05", must="be a share from 0 to 1; 0.03 is three per cent"),
        ge=0,
        lt=1,
    )


class ScoreSettings(Settings):
    """What `quantbench score` was asked for; `k` is the usual ones where it is None."""

    samples: Path = option(
        ..., "File of JSON lines with task_id and completion or solution.", facts=Facts(argument=True)
    )
    task: str = option("humaneval", "Task: humaneval or quickeval.")
    task_data: str | None = option(
        None, "File with the problems, HumanEval+ too.", facts=Facts(shown="the published data")
    )
    protocol: str = option("as-is", "How programs are taken from the text, as code-fence-v1.")
    k: tuple[Annotated[int, Field(ge=1)], ...] | None = option(
        None,
        "Values of k for pass@k, separated by commas.",
        facts=Facts(shown="1,10,100"),
        min_length=1,
    )
    workers: int | None = option(None, "Programs to run at once.", facts=Facts(shown="one a core"), ge=1)
    output: Path | None = option(
        None, "File to write the verdicts to.", facts=Facts(shown="SAMPLES_results.jsonl", short="-o")
    )
    unsafe_no_sandbox: bool = option(False, "Run the programs without a sandbox.")

    @property
    def results(self) -> Path:
        """Where the verdicts go: beside the samples, as the official evaluator does, unless named."""
        return self.output or self.samples.with_name(self.samples.name + "_results.jsonl")


class MethodsSettings(Settings):
    """What `quantbench methods` was asked for."""

    model: str | None = option(
        None, "As for `run`; what can run of this model.", facts=Facts(argument=True, shown="none")
    )
    device: str = DEVICE


class AuditSettings(Settings):
    """What `quantbench audit` was asked for."""

    subject: str = option(..., "Results folder, or a model as for `run`.", facts=Facts(argument=True))
    method: str | None = option(
        None, "Method to load a model under.", facts=Facts(shown="stored where it is quantized, else fp16")
    )
    device: str = DEVICE


class ExportFormat(StrEnum):
    """A layout of checkpoints that other programs load."""

    COMPRESSED_TENSORS = "compressed-tensors"
    GGUF = "gguf"
    GPTQ = "gptq"


class ExportSettings(Settings):
    """What `quantbench export` was asked for."""

    model: str = option(..., "Model, as for `run`.", facts=Facts(argument=True))
    method: str | None = option(
        None, "Method that makes the weights.", facts=Facts(shown="stored where it is quantized")
    )
    format: ExportFormat | None = option(
        None, "Layout: compressed-tensors, gguf or gptq.", facts=Facts(shown="none: name one")
    )
    output_dir: Path | None = option(
        None, "Folder to make.", facts=Facts(shown="exports/MODEL-METHOD-FORMAT", short="-o")
    )
    results: Path | None = option(
        None, "Results folder whose figures its card shows.", facts=Facts(shown="no figures")
    )
    revision: str | None = option(
        None, "Branch, tag or commit of a hub model.", facts=Facts(shown="the hub's default")
    )
    device: str = DEVICE


class DoctorSettings(Settings):
    """`quantbench doctor` has no options."""
