"""Records as rows that can be compared: one row a method, the baseline first. Says nothing about them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from quantbench.analysis.comparison.comparisons import Comparison, Comparisons, join
from quantbench.analysis.comparison.exact_tests import compare_memory, compare_sizes
from quantbench.analysis.comparison.score_tests import compare_scores
from quantbench.analysis.comparison.speed_tests import compare_speeds
from quantbench.analysis.figures.rounds import merge_rounds, same_measurement
from quantbench.analysis.figures.row import Row, read_row
from quantbench.plan import Role, Trial
from quantbench.records import ModelInfo, Record

__all__ = ["Row", "Rows", "read_results", "read_row"]

NO_RECORD = "it was planned, but the results folder has no readable record of it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """All rows of one model; what the statements of a report are made from."""

    model_name: str  # as the user gave it
    model: ModelInfo | None
    baseline_name: str
    rows: tuple[Row, ...]
    floors: tuple[Record, ...]  # reruns of the baseline: no rows, only a noise floor
    context: tuple[Record, ...]  # another number format of it, scored for scale: outside every comparison
    left_out: tuple[str, ...]  # records that this report does not show, and why
    comparisons: Comparisons  # every two rows on every metric, corrected for how many they are

    @property
    def baseline(self) -> Row | None:
        """The baseline's row; None where it has no record."""
        return next((row for row in self.rows if row.is_baseline), None)

    def compare(self, metric: str, one: Row, other: Row) -> Comparison:
        """Two rows on the metric with this key; the same answer for whoever asks."""
        return self.comparisons.get(metric, one.label, other.label)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that any row has a score on, in the order they were run."""
        return tuple(dict.fromkeys(score.task for row in self.rows for score in row.scores))

    @property
    def asked_harness(self) -> bool:
        """Whether any row has figures of lm-eval's tasks; they choose no method."""
        return any(row.record.harness for row in self.rows)

    @property
    def on_gpu(self) -> bool:
        """Whether the memory figures are those of a GPU."""
        kinds = [row.record.memory.kind for row in self.rows if row.record.memory]
        devices = [row.record.trial.load.device for row in self.rows]
        return "cuda" in kinds if kinds else any(device.startswith("cuda") for device in devices)


def read_results(records: Sequence[Record], baseline: str, missing: Sequence[str] = ()) -> Rows:
    """The rows of the newest record's model or models; older records of a row give way, and it is said.

    So is what was planned and has no record: `missing`.
    """
    if not records:
        raise ValueError("a report needs at least one record")
    newest = max(records, key=lambda record: record.created_at).trial
    own = [record for record in records if belongs(record, newest)]
    model_name = newest.model if newest.row is None else listed_models(own)
    merged = merge_rounds(own)
    methods, older = _newest([record for record in merged if record.role is Role.METHOD])
    scored, _ = _newest([record for record in own if record.role in (Role.FLOOR, Role.SCALE)])
    floors = [record for record in scored if record.method == baseline]
    context = [record for record in scored if record.method != baseline]
    methods.sort(key=lambda record: record.method != baseline)
    rows = tuple(read_row(record, record.method == baseline) for record in methods)
    return Rows(
        model_name=model_name,
        model=_first_model(methods, scored),
        baseline_name=baseline,
        rows=rows,
        floors=tuple(floors),
        context=tuple(context),
        left_out=(*_left_out(records, own, older), *(f"{label}: {NO_RECORD}" for label in missing)),
        comparisons=compare_rows(rows, floors),
    )


def belongs(record: Record, newest: Trial) -> bool:
    """Whether a record stands in the newest one's table: that of its model, or of several models."""
    if newest.row is None:
        return record.trial.row is None and record.trial.model == newest.model
    return record.trial.row is not None


def listed_models(records: Iterable[Record]) -> str:
    """The models of a table in the order in which they were asked for."""
    return " + ".join(dict.fromkeys(PurePath(record.trial.model).name for record in records))


def compare_rows(rows: Sequence[Row], floors: Sequence[Record]) -> Comparisons:
    """All pairs of rows on all metrics; `floors` are reruns of the baseline, whose speed shows the noise."""
    baseline = next((row for row in rows if row.is_baseline), None)
    same = [floor for floor in floors if baseline and same_measurement(floor, baseline.record)]
    reruns = [read_row(floor, is_baseline=True) for floor in same]
    return join(
        (compare_sizes(rows), compare_memory(rows), compare_speeds(rows, reruns), compare_scores(rows))
    )


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
    for model in dict.fromkeys(record.trial.model for record in others):
        yield f"Records of another model, {model}, are in this folder and are not part of this report."
    for record in older:
        yield f"An older record of {record.method} ({record.created_at}) was replaced by a newer one."
