"""Made-up runs whose right verdict is known: methods, passes, and how much processes drift.

A run has the passes that the planning gives so many rounds, and the baseline's second process. Times are
normal on the log scale: a pass has a level of its own, a process another, and repetitions scatter a little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantbench.plan import PASSES_A_ROUND, Role
from quantbench.records import Record, SpeedPoint
from tests.report_records import record

METHODS = ("fp16", *(f"method{number}" for number in range(1, 10)))
REPETITIONS = 4
PASS_DRIFT = 0.03  # of whole passes: it hits all methods alike
JITTER = 0.005  # of repetitions
STEPS = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How fast each method really is, relative to the baseline, and how much processes drift."""

    speeds: Sequence[float]
    drift: float
    rounds: int = 1


def simulate(world: World, draw: np.random.Generator) -> list[Record]:
    """The records of one run, the baseline's first."""
    names = METHODS[: len(world.speeds)]
    passes = PASSES_A_ROUND * world.rounds
    levels = draw.normal(0, PASS_DRIFT, passes)
    found = []
    for number in range(passes):
        for name, speed in zip(names, world.speeds, strict=True):
            role = "round" if number else "method"
            found.append(_process(name, role, number, speed, levels[number], world.drift, draw))
    found.append(_process("fp16", "floor", 0, world.speeds[0], levels[0], world.drift, draw))
    return found


def _process(
    name: str, role: str, number: int, speed: float, level: float, drift: float, draw: np.random.Generator
) -> Record:
    own = TEMPLATE.model_copy(
        update={"trial": TEMPLATE.trial.changed(method=name, role=Role(role), round=number)}
    )
    seconds = (
        STEPS / (100.0 * speed) * np.exp(level + draw.normal(0, drift) + draw.normal(0, JITTER, REPETITIONS))
    )
    point = POINT.model_copy(
        update={"decode_s": tuple(seconds.tolist()), "ttft_s": tuple((seconds / 50).tolist())}
    )
    return own.model_copy(update={"speed": (point,), "trial_id": f"{name}-{role}-{number}"})


TEMPLATE = record("fp16", tasks=())
POINT = SpeedPoint(batch_size=1, prompt_tokens=128, new_tokens=STEPS + 1, ttft_s=(), decode_s=())
