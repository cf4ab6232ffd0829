"""What an earlier run left in a results folder: old report files go, old answers are set aside.

Reports can be made again from the records; answers cannot, so they are moved to samples/earlier and come
back when a later report is about their records.
"""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from quantbench.errors import StoreError
from quantbench.records import Record

# What each format of a report writes, as patterns of names.
REPORT_FILES = {
    "md": ("report.md", "*_comparison.png", "normalized_metrics_heatmap.png"),
    "html": ("report.html", "performance_tradeoffs.html"),
    "json": ("results.json",),
    "csv": ("results.csv",),
}
EARLIER = "earlier"
PROBLEMS = "problems*.jsonl"  # shared by all trials of a run


def remove_old_report(folder: Path, written: Collection[str], formats: Collection[str]) -> None:
    """Delete report files of these formats that the report just written does not have."""
    patterns = [pattern for name in formats for pattern in REPORT_FILES[name]]
    found = [path for pattern in patterns for path in folder.glob(pattern)]
    _change(folder, [path for path in found if path.name not in written], Path.unlink)


def set_aside_samples(folder: Path, records: Iterable[Record]) -> None:
    """Answers of these records stand in samples/, all others in samples/earlier/."""
    samples, earlier = folder / "samples", folder / "samples" / EARLIER
    wanted = {Path(task.samples_file).name for r in records for task in r.tasks if task.samples_file}
    back = [path for path in earlier.glob("*.jsonl") if path.name in wanted]
    _change(folder, back, lambda path: path.replace(samples / path.name))
    shared = {path.name for path in samples.glob(PROBLEMS)}
    aside = [path for path in samples.glob("*.jsonl") if path.name not in wanted | shared]
    if aside:
        _change(folder, [earlier], lambda path: path.mkdir(exist_ok=True))
    _change(folder, aside, lambda path: path.replace(earlier / path.name))


def _change(folder: Path, paths: Collection[Path], act: Callable[[Path], object]) -> None:
    try:
        for path in paths:
            act(path)
    except OSError as error:
        raise StoreError(
            f"cannot tidy '{folder}' ({error.strerror}); free it or choose another --output-dir"
        ) from error
