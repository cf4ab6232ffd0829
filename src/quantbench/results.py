"""What was measured, as an object: tables, figures, files and decisions from a results folder's records.

Only what is asked for is computed; nothing here needs torch.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from quantbench.errors import QuantbenchError, StoreError, UsageError, unknown
from quantbench.leftovers import remove_old_report
from quantbench.plan import Role
from quantbench.records import Record
from quantbench.selection import Selection, store_folder
from quantbench.settings import read_settings
from quantbench.settings.commands import RecommendSettings
from quantbench.store import whole
from quantbench.units import parse_bytes, parse_seconds

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from quantbench.analysis import Analysis, Changes, Choice, Requirements, Rows
    from quantbench.report.charts.style import ChartFigure

Parsed = TypeVar("Parsed", int, float)


@dataclass(kw_only=True, repr=False, eq=False)
class Results:
    """The records of a folder's last run, and what follows from them."""

    folder: Path
    records: list[Record]
    baseline: str  # the method that the others are compared with
    missing: tuple[str, ...] = ()  # labels of planned trials without a record
    written: tuple[str, ...] = ()  # files of the report last written
    _tell: Callable[[str], None] = field(default=lambda sentence: None)  # of what turns out to be damaged

    def __repr__(self) -> str:
        labels = ", ".join(record.trial.label for record in self.records if record.role is Role.METHOD)
        return f"<Results of '{self.folder}': {labels}; baseline {self.baseline}>"

    @classmethod
    def of(
        cls, selected: Selection, folder: Path, tell: Callable[[str], None] = lambda sentence: None
    ) -> "Results":
        """The results of records that belong together."""
        records, baseline, missing = selected
        return cls(folder=folder, records=records, baseline=baseline, missing=missing, _tell=tell)

    @cached_property
    def _whole(self) -> list[Record]:
        """The records with all their parts; what of them is lost is told, and is missing."""
        found = [whole(record) for record in self.records]
        for before, record in zip(self.records, found, strict=True):
            for sentence in record.warnings[len(before.warnings) :]:
                self._tell(f"{record.trial.label}: {sentence}")
        return found

    @cached_property
    def analysis(self) -> "Analysis":
        """Comparisons with the baseline, findings and recommendations."""
        from quantbench.analysis import analyse

        return analyse(self._whole, self.baseline, self.missing)

    @cached_property
    def compared(self) -> "Rows":
        """The methods' figures, without statistics over them."""
        from quantbench.analysis import read_results

        return read_results(self._whole, self.baseline, self.missing)

    @property
    def report(self) -> Path:
        """The file of the report to read first; StoreError before `write`."""
        if not self.written:
            raise StoreError("no report was written yet; call write() first")
        return self.folder / self.written[0]

    def write(self, formats: Collection[str] = ("md", "html", "json", "csv")) -> tuple[str, ...]:
        """Write the report's files into the folder in place of an older report's; their names.

        QuantbenchError with the first failure's reason where nothing was measured.
        """
        from quantbench.report import write_report

        if not any(record.size or record.speed or record.tasks for record in self.records):
            raise_first_failure(self.records)
        samples = store_folder(self.folder)
        self.written = write_report(self.analysis, folder=self.folder, formats=formats, samples=samples)
        remove_old_report(self.folder, self.written, formats)
        return self.written

    def describe(self) -> dict[str, Any]:
        """All figures, comparisons and statements as plain values, as results.json has them."""
        from quantbench.report import describe

        return describe(self.analysis)

    def rows(self, table: str = "methods") -> list[dict[str, Any]]:
        """A table of TABLES as a list of rows by column name; UsageError for another name."""
        from quantbench.tables import TABLES

        if table not in TABLES:
            raise UsageError(unknown("table", table, TABLES))
        return list(TABLES[table](self.analysis))

    def to_arrow(self, table: str = "methods") -> "pyarrow.Table":
        """A table as pyarrow's; a column in which nothing was measured is null."""
        import pyarrow

        rows = self.rows(table)
        names = dict.fromkeys(name for row in rows for name in row)
        return pyarrow.table({name: [row.get(name) for row in rows] for name in names})

    def to_pandas(self, table: str = "methods") -> "pandas.DataFrame":
        """A table as pandas' data frame; UsageError where pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise UsageError(
                "tables as data frames need pandas: `pip install pandas`, or use to_arrow()"
            ) from error
        return pandas.DataFrame(self.rows(table))

    def figures(self) -> dict[str, "ChartFigure"]:
        """The report's pictures as matplotlib figures, by the names of their files without '.png'."""
        from quantbench.report.charts import draw_charts

        return {name.removesuffix(".png"): figure for name, figure in draw_charts(self.analysis)}

    def recommend(self, **limits: Any) -> "Choice":
        """The method that meets these limits, and why each other one falls out.

        `limits` are the options of `quantbench recommend`: max_memory="2GB", min_recovery=0.97.
        UsageError for one that is none, or that cannot be meant.
        """
        return self.choose(read_limits(read_settings(RecommendSettings, {"folder": self.folder, **limits})))

    def choose(self, limits: "Requirements") -> "Choice":
        """`recommend` with limits that are read already."""
        from quantbench.analysis import choose

        return choose(self.compared, limits)

    def compare(self, new: "Results", tolerance: float | None = None) -> "Changes":
        """What really changed from these results to newer ones; UsageError for those of another model."""
        from quantbench.analysis import compare_results

        try:
            return compare_results(self.compared, new.compared, tolerance)
        except ValueError as error:
            raise UsageError(f"{error}; compare runs of one model") from error


def raise_first_failure(records: Collection[Record]) -> None:
    """Nothing was measured: the first failure's sentence is what there is to say."""
    failures = [record.failure for record in records if record.failure]
    if not failures:
        raise StoreError("nothing was measured; run `quantbench run` first")
    failure = failures[0]
    raise QuantbenchError(
        f"no trial could be measured; the first failed while in '{failure.stage}': {failure.message}"
    )


def read_limits(settings: RecommendSettings) -> "Requirements":
    """The options as limits; UsageError for a quantity that cannot be read or be meant."""
    from quantbench.analysis import Requirements

    return Requirements(
        max_memory_bytes=_parsed("--max-memory", settings.max_memory, parse_bytes, "2GB"),
        max_size_bytes=_parsed("--max-size", settings.max_size, parse_bytes, "500MB"),
        max_ttft_s=_parsed("--max-ttft", settings.max_ttft, parse_seconds, "200ms"),
        min_speed=settings.min_speed,
        min_recovery=settings.min_recovery,
    )


def _parsed(option: str, text: str | None, parse: Callable[[str], Parsed], example: str) -> Parsed | None:
    if text is None:
        return None
    try:
        value = parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}, as in {example}") from error
    if not value:
        raise UsageError(f"{option} must be more than nothing, as in {example}")
    return value
