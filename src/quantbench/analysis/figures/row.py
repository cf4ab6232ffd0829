"""One method's figures, read from its record. Says nothing about them."""

from dataclasses import dataclass, replace

from quantbench.analysis.figures.disturbance import without_disturbed, working_threads
from quantbench.analysis.figures.scores import Score, read_score
from quantbench.analysis.figures.speeds import Speed, read_speed
from quantbench.records import Record, SpeedPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method's figures; None is not measured."""

    label: str
    record: Record
    is_baseline: bool
    weight_bytes: int | None
    memory_bytes: int | None
    speed: Speed | None  # of the headline batch size and prompt length; None where it was disturbed
    sweep: tuple[Speed, ...]  # all undisturbed points, the headline included
    points: tuple[SpeedPoint, ...]  # the raw times behind `sweep`, without disturbed repetitions
    scores: tuple[Score, ...]
    disturbed: tuple[Speed, ...] = ()  # points to be shown with a mark and never to be judged

    @property
    def measured(self) -> bool:
        """Whether there is any figure at all."""
        return any((self.weight_bytes, self.memory_bytes, self.speed, self.disturbed, self.scores))

    @property
    def disturbed_speed(self) -> Speed | None:
        """The headline's figures where they were disturbed."""
        return _headline(self.record, self.disturbed)

    def score(self, task: str) -> Score | None:
        """The row's score on a task, if it has one."""
        return next((score for score in self.scores if score.task == task), None)


def read_row(record: Record, is_baseline: bool) -> Row:
    """A record's figures; the first point of the trial's sweep is the headline."""
    read = [read_point(point, record) for point in record.speed]
    clean = [(speed, point) for speed, point in read if speed.disturbed is None]
    sweep = tuple(speed for speed, _ in clean)
    return Row(
        label=record.method,
        record=record,
        is_baseline=is_baseline,
        weight_bytes=record.size.weight_bytes if record.size else None,
        memory_bytes=record.memory.headline_bytes if record.memory else None,
        speed=_headline(record, sweep),
        sweep=sweep,
        points=tuple(point for _, point in clean),
        scores=tuple(score for task in record.tasks if (score := read_score(task))),
        disturbed=tuple(speed for speed, _ in read if speed.disturbed is not None),
    )


def read_point(point: SpeedPoint, record: Record) -> tuple[Speed, SpeedPoint]:
    """A point's undisturbed repetitions and their figures, or all of them with the reason why not."""
    clean, why = without_disturbed(point, working_threads(record), record.environment.cores)
    left_out = len(point.decode_s) - len(clean.decode_s)
    return replace(read_speed(clean, record.bandwidth), disturbed=why, left_out=left_out), clean


def _headline(record: Record, sweep: tuple[Speed, ...]) -> Speed | None:
    asked = record.trial.speed
    wanted = (asked.batch_sizes[0], asked.prompt_tokens[0])
    return next((s for s in sweep if (s.batch_size, s.prompt_tokens) == wanted and s.decode), None)
