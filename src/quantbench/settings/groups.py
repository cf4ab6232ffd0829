"""The options of a run in groups; a Trial and its record nest the same values.

Each option is written here, once. To add one, write its field into the group that it belongs to, and read
it where it is used (`trial.generation.top_p`).
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from quantbench.settings.base import Settings
from quantbench.settings.engines import Engine, EngineName
from quantbench.settings.harness_names import is_harness
from quantbench.settings.kv import KvFormat, KvName
from quantbench.settings.option import Facts, option

MOST_POINTS = 1000  # of a speed sweep
COOLEST, HOTTEST = 0.001, 100.0  # of sampling: colder is greedy, hotter is noise
PERPLEXITY = "perplexity"
TASKS, ANY_TASK, SAMPLING = "tasks", "any task", "sampling"  # what an option needs, see planning.unused
TRANSFORMERS, NATIVE, CPU, FREE_TYPE, NOISE = "transformers", "native", "cpu", "free type", "noise"
SERVER, STARTED, ADDRESS = "server", "started server", "address"  # of an engine behind one
RATES, NO_LIMIT = "rates", "none"
OWN = "own"  # not only a server that runs already
CALIBRATED = "calibrated"

DEVICE = option("auto", "Device: auto, cpu, cuda or cuda:N.")
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
PromptTokens = Annotated[int, Field(ge=1, le=10**7)]


def _temperature(value: float) -> float:
    if value != 0 and not COOLEST <= value <= HOTTEST:
        raise ValueError("neither greedy nor a sampling temperature")
    return value


class PlaceSettings(Settings):
    """Where and how a method's weights run, whatever runs them."""

    device: str = DEVICE
    dtype: str = option(
        "auto", "Type of activations: auto, fp16, bf16 or fp32.", facts=Facts(needs=(FREE_TYPE,))
    )
    spread: int | None = option(
        None,
        "GPUs to spread a model over (transformers).",
        facts=Facts(shown="one", before=None),
        ge=2,
        le=64,
    )
    threads: int | None = option(
        None, "Number of CPU threads.", facts=Facts(shown="torch's own", needs=(OWN,)), ge=1, le=4096
    )
    batch_invariant: bool = option(False, "Give one answer in any batch, slower on a GPU.")
    exact_prompts: bool = option(
        False,
        "Multiply on a CPU in float32, not in integers: prompts, and all tokens from GGUF blocks.",
        facts=Facts(needs=(NATIVE, CPU)),
    )
    trust_remote_code: bool = option(
        False, "Run code that the model's repository holds.", facts=Facts(needs=(TRANSFORMERS,))
    )
    calibration: str | None = option(
        None,
        "Text file by which methods are calibrated.",
        facts=Facts(shown="texts that ship with quantbench", needs=(CALIBRATED,), before=None),
    )
    base_url: str | None = option(
        None,
        "Address of a running server: http://HOST:PORT.",
        facts=Facts(shown="none", before=None),
    )
    served_name: str | None = option(
        None,
        "The model's name at that server.",
        facts=Facts(shown="the model's own", needs=(ADDRESS,), before=None),
    )
    slots: int | None = option(
        None,
        "Requests a server answers at once.",
        facts=Facts(shown="the largest batch", needs=(SERVER,), before=None),
        ge=1,
        le=4096,
    )
    context: int | None = option(
        None,
        "Positions a started server gives a request.",
        facts=Facts(shown="as needed", needs=(STARTED,), before=None),
        ge=16,
        le=10**7,
    )


class LoadSettings(PlaceSettings):
    """The same for one trial, whose engine is known."""

    engine: Engine = Engine.AUTO
    kv: KvFormat | None = option(None, "How its KV cache is held.", facts=Facts(before=None))
    engine_python: str | None = option(None, "Of its engine.", facts=Facts(before=None))


def _engines(value: Any) -> Any:
    """One engine as a list of it."""
    if not isinstance(value, str):
        return value
    try:
        return (EngineName(value),)
    except ValueError:
        return value


class AskedLoad(PlaceSettings):
    """The same for a run, whose trials may have several engines."""

    engine: Annotated[tuple[EngineName, ...], BeforeValidator(_engines)] = option(
        (EngineName.AUTO,),
        "Engines: auto, quantbench, transformers[-static], llama.cpp, vllm, sglang.",
        min_length=1,
    )
    kv: tuple[KvName, ...] = option(
        (),
        "KV cache: none (activations' type), int8, fp8.",
        facts=Facts(shown="none"),
    )
    engine_python: tuple[str, ...] = option(
        (),
        "Python of servers, or ENGINE=PATH of each.",
        facts=Facts(shown="found", needs=(STARTED,)),
    )


class EvaluationSettings(Settings):
    """Which problems are put to the model, and how its programs run."""

    tasks: tuple[str, ...] = option(
        ("auto",),
        "Tasks to answer: humaneval, humaneval+, mbpp+, gsm8k, quickeval, lm-eval:TASK or none.",
        facts=Facts(shown="quickeval for builtin, none for random weights, else humaneval"),
    )
    protocols: tuple[str, ...] = option(
        ("auto",),
        "Ways to ask: auto, completion, chat, or by name.",
        facts=Facts(needs=(TASKS,), before=("completion",)),
        min_length=1,
    )
    task_data: str | None = option(
        None,
        "File with the task's problems, or TASK=FILE,TASK=FILE.",
        facts=Facts(shown="the published data", needs=(ANY_TASK,)),
    )
    limit: int | None = option(
        None,
        "Number of problems to answer, from the first on.",
        facts=Facts(shown="all", needs=(ANY_TASK,)),
        ge=1,
        le=10**9,
    )
    unsafe_no_sandbox: bool = option(
        False,
        "Run the programs that the model writes without a sandbox.",
        facts=Facts(needs=(TASKS,)),
    )

    @property
    def own_tasks(self) -> tuple[str, ...]:
        """The tasks whose answers are graded here."""
        return tuple(name for name in self.tasks if not is_harness(name))

    @property
    def harness_tasks(self) -> tuple[str, ...]:
        """The tasks of lm-eval."""
        return tuple(name for name in self.tasks if is_harness(name))


class GenerationSettings(Settings):
    """How answers are generated; lengths in tokens."""

    seed: int = option(0, "Random seed.", ge=-(2**63), le=2**63 - 1)
    batch_size: int = option(
        64, "Answers generated at once.", facts=Facts(needs=(ANY_TASK,)), ge=1, le=65_536
    )
    max_new_tokens: int | None = option(
        None,
        "Most tokens of one answer.",
        facts=Facts(shown="the task's", needs=(TASKS,)),
        ge=1,
        le=10**7,
    )
    completions_per_problem: int = option(
        1, "Answers to each problem, for pass@k.", facts=Facts(needs=(TASKS,)), ge=1, le=100_000
    )
    temperature: Annotated[float, AfterValidator(_temperature)] = option(
        0.0,
        "Sampling temperature; 0 is greedy.",
        facts=Facts(needs=(TASKS,), must=f"be 0 for greedy decoding, or lie in [{COOLEST}, {HOTTEST:g}]"),
    )
    top_p: float = option(
        1.0,
        "Probability mass of nucleus sampling.",
        facts=Facts(needs=(TASKS, SAMPLING), must="lie in (0, 1], as in 0.95"),
        gt=0,
        le=1,
    )

    @model_validator(mode="after")
    def _several_are_sampled(self) -> Self:
        if self.completions_per_problem > 1 and self.temperature == 0:
            raise ValueError(
                "several completions per problem need sampling; add --temperature 0.8, for example"
            )
        return self


class SpeedSettings(Settings):
    """What the speed sweep times; lengths in tokens. Its first batch size and prompt are the headline."""

    batch_sizes: tuple[BatchSize, ...] = option(
        (1,), "Batch sizes of the speed measurement, separated by commas.", min_length=1
    )
    prompt_tokens: tuple[PromptTokens, ...] = option(
        (128,), "Prompt lengths of the speed measurement, separated by commas.", min_length=1
    )
    new_tokens: int = option(128, "Tokens generated in each speed measurement.", ge=2, le=10**7)
    speed_budget_s: float = option(
        5.0,
        "Seconds of speed measurements for each method and round.",
        facts=Facts(must="be a positive number of seconds, as in 5"),
        gt=0,
        le=10**6,
    )

    @model_validator(mode="after")
    def _ends_some_day(self) -> Self:
        if len(self.batch_sizes) * len(self.prompt_tokens) > MOST_POINTS:
            raise ValueError(
                f"--batch-sizes and --prompt-tokens make more than {MOST_POINTS} points; name fewer"
            )
        return self


class DistanceSettings(Settings):
    """The text on which the distance from the baseline is measured; None is the tasks' own problems."""

    text: str | None = option(
        None,
        "Text file to measure the distance from the baseline on.",
        facts=Facts(shown="the task's own texts"),
    )


class PerplexitySettings(Settings):
    """The text whose perplexity is measured by the field's conventions."""

    perplexity: str | None = option(
        None, "Text file to measure the perplexity of.", facts=Facts(shown="none", before=None)
    )
    perplexity_window: int = option(
        512, "Tokens of one window of it.", facts=Facts(needs=(PERPLEXITY,), before=512), ge=8, le=10**6
    )


class Format(StrEnum):
    """A form of the report."""

    MD = "md"
    HTML = "html"
    JSON = "json"
    CSV = "csv"


FORMATS = option(tuple(Format), "Files to write, separated by commas.", min_length=1)


class OutputSettings(Settings):
    """Where results go and in which forms."""

    output_dir: Path | None = option(None, "Results folder.", facts=Facts(shown="results/MODEL", short="-o"))
    format: tuple[Format, ...] = FORMATS
