"""Several models in one plan: rows named by model or method, one reference, distances where tokens agree."""

from pathlib import Path

import pytest

from quantbench.analysis import analyse
from quantbench.analysis.comparison.rows import read_results
from quantbench.errors import UsageError
from quantbench.plan import Plan, Role, Trial
from quantbench.planning import build_plan
from quantbench.planning.models import named, reference_of
from quantbench.report.blocks import Bullets
from quantbench.report.formats.export import row_figures
from quantbench.report.sections.overview import model_section
from quantbench.settings import RunSettings
from tests.builders import make_trial
from tests.gguf_files import write_tiny
from tests.model_folders import write_folder
from tests.report_records import other_trial, record, reference_records


def plan_of(*models: str, **settings: object) -> Plan:
    first, *others = models
    asked = {"tasks": ("none",), "device": "cpu", **settings}
    plan, _ = build_plan(RunSettings(model=first, models=tuple(others), **asked))  # type: ignore[arg-type]
    return plan


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    return str(write_folder(tmp_path / "base")), str(write_tiny(tmp_path / "base-q8_0.gguf"))


def rows_of(plan: Plan) -> list[str]:
    return [trial.name for trial in plan.trials if trial.role is Role.METHOD]


def test_rows_are_named_by_method_and_files_by_themselves(two: tuple[str, str]) -> None:
    plan = plan_of(*two, methods=("fp16", "int8"))
    assert rows_of(plan) == ["fp16", "int8", "base-q8_0.gguf"]
    assert plan.baseline == "fp16"
    assert [trial.label for trial in plan.trials if trial.role is Role.FLOOR] == ["fp16-floor"]


def test_rows_are_named_by_model_too_where_several_run_under_methods() -> None:
    asked = [("a/m", "fp16"), ("a/m", "int8"), ("b/n", "fp16"), ("c.gguf", "stored")]
    rows = [trial.row for trial in named([make_trial(model=m, method=method) for m, method in asked])]
    assert rows == ["m fp16", "m int8", "n fp16", "c.gguf"]


def test_a_file_that_is_called_as_a_method_is_told_apart_from_it() -> None:
    asked = [("a/m", "fp16"), ("a/int8", "stored"), ("a/m", "int8")]
    rows = [trial.row for trial in named([make_trial(model=m, method=method) for m, method in asked])]
    assert rows == ["m fp16", "int8", "m int8"]


def test_the_baseline_may_be_a_row_a_model_or_a_method(two: tuple[str, str]) -> None:
    for baseline in ("base-q8_0.gguf", two[1], "stored"):
        plan = plan_of(*two, methods=("fp16",), baseline=baseline)
        assert plan.baseline == "base-q8_0.gguf"
        assert rows_of(plan)[0] == "base-q8_0.gguf"


def test_a_baseline_that_is_no_row_is_answered_with_the_rows(two: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=r"is no row of this run; name one of 'fp16', 'base-q8_0\.gguf'"):
        plan_of(*two, methods=("fp16",), baseline="int4")


def test_stored_concerns_the_models_that_are_quantized(two: tuple[str, str]) -> None:
    plan = plan_of(*two, methods=("fp16", "stored"))
    assert rows_of(plan) == ["fp16", "base-q8_0.gguf"]
    with pytest.raises(UsageError, match="is not quantized"):
        plan_of(two[0], methods=("fp16", "stored"))


def test_a_model_named_twice_is_refused(two: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="is given twice"):
        plan_of(two[0], two[1], two[0])
    with pytest.raises(UsageError, match=r"is the same model as .*; name each model once"):
        plan_of(two[0], f"{two[0]}/")


def test_models_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    models = [str(write_folder(tmp_path / place / "m")) for place in "ab"]
    assert rows_of(plan_of(*models, methods=("fp16",))) == [f"{model} fp16" for model in models]


def test_ids_of_a_plan_of_one_model_know_no_rows(two: tuple[str, str]) -> None:
    alone = plan_of(two[0], methods=("fp16",)).trials[0]
    beside = plan_of(*two, methods=("fp16",)).trials[0]
    assert alone.row is None and beside.row == "fp16"
    assert alone.id == beside.changed(row=None).id != beside.id


def test_models_that_read_text_unlike_each_other_have_no_distance(
    two: tuple[str, str], tmp_path: Path
) -> None:
    text = tmp_path / "t.txt"
    text.write_text("AB AB AB " * 50)
    gguf = write_tiny(tmp_path / "other.gguf", vocab_size=128)
    plan = plan_of(two[1], str(gguf), text=str(text))
    references = {trial.name: trial.reference for trial in plan.trials if trial.role is Role.METHOD}
    assert references == {"base-q8_0.gguf": None, "other.gguf": None}
    assert any("no distance between them is measured" in note for note in plan.notes)


def test_equal_tokens_give_a_distance(tmp_path: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text("AB AB AB " * 50)
    models = [
        str(write_tiny(tmp_path / f"{name}.gguf", num_hidden_layers=n)) for n, name in ((1, "a"), (2, "b"))
    ]
    first, second = plan_of(*models, text=str(text)).trials[:2]
    assert second.reference == first.id


def test_one_table_holds_the_rows_of_all_models() -> None:
    trials = named(
        [
            Trial(model=model, method=method, device="cpu")  # type: ignore[call-arg]
            for model, method in (("a/m", "fp16"), ("a/m", "int8"), ("b.gguf", "stored"))
        ]
    )
    records = [record(trial.method).model_copy(update={"trial": trial}) for trial in trials]
    found = read_results(records, reference_of(None, trials).name)
    assert [row.label for row in found.rows] == ["fp16", "int8", "b.gguf"]
    assert found.model_name == "m + b.gguf"
    assert found.rows[0].is_baseline


def test_a_report_has_the_facts_of_each_model() -> None:
    first = other_trial(reference_records()[0], row="a fp16", model="org/a")
    second = other_trial(reference_records()[1], row="b int8", model="org/b")
    assert first.model is not None
    facts = {"name": "org/b", "revision": "sha256:b", "parameters": 7}
    second = second.model_copy(update={"model": first.model.model_copy(update=facts)})
    first = first.model_copy(update={"model": first.model.model_copy(update={"name": "org/a"})})
    analysis = analyse([first, second], "a fp16")
    (section,) = model_section(analysis)
    (bullets,) = section.blocks
    assert isinstance(bullets, Bullets)
    assert [(bullet.lead, "sha256:b" in bullet.text) for bullet in bullets.items] == [
        ("org/a", False),
        ("org/b", True),
    ]
    assert [row_figures(row, analysis)["model"] for row in analysis.results.rows] == ["org/a", "org/b"]
