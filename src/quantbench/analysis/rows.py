"""Records as rows that can be compared: one row a method, the baseline first. Says nothing about them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from quantbench.analysis.disturbance import without_disturbed
from quantbench.analysis.rounds import merge_rounds
from quantbench.analysis.scores import Score, read_score
from quantbench.analysis.speeds import Speed, read_speed
from quantbench.records import ModelInfo, Record, SpeedPoint


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All rows of one model; what the statements of a report are made from."""

    model_name: str  # as the user gave it
    model: ModelInfo | None
    baseline_name: str
    rows: tuple[Row, ...]
    floors: tuple[Record, ...]  # reruns of the baseline: no rows, only a noise floor
    context: tuple[Record, ...]  # another number format of it, scored for scale: outside every comparison
    left_out: tuple[str, ...]  # records that this report does not show, and why

    @property
    def baseline(self) -> Row | None:
        """The baseline's row; None where it has no record."""
        return next((row for row in self.rows if row.is_baseline), None)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that any row has a score on, in the order they were run."""
        return tuple(dict.fromkeys(score.task for row in self.rows for score in row.scores))

    @property
    def on_gpu(self) -> bool:
        """Whether the memory figures are those of a GPU."""
        kinds = [row.record.memory.kind for row in self.rows if row.record.memory]
        devices = [str(row.record.trial.get("device", "")) for row in self.rows]
        return "cuda" in kinds if kinds else any(device.startswith("cuda") for device in devices)


def read_results(records: Sequence[Record], baseline: str) -> Results:
    """The rows of the newest record's model; older records of the same method give way, and it is said."""
    if not records:
        raise ValueError("a report needs at least one record")
    model_name = str(max(records, key=lambda record: record.created_at).trial["model"])
    own = [record for record in records if record.trial["model"] == model_name]
    merged = merge_rounds(own)
    methods, older = _newest([record for record in merged if record.role == "method"])
    scored, _ = _newest([record for record in own if record.role in ("floor", "scale")])
    floors = [record for record in scored if record.method == baseline]
    context = [record for record in scored if record.method != baseline]
    methods.sort(key=lambda record: record.method != baseline)
    rows = tuple(read_row(record, record.method == baseline) for record in methods)
    return Results(
        model_name=model_name,
        model=_first_model(methods, scored),
        baseline_name=baseline,
        rows=rows,
        floors=tuple(floors),
        context=tuple(context),
        left_out=tuple(_left_out(records, own, older)),
    )


def read_row(record: Record, is_baseline: bool) -> Row:
    """A record's figures; the first point of the trial's sweep is the headline."""
    points = tuple(read_point(point, record) for point in record.speed)
    sweep = tuple(speed for speed in points if speed.disturbed is None)
    return Row(
        label=record.method,
        record=record,
        is_baseline=is_baseline,
        weight_bytes=record.size.weight_bytes if record.size else None,
        memory_bytes=record.memory.headline_bytes if record.memory else None,
        speed=_headline(record, sweep),
        sweep=sweep,
        scores=tuple(score for task in record.tasks if (score := read_score(task))),
        disturbed=tuple(speed for speed in points if speed.disturbed is not None),
    )


def read_point(point: SpeedPoint, record: Record) -> Speed:
    """The figures of a point's undisturbed repetitions, or of all of them with the reason why not."""
    cores = record.environment.cores
    on_gpu = str(record.trial.get("device", "")).startswith("cuda")
    threads = 1 if on_gpu else min(record.environment.threads or cores, cores)
    clean, why = without_disturbed(point, threads, cores)
    left_out = len(point.decode_s) - len(clean.decode_s)
    return replace(read_speed(clean, record.bandwidth), disturbed=why, left_out=left_out)


def _headline(record: Record, sweep: tuple[Speed, ...]) -> Speed | None:
    batch_sizes, prompts = record.trial.get("batch_sizes"), record.trial.get("prompt_tokens")
    if not batch_sizes or not prompts:
        return sweep[0] if sweep and sweep[0].decode else None
    wanted = (batch_sizes[0], prompts[0])
    return next((s for s in sweep if (s.batch_size, s.prompt_tokens) == wanted and s.decode), None)


def _newest(records: Iterable[Record]) -> tuple[list[Record], list[Record]]:
    """The newest record of each method in order of appearance, and the older ones."""
    newest: dict[str, Record] = {}
    older = []
    for record in records:
        rival = newest.get(record.method)
        if rival is not None:
            older.append(min(rival, record, key=lambda r: r.created_at))
        newest[record.method] = record if rival is None else max(record, rival, key=lambda r: r.created_at)
    return list(newest.values()), older


def _first_model(*groups: Iterable[Record]) -> ModelInfo | None:
    return next((record.model for group in groups for record in group if record.model), None)


def _left_out(records: Sequence[Record], own: Sequence[Record], older: Sequence[Record]) -> Iterable[str]:
    others = [record for record in records if record not in own]
    for model in dict.fromkeys(str(record.trial["model"]) for record in others):
        yield f"Records of another model, {model}, are in this folder and are not part of this report."
    for record in older:
        yield f"An older record of {record.method} ({record.created_at}) was replaced by a newer one."
