"""lm-eval's tasks in a run: planned by content, refused early, kept in the record; and its own API."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")

from quantbench.errors import TaskError, UsageError
from quantbench.evaluation.harness.loading import load_harness_task
from quantbench.evaluation.harness.names import parse_name
from quantbench.planning import build_plan
from quantbench.planning.harness import digest
from quantbench.records import Record
from quantbench.settings import RunSettings, read_settings
from quantbench.trial import run_trial
from tests.evaluation.harness import task_files as files

NAME = f"lm-eval:{files.CHOICE}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return files.write_tasks(tmp_path / "tasks")


def settings(folder: Path, **options: Any) -> RunSettings:
    asked = {"model": "builtin", "methods": "fp16", "tasks": NAME, "task_data": str(folder)}
    return read_settings(RunSettings, asked | options)


def test_other_data_make_another_trial(folder: Path) -> None:
    before = build_plan(settings(folder))[0].trials[0]
    digest.cache_clear()
    rows = [row | {"answer": 0} for row in files.QUESTIONS]
    (folder / f"{files.CHOICE}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    after = build_plan(settings(folder))[0].trials[0]
    assert before.evaluation.tasks == after.evaluation.tasks == (NAME,)
    assert before.id != after.id


def test_a_trial_keeps_figures_items_and_samples(folder: Path, tmp_path: Path) -> None:
    asked = settings(folder, limit=3, speed_budget_s=0.01, new_tokens=2, prompt_tokens="2")
    trial = build_plan(asked)[0].trials[0]
    (tmp_path / "out").mkdir()
    kept: list[Record] = []
    record = run_trial(trial, folder=tmp_path / "out", progress=lambda *_: None, checkpoint=kept.append)
    assert record.failure is None
    (result,) = record.harness
    assert (result.task, len(result.items), result.limit) == (NAME, 3, 3)
    assert [metric.name for metric in result.metrics] == ["acc", "acc_norm"]
    assert result.samples_file is not None
    lines = (tmp_path / "out" / result.samples_file).read_text().splitlines()
    assert [json.loads(line)["doc_id"] for line in lines] == [0, 1, 2]


@pytest.mark.parametrize("option", [{"protocols": "chat"}, {"temperature": 0.5}])
def test_how_lm_evals_tasks_are_asked_is_not_an_option(folder: Path, option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="tasks of lm-eval say themselves how they are asked"):
        build_plan(settings(folder, **option))


def test_examples_where_a_task_allows_none_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="asked without examples"):
        load_harness_task(parse_name(f"{NAME}@3"), str(folder))


def test_programs_are_not_run_without_a_sandbox(folder: Path) -> None:
    files.write_task(folder, "qb_unsafe", files.QUESTIONS, output_type="generate_until", unsafe_code=True,
                     doc_to_text="{{question}}", doc_to_target="{{answer}}")  # fmt: skip
    with pytest.raises(UsageError, match="without a sandbox"):
        load_harness_task(parse_name("lm-eval:qb_unsafe"), str(folder))


def test_data_that_cannot_be_had_are_one_sentence(folder: Path) -> None:
    (folder / f"{files.CHOICE}.jsonl").unlink()
    with pytest.raises(TaskError, match=f"lm-eval cannot load '{files.CHOICE}'"):
        load_harness_task(parse_name(NAME), str(folder))


def test_a_folder_that_is_not_there_is_said() -> None:
    with pytest.raises(TaskError, match="no folder '/nowhere'"):
        load_harness_task(parse_name(NAME), "/nowhere")


def test_lm_evals_own_api_knows_quantbench_and_its_options() -> None:
    from lm_eval.api.registry import get_model

    import quantbench.lm_eval

    model = get_model("quantbench")
    assert model is quantbench.lm_eval.QuantbenchModel
    beside = {"device": "cuda:0", "batch_size": "auto"}
    made = model.create_from_arg_string("pretrained=builtin,method=int8", beside)
    assert made.get_model_info()["method"] == "int8"
    assert made.get_model_info()["scheme"].startswith("W8")
    with pytest.raises(UsageError, match="has no 'metod'"):
        model.create_from_arg_string("pretrained=builtin,metod=int8")
