"""Later passes of speed trials folded into one record a method: what drifts between passes becomes visible.

A trial of role 'round' measures speed alone, in a later pass over the methods (A B C, then C B A). Its
repetitions join those of the method's own trial, each with the number of its pass (`round_of`).
"""

from collections.abc import Iterable, Sequence

from quantbench.plan import Role
from quantbench.records import Record, SpeedPoint


def merge_rounds(records: Sequence[Record]) -> list[Record]:
    """The records without those of later rounds, whose repetitions the methods' own records take in."""
    rounds = [record for record in records if record.role is Role.ROUND]
    others = [record for record in records if record.role is not Role.ROUND]
    return [_with_rounds(record, rounds) if record.role is Role.METHOD else record for record in others]


def _with_rounds(record: Record, rounds: Iterable[Record]) -> Record:
    own = [entry for entry in rounds if same_measurement(entry, record)]
    if not own:
        return record
    own.sort(key=lambda entry: entry.trial.round)
    passes = [(0, record), *((entry.trial.round, entry) for entry in own)]
    warnings = [
        f"pass {number + 1} of the speed failed while in '{entry.failure.stage}': {entry.failure.message}"
        for number, entry in passes[1:]
        if entry.failure
    ]
    speed = tuple(_merged(point, passes) for point in record.speed)
    return record.model_copy(update={"speed": speed, "warnings": (*record.warnings, *warnings)})


def same_measurement(one: Record, other: Record) -> bool:
    """Whether two trials timed the same thing, whatever else they did."""
    return _question(one) == _question(other)


def _question(record: Record) -> tuple[object, ...]:
    """What two trials must share to be rounds of the same measurement."""
    trial = record.trial
    return (
        trial.model,
        trial.revision,
        trial.method,
        trial.load,
        trial.speed.new_tokens,
        trial.generation.seed,
    )


def _merged(point: SpeedPoint, passes: Sequence[tuple[int, Record]]) -> SpeedPoint:
    """The same point of every round, one after another."""
    found = [(number, same) for number, record in passes if (same := same_point(point, record.speed))]
    parts = [same for _, same in found]
    return point.model_copy(
        update={
            "ttft_s": tuple(s for part in parts for s in part.ttft_s),
            "decode_s": tuple(s for part in parts for s in part.decode_s),
            "cpu_share": tuple(s for part in parts for s in part.cpu_share),
            "queue_share": tuple(s for part in parts for s in part.queue_share),
            "steal_share": tuple(s for part in parts for s in part.steal_share),
            "foreign_cores": tuple(s for part in parts for s in part.foreign_cores),
            "foreign_gpu": tuple(s for part in parts for s in part.foreign_gpu),
            "joules": tuple(s for part in parts for s in part.joules),
            "server_ttft_s": tuple(s for part in parts for s in part.server_ttft_s),
            "server_decode_s": tuple(s for part in parts for s in part.server_decode_s),
            "request_ttft_s": tuple(s for part in parts for s in part.request_ttft_s),
            "request_decode_s": tuple(s for part in parts for s in part.request_decode_s),
            "round_of": tuple(number for number, part in found for _ in part.decode_s),
            "failure": next((part.failure for part in parts if part.failure), None),
        }
    )


def same_point(point: SpeedPoint, points: Sequence[SpeedPoint]) -> SpeedPoint | None:
    """The one of `points` with the same batch size and lengths."""

    def shape(p: SpeedPoint) -> tuple[int, int, int]:
        return p.batch_size, p.prompt_tokens, p.new_tokens

    return next((other for other in points if shape(other) == shape(point)), None)
