"""The Python API: what `load` and `run` give, and how their errors read."""

import inspect
import io
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console

import quantbench
from quantbench.api import signals_kept
from quantbench.report.charts.style import ChartFigure
from quantbench.results import Results
from quantbench.settings import RunSettings
from quantbench.settings.base import places_of
from quantbench.settings.option import spelling
from quantbench.store import Store
from quantbench.tables import TABLES
from tests.analysis.distances import make_distance
from tests.report_records import full_record, reference_records

API = (Path(__file__).parent.parent.parent / "docs" / "api.md").read_text()
QUIET = Console(file=io.StringIO())


def folder(path: Path) -> Path:
    store = Store(path)
    store.create()
    for record in reference_records():
        distance = make_distance([0.1, 0.3]) if record.method != "fp16" else None
        store.append(record.model_copy(update={"distance": distance}))
    return path


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return quantbench.load(folder(tmp_path_factory.mktemp("results")), console=QUIET)


def test_what_was_measured_shows_in_one_line(results: Results) -> None:
    assert repr(results) == f"<Results of '{results.folder}': fp16, int8, int4; baseline fp16>"


def test_figures_of_the_methods_are_those_of_the_report(results: Results) -> None:
    described = results.describe()["methods"]
    for row, method in zip(results.rows("methods"), described, strict=True):
        assert row.items() <= method.items()


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_rows_and_is_the_same_in_arrow(results: Results, table: str) -> None:
    rows = results.rows(table)
    assert rows and results.to_arrow(table).to_pylist() == rows


@pytest.mark.parametrize("table", [name for name in TABLES if name != "methods"])
def test_every_column_that_is_documented_is_there(results: Results, table: str) -> None:
    line = next(line for line in API.splitlines() if line.startswith(f"| `{table}` |"))
    named = set(re.findall(r"`(\w+)`", line)) - {table}
    named |= {"decode_tokens_per_s_low", "decode_tokens_per_s_high"} if table == "sweep" else set()
    named -= {"_low", "_high"}
    assert named <= {name for row in results.rows(table) for name in row}


def test_raw_repetitions_and_answers_are_all_there(results: Results) -> None:
    fp16 = results.records[0]
    own = [row for row in results.rows("repetitions") if row["method"] == "fp16"]
    assert [row["decode_s"] for row in own] == list(fp16.speed[0].decode_s)
    answers = [row for row in results.rows("completions") if row["method"] == "fp16"]
    assert sum(row["outcome"] == "passed" for row in answers) == 57


def test_an_unknown_table_is_named_with_the_nearest_one(results: Results) -> None:
    with pytest.raises(quantbench.QuantbenchError, match="did you mean 'repetitions'"):
        results.to_arrow("repetition")


def test_data_frames_say_what_they_need(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(quantbench.QuantbenchError, match="pip install pandas"):
        results.to_pandas()


def test_data_frames_have_the_rows(results: Results) -> None:
    pytest.importorskip("pandas")
    assert results.to_pandas("completions").shape[0] == len(results.rows("completions"))


def test_pictures_are_figures_that_a_notebook_shows(results: Results) -> None:
    figure = results.figures()["model_size_comparison"]
    assert isinstance(figure, ChartFigure)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_limits_are_those_of_the_command(results: Results) -> None:
    assert results.recommend(max_memory="1GB", min_recovery=0.9).label == "int8"
    with pytest.raises(quantbench.QuantbenchError, match="did you mean 'max_memory'"):
        results.recommend(max_memry="1GB")
    with pytest.raises(quantbench.QuantbenchError, match=r"0\.97 is 97 per cent"):
        results.recommend(min_recovery=97.0)


def test_results_are_compared_with_newer_ones(results: Results, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for record in [full_record("fp16", 1.0, 30.0, 1.2, range(57)), *reference_records()[1:]]:
        store.append(record)
    changes = results.compare(quantbench.load(tmp_path, console=QUIET))
    assert "fp16" in {difference.label for difference in changes.failures}


def test_a_report_is_there_once_it_was_written(tmp_path: Path) -> None:
    found = quantbench.load(folder(tmp_path), console=QUIET)
    with pytest.raises(quantbench.QuantbenchError, match="write"):
        assert found.report
    assert found.write(["csv"]) == ("results.csv",)
    assert found.report.exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"methds": "fp16"}, "unknown option 'methds'; did you mean 'methods'"),
        ({"methods": "in8"}, "unknown method 'in8'; did you mean 'int8'"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"limit": "many"}, "'limit' must be of type int"),
        ({"dry_run": True}, "--dry-run"),
    ],
)
def test_a_mistake_is_an_error_of_one_sentence(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(quantbench.QuantbenchError, match=re.escape(sentence)):
        quantbench.run("builtin", console=QUIET, **options)


def test_a_run_leaves_the_sessions_signals_as_they_were() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), signals_kept():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_may_run_too() -> None:
    def enter() -> None:
        with signals_kept():
            entered.append(True)

    entered: list[bool] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [True]


def test_help_lists_every_option() -> None:
    text = inspect.getdoc(quantbench.run) or ""
    for name, place in places_of(RunSettings).items():
        assert f"{spelling(name, place.field)}: " in text


UNTOLD = ("__version__", "QuantbenchError")  # the errors' section tells it


def test_every_public_name_is_documented() -> None:
    for name in [name for name in vars(Results) if not name.startswith("_")]:
        assert f"`{name}" in API or name in ("of", "choose", "compared"), name
    for name in quantbench.__all__:
        assert (
            f"quantbench.{name}" in API or f"## {name}" in API or name in ("__version__", "QuantbenchError")
        )


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, quantbench; assert not {'torch', 'pydantic', 'rich', 'typing'} & set(sys.modules)"
    places = os.environ | {"PYTHONPATH": str(Path(quantbench.__file__).parents[1])}
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=places)
    assert done.returncode == 0, done.stderr
