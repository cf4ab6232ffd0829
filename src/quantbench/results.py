"""What was measured, as an object: tables, figures, files and decisions from a results folder's records.

Only what is asked for is computed; nothing here needs torch.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.errors import QuantbenchError, StoreError
from quantbench.leftovers import remove_old_report
from quantbench.records import Record
from quantbench.selection import Selection

if TYPE_CHECKING:
    from quantbench.analysis import Analysis
    from quantbench.analysis import Results as Rows
    from quantbench.analysis.choose import Choice, Limits
    from quantbench.analysis.compare import Changes


@dataclass(kw_only=True)
class Results:
    """The records of a folder's last run, and what follows from them."""

    folder: Path
    records: list[Record]
    baseline: str  # the method that the others are compared with
    missing: tuple[str, ...] = ()  # labels of planned trials without a record
    written: tuple[str, ...] = field(default=(), repr=False)  # files of the report last written

    @classmethod
    def of(cls, selected: Selection, folder: Path) -> "Results":
        """The results of records that belong together."""
        records, baseline, missing = selected
        return cls(folder=folder, records=records, baseline=baseline, missing=missing)

    @cached_property
    def analysis(self) -> "Analysis":
        """Comparisons with the baseline, findings and recommendations."""
        from quantbench.analysis import analyse

        return analyse(self.records, self.baseline, self.missing)

    @cached_property
    def rows(self) -> "Rows":
        """The methods' figures, without statistics over them."""
        from quantbench.analysis.rows import read_results

        return read_results(self.records, self.baseline, self.missing)

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
        self.written = write_report(self.analysis, folder=self.folder, formats=formats)
        remove_old_report(self.folder, self.written, formats)
        return self.written

    def describe(self) -> dict[str, Any]:
        """All figures, comparisons and statements as plain values, as results.json has them."""
        from quantbench.report import describe

        return describe(self.analysis)

    def recommend(self, limits: "Limits") -> "Choice":
        """The method that meets these limits, and why each other one falls out."""
        from quantbench.analysis.choose import choose

        return choose(self.rows, limits)

    def compare(self, new: "Results", tolerance: float | None = None) -> "Changes":
        """What really changed from these results to newer ones of the same model; ValueError for another."""
        from quantbench.analysis.compare import compare_results

        return compare_results(self.rows, new.rows, tolerance)


def raise_first_failure(records: Collection[Record]) -> None:
    """Nothing was measured: the first failure's sentence is what there is to say."""
    failures = [record.failure for record in records if record.failure]
    if not failures:
        raise StoreError("nothing was measured; run `quantbench run` first")
    failure = failures[0]
    raise QuantbenchError(
        f"no trial could be measured; the first failed while in '{failure.stage}': {failure.message}"
    )
