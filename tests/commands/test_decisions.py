"""`recommend` and `compare` on results folders, as a user meets them."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from quantbench.commands.compare import compare
from quantbench.commands.recommend import recommend
from quantbench.errors import StoreError, UsageError
from quantbench.output import Output
from quantbench.records import Record
from quantbench.results import read_limits
from quantbench.settings import read_settings
from quantbench.settings.commands import CompareSettings, FailOn, RecommendSettings
from quantbench.store import Store
from tests.report_records import full_record, other_trial, reference_records


def folder(path: Path, records: Sequence[Record]) -> Path:
    store = Store(path)
    store.create()
    for record in records:
        store.append(record)
    return path


def console() -> Console:
    return Console(file=io.StringIO(), width=120)


def printed(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def recommended(path: Path, **limits: str) -> tuple[int, str]:
    out = console()
    settings = RecommendSettings.model_validate({"folder": path, "min_recovery": 0.9, **limits})
    return recommend(settings, Output(out), console()), printed(out)


def test_recommend_names_the_choice_and_why_the_others_fall_out(tmp_path: Path) -> None:
    code, text = recommended(folder(tmp_path, reference_records()), max_memory="1GB")
    assert code == 0
    assert "fp16 falls out: memory 1.2 GB > 1 GB" in text
    assert "int4 falls out: recovery on humaneval 0.81 < 0.90" in text
    assert "Use int8: the only method that meets every limit; only in doubt: recovery" in text


def test_recommend_exits_with_1_when_nothing_fits(tmp_path: Path) -> None:
    code, text = recommended(folder(tmp_path, reference_records()), max_size="1MB")
    assert (code, "No method" in text) == (1, True)


def test_limit_that_is_no_quantity_is_refused_with_its_option() -> None:
    with pytest.raises(UsageError, match="--max-memory: 'lots' is not a number"):
        read_limits(RecommendSettings(folder=Path("results"), max_memory="lots"))


def compared(old: Path, new: Path, fail_on: str = "regression") -> tuple[int, str]:
    out = console()
    settings = CompareSettings(old=old, new=new, fail_on=FailOn(fail_on), tolerance=0.03)
    code = compare(settings, Output(out), console())
    return code, printed(out)


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return folder(tmp_path / "before", reference_records())


def slower() -> list[Record]:
    return [full_record("fp16", 1.0, 30.0, 1.2, range(57)), *reference_records()[1:]]


def test_regression_fails_the_gate(tmp_path: Path, before: Path) -> None:
    code, text = compared(before, folder(tmp_path / "after", slower()))
    assert code == 1
    assert "regression: fp16, decode, batch 1, prompt 128" in text


def test_regression_passes_when_the_gate_is_open(tmp_path: Path, before: Path) -> None:
    assert compared(before, folder(tmp_path / "after", slower()), fail_on="never")[0] == 0


def test_same_figures_pass_the_gate(before: Path) -> None:
    assert compared(before, before)[0] == 0


def test_unknown_gate_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown fail-on 'anything'; choose from: regression, never"):
        read_settings(CompareSettings, {"old": Path("a"), "new": Path("b"), "fail_on": "anything"})


def test_other_models_are_refused_with_the_fix(tmp_path: Path, before: Path) -> None:
    other = folder(tmp_path / "other", [other_trial(r, model="builtin") for r in reference_records()])
    with pytest.raises(UsageError, match="compare runs of one model"):
        compared(before, other)


def test_other_schema_version_is_said_in_words(tmp_path: Path, before: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "records.jsonl").write_text('{"schema_version": 99}\n')
    with pytest.raises(StoreError, match="schema version 99, this quantbench reads 1"):
        compared(old, before)


def test_folder_without_results_is_refused(tmp_path: Path, before: Path) -> None:
    with pytest.raises(StoreError, match="run `quantbench run` first"):
        compared(tmp_path / "nothing", before)
