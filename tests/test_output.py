"""A command's answer as text or as one JSON document."""

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quantbench.commands import compare, recommend, report, score
from quantbench.output import Output, plain
from quantbench.settings import Format
from quantbench.settings.commands import (
    CompareSettings,
    FailOn,
    RecommendSettings,
    ReportSettings,
    ScoreSettings,
)
from quantbench.store import Store
from tests.evaluation.conftest import sample_file as sample_file
from tests.evaluation.conftest import task_file as task_file
from tests.report_records import reference_records


class Kind(StrEnum):
    WORSE = "worse"


@dataclass(frozen=True)
class Finding:
    kind: Kind
    values: tuple[float, ...]


def given(*, as_json: bool) -> str:
    file = io.StringIO()
    output = Output(Console(file=file, width=20), as_json=as_json)
    output.give({"text": "[red] :smile: " + "long " * 10}, lambda console: console.print("shown"))
    return file.getvalue()


def test_people_get_what_is_shown() -> None:
    assert given(as_json=False) == "shown\n"


def test_programs_get_the_document_with_its_text_unchanged() -> None:
    assert json.loads(given(as_json=True)) == {"text": "[red] :smile: " + "long " * 10}


def test_values_are_those_of_strict_json() -> None:
    document = plain({"a": Finding(Kind.WORSE, (1.0, math.nan, math.inf)), 2: Path("x")})
    assert document == {"a": {"kind": "worse", "values": [1.0, None, None]}, "2": "x"}


def document(command: Callable[[Output, Console], int]) -> dict[str, Any]:
    """What a command writes with --json."""
    file = io.StringIO()
    assert command(Output(Console(file=file), as_json=True), Console(file=io.StringIO())) == 0
    return dict(json.loads(file.getvalue()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = Store(tmp_path)
    for record in reference_records():
        store.append(record)
    return tmp_path


def test_a_report_as_json_holds_the_figures_and_where_the_files_are(folder: Path) -> None:
    given = document(lambda out, err: report(ReportSettings(folder=folder, format=(Format.JSON,)), out, err))
    assert [method["method"] for method in given["methods"]] == ["fp16", "int8", "int4"]
    assert given["report"] == str(folder / "results.json")


def test_a_recommendation_as_json_holds_the_choice_and_every_candidate(folder: Path) -> None:
    limits = RecommendSettings(folder=folder, max_memory="1GB", min_recovery=0.9)
    given = document(lambda out, err: recommend(limits, out, err))
    assert given["label"] == "int8" and given["limits"]["max_memory_bytes"] == 10**9
    assert [candidate["label"] for candidate in given["candidates"]] == ["fp16", "int8", "int4"]


def test_a_comparison_as_json_holds_every_figure_with_its_kind(folder: Path) -> None:
    settings = CompareSettings(old=folder, new=folder, fail_on=FailOn.REGRESSION)
    given = document(lambda out, err: compare(settings, out, err))
    assert given["failed"] is False and given["differences"]


def test_scores_as_json_hold_figures_and_what_was_left_out(
    sample_file: Callable[..., Path], task_file: Path
) -> None:
    samples = sample_file({"task_id": "Own/0", "completion": "    return sum(numbers)\n"})
    settings = ScoreSettings(samples=samples, task_data=str(task_file), workers=1)
    file = io.StringIO()
    output = Output(Console(file=file), as_json=True)
    assert score(settings, output, Console(file=io.StringIO())) == 1
    given = json.loads(file.getvalue())
    assert given["outcomes"] == {"passed": 1} and "Own/1" in given["left_out"][0]
    assert (given["figures"][0]["k"], given["figures"][0]["value"]) == (1, 1.0)
