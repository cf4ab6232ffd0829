"""Distances for tests: every token of a problem has the same made-up divergence."""

from collections.abc import Sequence

from quantbench.plan import trial_from_dict
from quantbench.records import Distance, ProblemDistance, Record
from tests.report_records import MODEL, record, task_result

TOKENS = 50


def make_distance(kl: Sequence[float], *, loss: float = 1.0, baseline_loss: float = 1.0) -> Distance:
    """One problem a value of `kl`; losses are nats a token."""
    return Distance(
        text="made-up texts",
        top_k=128,
        problems=tuple(
            ProblemDistance(
                task_id=f"t/{number}",
                tokens=TOKENS,
                nll=loss * TOKENS,
                baseline_nll=baseline_loss * TOKENS,
                kl=(value,) * TOKENS,
                same_top=TOKENS - 1,
            )
            for number, value in enumerate(kl)
        ),
    )


def baseline_distance(problems: int = 20, loss: float = 1.0) -> Distance:
    """The baseline's own: losses, no divergence."""
    own = make_distance([0.0] * problems, loss=loss, baseline_loss=loss)
    return own.model_copy(update={"problems": tuple(p.model_copy(update={"kl": ()}) for p in own.problems)})


def floor_record(*, solved: Sequence[int] = (), kl: Sequence[float] = (), method: str = "fp16") -> Record:
    """A second run of the baseline at batch 31."""
    asked = {"model": MODEL.name, "method": method, "device": "cuda:0", "tasks": ("humaneval",)}
    trial = trial_from_dict(asked | {"role": "floor", "batch_size": 31})
    return record(
        method,
        trial=trial,
        tasks=(task_result(solved),) if solved else (),
        distance=make_distance(kl) if kl else None,
    )
