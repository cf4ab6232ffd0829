"""--spread: a model over several GPUs, with transformers. Refused early where it cannot work."""

from collections.abc import Sequence

from quantbench.errors import DeviceError, UsageError
from quantbench.methods import spreadable
from quantbench.settings import Engine, EngineName, RunSettings
from quantbench.units import listed

ANY_GPU = ("auto", "cuda", "cuda:0")  # what --device may say beside it
FIT = frozenset((EngineName.AUTO, EngineName.TRANSFORMERS))


def check_devices(settings: RunSettings, gpus: int, whose: str = "this machine has") -> None:
    """Refuse --spread where its GPUs are not there or are named otherwise; `gpus` is how many there are."""
    count, device = settings.load.spread or 0, settings.load.device
    if settings.execution.devices:
        raise UsageError("--devices gives each trial one GPU and --spread several; leave one of them out")
    if device not in ANY_GPU:
        raise UsageError(
            f"--spread {count} takes cuda:0 to cuda:{count - 1}, but --device is {device}; leave --device out"
        )
    if gpus < count:
        there = "1 GPU" if gpus == 1 else f"{gpus or 'no'} GPUs"
        fix = f"name at most {gpus}" if gpus > 1 else "leave it out"
        raise DeviceError(f"--spread {count} needs {count} GPUs, and {whose} {there}; {fix}")


def spread_engine(settings: RunSettings) -> tuple[Engine, ...]:
    """The one engine that runs a model over several GPUs; UsageError for another that was named."""
    load = settings.load
    if load.base_url is not None or not FIT.issuperset(load.engine):
        named = "--base-url" if load.base_url is not None else f"--engine {','.join(load.engine)}"
        raise UsageError(
            f"--spread runs models with transformers, which {named} does not; leave one of them out"
        )
    return (Engine.TRANSFORMERS,)


def spread_methods(chosen: Sequence[str], *, named: bool) -> tuple[tuple[str, ...], str | None]:
    """The chosen methods that can be spread, and what to say of others; UsageError where they were named."""
    able = spreadable()
    kept = tuple(name for name in chosen if name in able)
    others = [name for name in chosen if name not in able]
    if not others:
        return kept, None
    verb = "lies" if len(others) == 1 else "lie"
    reason = f"{listed(others)} {verb} on one device, which --spread excludes"
    if named or not kept:
        raise UsageError(f"{reason}; choose from: {', '.join(able)}")
    return kept, f"{reason}, so only {listed(kept)} {'is' if len(kept) == 1 else 'are'} measured"
