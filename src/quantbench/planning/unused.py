"""Options that would change nothing in this run: each is refused with the reason, none is ignored.

An option's field says what it needs (`Facts.needs`); here each need is a condition of the resolved run. Only
what the user named is looked at; a default that plays no part is no mistake.
"""

from collections.abc import Callable
from dataclasses import dataclass

from quantbench.errors import UsageError
from quantbench.methods import METHODS
from quantbench.settings import IN_PROCESS, Engine, Executor, RunSettings, flag
from quantbench.settings.base import places_of
from quantbench.settings.execution import RAY
from quantbench.settings.groups import (
    ADDRESS,
    ANY_TASK,
    CALIBRATED,
    CPU,
    FREE_TYPE,
    NATIVE,
    NOISE,
    OWN,
    PERPLEXITY,
    RATES,
    SAMPLING,
    SERVER,
    STARTED,
    TASKS,
    TRANSFORMERS,
)
from quantbench.settings.option import facts_of
from quantbench.tasks import Task

NO_TASK = "no task is run (see --tasks)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a run will really use."""

    device: str  # 'cpu' or 'cuda:N'
    runs: tuple[tuple[str, Engine], ...]  # (method, engine)
    tasks: tuple[Task, ...]
    harness: tuple[str, ...] = ()  # tasks of lm-eval

    @property
    def engines(self) -> frozenset[Engine]:
        return frozenset(engine.loader for _, engine in self.runs)

    @property
    def served(self) -> bool:
        """Whether any engine is behind a server."""
        return not self.engines <= IN_PROCESS


Unmet = Callable[[RunSettings, Situation], str | None]  # why a need is not met, None when it is


def check_unused(settings: RunSettings, situation: Situation) -> None:
    """UsageError for the first option that was named and cannot have any effect."""
    values = settings.flat()
    for name, place in places_of(type(settings)).items():
        if name not in settings.given or values[name] is False:
            continue
        for need in facts_of(place.field).needs:
            if reason := NEEDS[need](settings, situation):
                raise UsageError(f"{flag(name, place.field)} has no effect here: {reason}; leave it out")


def _no_tasks(settings: RunSettings, situation: Situation) -> str | None:
    if situation.harness and not situation.tasks:
        return "tasks of lm-eval say themselves how they are asked"
    return None if situation.tasks else NO_TASK


def _no_task_at_all(settings: RunSettings, situation: Situation) -> str | None:
    return None if situation.tasks or situation.harness else NO_TASK


def _greedy(settings: RunSettings, situation: Situation) -> str | None:
    generation = settings.generation
    greedy = generation.temperature == 0 and generation.top_p < 1
    return "decoding is greedy without --temperature" if greedy else None


def _on_native(settings: RunSettings, situation: Situation) -> str | None:
    if Engine.TRANSFORMERS in situation.engines:
        return None
    where = "behind a server" if situation.served else "on quantbench's engine"
    return f"'{settings.model}' runs {where}, which runs no model's code"


def _on_transformers(settings: RunSettings, situation: Situation) -> str | None:
    if Engine.NATIVE in situation.engines:
        return None
    where = (
        "behind a server, whose arithmetic is its own"
        if situation.served
        else ("with transformers, which never drops bits of prompts")
    )
    return f"'{settings.model}' runs {where}"


def _on_gpu(settings: RunSettings, situation: Situation) -> str | None:
    on_gpu = situation.device.startswith("cuda")
    return "only a CPU's kernels would drop bits of prompts" if on_gpu else None


def _fixed_types(settings: RunSettings, situation: Situation) -> str | None:
    device, runs = situation.device, situation.runs
    own = [(name, engine.loader) for name, engine in runs if engine in IN_PROCESS]
    if not all(METHODS[name].fixes_activations(engine, device) for name, engine in own):
        return None
    if not own:
        return "a server computes in a type of its own"
    return f"{', '.join(name for name, _ in runs)} on {device} compute in the type of their weights"


def _no_server(settings: RunSettings, situation: Situation) -> str | None:
    return None if situation.served else "no engine behind a server is measured (see --engine, --base-url)"


def _not_started(settings: RunSettings, situation: Situation) -> str | None:
    if settings.load.base_url is not None:
        return "the server at --base-url runs already"
    return _no_server(settings, situation)


def _no_rates(settings: RunSettings, situation: Situation) -> str | None:
    return None if settings.arrivals.request_rates else "no --request-rates are given"


def _elsewhere(settings: RunSettings, situation: Situation) -> str | None:
    if settings.load.base_url is None or situation.engines & IN_PROCESS:
        return None
    return "the server at --base-url runs already"


def _no_address(settings: RunSettings, situation: Situation) -> str | None:
    return None if settings.load.base_url else "no --base-url is given"


def _no_perplexity(settings: RunSettings, situation: Situation) -> str | None:
    return None if settings.likelihood.perplexity else "no text is named with --perplexity"


def _noiseless(settings: RunSettings, situation: Situation) -> str | None:
    if not situation.tasks and settings.distance.text is None:
        return "there is neither a task nor a --text whose noise it could measure"
    sampled = settings.generation.temperature > 0
    return "the noise of answers drawn with --temperature is that of their seeds" if sampled else None


def _uncalibrated(settings: RunSettings, situation: Situation) -> str | None:
    if any(getattr(METHODS.get(name), "calibrated", False) for name, _ in situation.runs):
        return None
    return f"no text calibrates {', '.join(name for name, _ in situation.runs)}"


def _no_ray(settings: RunSettings, situation: Situation) -> str | None:
    return None if settings.execution.executor is Executor.RAY else "--executor ray is not given"


NEEDS: dict[str, Unmet] = {
    TASKS: _no_tasks,
    ANY_TASK: _no_task_at_all,
    SAMPLING: _greedy,
    TRANSFORMERS: _on_native,
    NATIVE: _on_transformers,
    CPU: _on_gpu,
    FREE_TYPE: _fixed_types,
    NOISE: _noiseless,
    PERPLEXITY: _no_perplexity,
    SERVER: _no_server,
    STARTED: _not_started,
    ADDRESS: _no_address,
    OWN: _elsewhere,
    CALIBRATED: _uncalibrated,
    RAY: _no_ray,
    RATES: _no_rates,
}
