"""Several models in one table: what their rows are called, which is the reference, what can be compared."""

from collections.abc import Sequence
from pathlib import PurePath

from quantbench.errors import UsageError
from quantbench.plan import Trial
from quantbench.planning.resolving import BASELINES
from quantbench.settings import IN_PROCESS
from quantbench.sources import ModelSource, load_tokenizer
from quantbench.support import STORED

SAMPLE = (
    "def f(x):\n    return [x + 12, 'naïve  ½']\n\n\n# It's a test.\n"  # of text that tokenizers tell apart
)


def named(trials: Sequence[Trial]) -> list[Trial]:
    """The trials with names of their rows: the model where it runs as stored, else the method.

    Where several models run under methods, their names stand before those of the methods.
    """
    models = list(dict.fromkeys(trial.model for trial in trials))
    last = [PurePath(model).name or model for model in models]
    short = {model: model if last.count(name) > 1 else name for model, name in zip(models, last, strict=True)}
    made = {trial.model for trial in trials if trial.method != STORED}
    clear = len(made) < 2 and not {trial.method for trial in trials} & set(short.values())

    def row(trial: Trial) -> str:
        if trial.method == STORED:
            return short[trial.model]
        return trial.method if clear else f"{short[trial.model]} {trial.method}"

    return [trial.changed(row=row(trial)) for trial in trials]


def kv_named(trials: Sequence[Trial]) -> list[Trial]:
    """The trials, their rows named `method kv-int8` by the cache's format where there are several."""
    if len({trial.load.kv for trial in trials}) < 2:
        return list(trials)
    return [
        trial.changed(row=f"{trial.name} kv-{trial.load.kv}" if trial.load.kv else trial.name)
        for trial in trials
    ]


def engine_named(trials: Sequence[Trial]) -> list[Trial]:
    """The trials, their rows named `method @ engine` where a served engine or several engines run."""
    engines = [trial.load.engine for trial in trials]
    again = len({(trial.model, trial.row or trial.method) for trial in trials}) < len(trials)
    if not again and all(engine in IN_PROCESS and engine is engine.loader for engine in engines):
        return list(trials)
    return [trial.changed(row=f"{trial.name} @ {trial.load.engine.shown}") for trial in trials]


def baseline_of(baseline: str | None, trials: Sequence[Trial]) -> Trial:
    """The named row, or the first unquantized method's, or the first."""
    if baseline is not None:
        return reference_of(baseline, trials)
    plain = [trial for name in BASELINES for trial in trials if trial.method == name]
    return plain[0] if plain else trials[0]


def reference_of(baseline: str | None, trials: Sequence[Trial]) -> Trial:
    """The trial that the others are compared with: by its row, model or method; else the first."""
    if baseline is None:
        return trials[0]
    for trial in trials:
        if baseline in (trial.row, trial.model):
            return trial
    for trial in trials:
        if baseline == trial.method:
            return trial
    rows = ", ".join(f"'{trial.row}'" for trial in trials)
    raise UsageError(f"the baseline '{baseline}' is no row of this run; name one of {rows}")


def reads_alike(one: ModelSource, other: ModelSource) -> bool:
    """Whether two models have the same number of tokens and read a text as the same ones.

    Only then do predictions of one mean something to the other.
    """
    if one.config.get("vocab_size") != other.config.get("vocab_size"):
        return False
    first, second = load_tokenizer(one), load_tokenizer(other)
    if first is None or second is None:
        return first is second
    return bool(first.encode(SAMPLE).ids == second.encode(SAMPLE).ids)
