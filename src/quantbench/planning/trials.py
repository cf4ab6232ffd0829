"""Which trials a plan adds to its methods: reruns of the baseline, and later passes of speed."""

from collections.abc import Collection

from quantbench.evaluation.prompts import COMPLETION
from quantbench.plan import Role, Trial
from quantbench.settings import IN_PROCESS, ArrivalSettings


def compared(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    """The same trials, the first one as the reference whose predictions the others are compared with.

    Those that read other texts than it does have none.
    """
    first, *others = trials
    if not first.has_distance:
        return trials
    return (first, *(with_reference(trial, first) for trial in others))


def with_reference(trial: Trial, first: Trial) -> Trial:
    """The trial with this reference, if both read the same texts."""
    alike = trial.has_distance and (
        trial.distance.text is not None or trial.evaluation.tasks == first.evaluation.tasks
    )
    return trial.changed(reference=first.id) if alike else trial


def floor_of(baseline: Trial) -> Trial:
    """The baseline once more in another batch shape: what changes without any change of method."""
    batch_size = max(1, baseline.generation.batch_size // 2 - 1)
    return first_way(baseline).changed(role=Role.FLOOR, batch_size=batch_size)


def first_way(trial: Trial) -> Trial:
    """The same trial asked by the first protocol alone, which decides."""
    return trial.changed(protocols=trial.evaluation.protocols[:1])


def speed_floor(baseline: Trial) -> Trial:
    """The baseline once more for its speed alone: how far two processes of the same work lie apart."""
    return speed_only(baseline).changed(role=Role.FLOOR)


def floors_of(baseline: Trial, methods: Collection[str]) -> tuple[Trial, ...]:
    """The baseline's rerun that shows the noise, and beside fp16 its other number format, bf16, for scale.

    bf16 is not scored twice where it is one of the `methods`.
    """
    other_shape = floor_of(baseline)
    served = baseline.load.engine not in IN_PROCESS
    if baseline.method != "fp16" or "bf16" in methods or served:
        return (other_shape,)
    row = baseline.row and bf16_row(baseline.row)
    return (other_shape, first_way(baseline).changed(method="bf16", row=row, role=Role.SCALE))


def bf16_row(row: str) -> str:
    """'model fp16 @ engine' with bf16 in its place."""
    name, at, engine = row.partition(" @ ")
    return f"{name.removesuffix('fp16')}bf16{at}{engine}"


def speed_only(trial: Trial) -> Trial:
    """The same trial without anything that reads text."""
    asked = {"tasks": (), "protocols": (COMPLETION,), "task_data": None, "task_digests": ()}
    return trial.changed(**asked, **ArrivalSettings().flat(), text=None, perplexity=None, reference=None)


def later_passes(trials: tuple[Trial, ...], passes: int) -> tuple[Trial, ...]:
    """Speed trials of the passes after the first, every other pass backwards: A B C, C B A, A B C.

    What grows steadily over a round (heat, other programs) so falls on all methods alike.
    """
    found: list[Trial] = []
    for number in range(1, passes):
        order = trials[::-1] if number % 2 else trials
        found += [speed_only(trial).changed(role=Role.ROUND, round=number) for trial in order]
    return tuple(found)
