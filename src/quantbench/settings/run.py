"""The options of `quantbench run`; 'auto' and None are still open."""

from pathlib import Path

from quantbench.settings.arrivals import ArrivalSettings
from quantbench.settings.base import Settings
from quantbench.settings.execution import ExecutionSettings
from quantbench.settings.groups import (
    NOISE,
    AskedLoad,
    DistanceSettings,
    EvaluationSettings,
    GenerationSettings,
    OutputSettings,
    PerplexitySettings,
    SpeedSettings,
)
from quantbench.settings.option import Facts, option


class RunSettings(Settings):
    """What `quantbench run` was asked for."""

    model: str = option(
        "builtin",
        "Hub id, folder, file, builtin or random:NAME.",
        facts=Facts(also_argument=True),
    )
    models: tuple[str, ...] = option(
        (),
        "More models for the same table.",
        facts=Facts(shown="none", also_argument=True),
    )
    revision: str | None = option(None, "Branch, tag or commit on the hub.", facts=Facts(shown="main"))
    methods: tuple[str, ...] = option(
        ("auto",),
        "Methods to measure, separated by commas; options as in int4:g=32,head=16.",
        facts=Facts(shown="those of fp16,int8,int4 that the model's engine runs", with_options=True),
    )
    baseline: str | None = option(
        None,
        "Row to compare with.",
        facts=Facts(shown="first of fp16, bf16, fp32"),
    )
    own_baselines: bool = option(
        False, "Compare each model with its own baseline, with a report each and one over all."
    )
    load: AskedLoad = AskedLoad()
    evaluation: EvaluationSettings = EvaluationSettings()
    generation: GenerationSettings = GenerationSettings()
    speed: SpeedSettings = SpeedSettings()
    arrivals: ArrivalSettings = ArrivalSettings()
    rounds: int = option(1, "Interleaved rounds of speed measurements.", ge=1, le=1000)
    floor: bool = option(
        True,
        "Measure the baseline a second time, which shows the noise.",
        facts=Facts(needs=(NOISE,)),
    )
    distance: DistanceSettings = DistanceSettings()
    likelihood: PerplexitySettings = PerplexitySettings()
    execution: ExecutionSettings = ExecutionSettings()
    output: OutputSettings = OutputSettings()
    config: Path | None = option(
        None,
        "YAML file with these options; those of the command line win.",
        facts=Facts(shown="none", command_line_only=True),
    )
    plan: Path | None = option(
        None,
        "YAML file of a sweep: models x methods x tasks x batch sizes, include, exclude.",
        facts=Facts(shown="none", command_line_only=True),
    )
    dry_run: bool = option(False, "Print the plan and measure nothing.", facts=Facts(command_line_only=True))
