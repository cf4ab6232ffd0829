"""A folder of many models: each has its own report, one stands over all, and what is missing is said."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from quantbench import api
from quantbench.errors import QuantbenchError, StoreError
from quantbench.plan import Group, Plan
from quantbench.records import Record
from quantbench.selection import is_results, write_plan
from quantbench.store import Store
from tests.report_records import reference_records


def records_of(model: str) -> list[Record]:
    found = []
    for one in reference_records():
        trial = one.trial.changed(model=model)
        found.append(one.model_copy(update={"trial": trial, "trial_id": trial.id}))
    return found


def plan_of(*models: str) -> Plan:
    groups = tuple(
        Group(model=m, name=m, baseline="fp16", trials=tuple(r.trial for r in records_of(m))) for m in models
    )
    trials = tuple(trial for group in groups for trial in group.trials)
    return Plan(trials=trials, baseline="fp16", groups=groups)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three models of which the last has no record yet."""
    write_plan(plan_of("a", "b", "c"), tmp_path)
    for record in (*records_of("a"), *records_of("b")):
        Store(tmp_path).append(record)
    return tmp_path


def test_each_model_has_its_own_report_and_one_stands_over_all(folder: Path) -> None:
    sweep = api.load_sweep(folder, console=Console(quiet=True))
    assert sweep.write(("json",)) == ("results.json",)
    for name in ("a", "b"):
        assert (folder / "models" / name / "results.json").is_file()
    rows = json.loads((folder / "results.json").read_text())["rows"]
    assert [(row["name"], row["method"]) for row in rows] == [
        (name, method) for name in ("a", "b") for method in ("fp16", "int8", "int4")
    ]


def test_its_figures_are_those_of_the_models_own_reports(folder: Path) -> None:
    sweep = api.load_sweep(folder, console=Console(quiet=True))
    own = sweep.results("a").rows()
    row = next(r for r in sweep.overview.rows if (r.name, r.method) == ("a", "int4"))
    (line,) = [r for r in own if r["method"] == "int4"]
    assert row.speed is not None
    assert (row.speed.value, row.weight_bytes) == (line["decode_tokens_per_s"], line["weight_bytes"])
    assert row.scores["humaneval"].value == line["humaneval_pass_at_1"]


def test_a_model_without_records_is_named_with_its_reason(folder: Path) -> None:
    sweep = api.load_sweep(folder, console=Console(quiet=True))
    assert [absent.name for absent in sweep.overview.absent] == ["c"]
    sweep.write(("json",))
    assert "no record of the last plan in" in (folder / "results.json").read_text()


def test_a_model_of_a_sweep_is_opened_like_any_results_folder(folder: Path) -> None:
    own = folder / "models" / "b"
    assert is_results(own)
    results = api.load(own, console=Console(quiet=True))
    assert [record.trial.model for record in results.records] == ["b"] * 3


def test_the_sweeps_own_folder_names_its_models_where_one_is_needed(folder: Path) -> None:
    with pytest.raises(StoreError, match="is a sweep of 3 models; name one of"):
        api.load(folder)


def test_a_folder_of_one_table_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no sweep"):
        api.load_sweep(tmp_path)


def test_a_sweep_without_any_record_says_the_first_reason(tmp_path: Path) -> None:
    write_plan(plan_of("a"), tmp_path)
    Store(tmp_path).append(records_of("b")[0])
    with pytest.raises(QuantbenchError, match="no model of the sweep was measured; the first because of: no"):
        api.load_sweep(tmp_path).write()


def test_a_plan_that_points_outside_its_folder_is_damaged(folder: Path) -> None:
    path = folder / "models" / "a" / "plan.json"
    path.write_text(path.read_text().replace("../..", "../../../.."))
    with pytest.raises(StoreError, match="is damaged"):
        api.load(path.parent)
