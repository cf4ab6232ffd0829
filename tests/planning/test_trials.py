"""Which trials a run adds to its methods: reruns of the baseline, and later passes of speed."""

from pathlib import Path

import pytest

from quantbench.methods.versions import CHANGED
from quantbench.plan import Trial
from quantbench.planning import build_plan
from quantbench.planning.trials import compared, floors_of, later_passes
from quantbench.settings import KvName, RunSettings, read_settings
from tests.builders import make_trial


def test_passes_run_to_and_fro() -> None:
    trials = tuple(make_trial(method=name) for name in ("fp16", "int8", "int4"))
    order = [(trial.method, trial.round) for trial in later_passes(trials, 3)]
    assert order[:3] == [("int4", 1), ("int8", 1), ("fp16", 1)]
    assert order[3:] == [("fp16", 2), ("int8", 2), ("int4", 2)]


def test_later_passes_measure_speed_alone() -> None:
    trials = compared((make_trial(tasks=("humaneval",)), make_trial(method="int8", tasks=("humaneval",))))
    assert {(trial.evaluation.tasks, trial.reference) for trial in later_passes(trials, 2)} == {((), None)}


def test_one_pass_adds_nothing() -> None:
    assert later_passes((make_trial(),), 1) == ()


def test_passes_have_ids_and_labels_of_their_own() -> None:
    one, two = later_passes((make_trial(),), 3)
    assert one.id != two.id
    assert (one.label, two.label) == ("fp16-pass-2", "fp16-pass-3")


def test_methods_are_compared_with_the_baselines_own_trial() -> None:
    baseline, method = compared((make_trial(text="file"), make_trial(method="int8", text="file")))
    assert (baseline.reference, method.reference) == (None, baseline.id)


def test_without_anything_to_score_nothing_is_compared() -> None:
    assert {trial.reference for trial in compared((make_trial(), make_trial(method="int8")))} == {None}


def test_floor_is_another_batch_shape_and_bf16_is_scored_for_scale() -> None:
    found = floors_of(make_trial(batch_size=64), ("fp16", "int8"))
    assert [(floor.role, floor.method, floor.generation.batch_size) for floor in found] == [
        ("floor", "fp16", 31),
        ("scale", "bf16", 64),
    ]


def test_bf16_that_is_a_method_is_no_floor() -> None:
    assert [floor.method for floor in floors_of(make_trial(), ("fp16", "bf16"))] == ["fp16"]


def test_floor_of_another_baseline_is_that_baseline_alone() -> None:
    assert [floor.method for floor in floors_of(make_trial(method="bf16"), ("bf16", "int8"))] == ["bf16"]


def planned(**settings: object) -> tuple[Trial, ...]:
    asked = {"methods": ("fp16", "int8"), "tasks": ("none",), "device": "cpu"} | settings
    plan, _ = build_plan(RunSettings(**asked))  # type: ignore[arg-type]
    return plan.trials


def test_one_round_is_forth_and_back_with_a_second_process_of_the_baseline() -> None:
    order = [(trial.method, trial.role, trial.round) for trial in planned()]
    assert order == [
        ("fp16", "method", 0),
        ("int8", "method", 0),
        ("fp16", "floor", 0),
        ("int8", "round", 1),
        ("fp16", "round", 1),
    ]


def test_two_rounds_are_four_passes() -> None:
    assert {trial.round for trial in planned(rounds=2)} == {0, 1, 2, 3}


def test_the_baseline_is_run_once_a_pass_where_no_floor_is_wanted() -> None:
    assert "floor" not in [trial.role for trial in planned(floor=False)]


def test_the_passes_of_a_round_share_the_speed_budget() -> None:
    assert {trial.speed.speed_budget_s for trial in planned(speed_budget_s=6.0)} == {3.0}


def test_every_group_of_options_reaches_the_trials(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("def f():\n    return 1\n" * 9)
    settings = read_settings(
        RunSettings,
        {
            "methods": "fp32",
            "device": "cpu",
            "threads": 1,
            "limit": 2,
            "seed": 3,
            "new_tokens": 5,
            "text": str(text),
            "perplexity": str(text),
            "perplexity_window": 9,
        },
    )
    plan, _ = build_plan(settings)
    asked = plan.trials[0].flat()
    names = settings.given & asked.keys() - {"device"}
    assert {name: asked[name] for name in names} == {name: settings.flat()[name] for name in names}
    assert len(names) == 7


def test_a_changed_text_makes_another_trial(tmp_path: Path) -> None:
    for option in ("text", "perplexity", "calibration"):
        file = tmp_path / f"{option}.txt"
        ids = set()
        for content in ("one text\n", "another text\n", "one text\n"):
            file.write_text(content)
            asked = {
                "model": "builtin",
                "tasks": ("none",),
                "methods": ("fp16", "int4"),
                option: str(file),
            }
            ids.add(build_plan(read_settings(RunSettings, asked))[0].trials[1].id)
        assert len(ids) == 2


def test_a_quantizer_of_another_version_makes_another_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def ids() -> dict[str, str]:
        asked = {"model": "builtin", "tasks": ("none",), "methods": ("fp16", "int8", "int4")}
        trials = build_plan(read_settings(RunSettings, asked))[0].trials
        return {trial.label: trial.id for trial in trials}

    before = ids()
    monkeypatch.setitem(CHANGED, "int4", CHANGED["int4"] + 1)
    after = ids()
    changed = {label for label, id in before.items() if after[label] != id}
    assert changed == {"int4", "int4-pass-2"}


def test_a_cache_with_and_without_eight_bits_makes_two_rows_of_a_method() -> None:
    trials = [trial for trial in planned(kv=(KvName.INT8, KvName.NONE)) if trial.role == "method"]
    assert [trial.name for trial in trials] == ["fp16", "fp16 kv-int8", "int8", "int8 kv-int8"]
    assert [trial.load.kv for trial in trials] == [None, "int8", None, "int8"]
    assert all(trial.row for trial in trials), "a table has rows with names, or methods"
    assert len({trial.id for trial in trials}) == 4


def test_one_format_of_the_cache_leaves_rows_their_names_and_none_leaves_ids() -> None:
    plain, none, coded = (planned(**asked) for asked in ({}, {"kv": (KvName.NONE,)}, {"kv": (KvName.FP8,)}))
    assert [trial.id for trial in plain] == [trial.id for trial in none]
    assert not {trial.id for trial in plain} & {trial.id for trial in coded}
    assert {trial.name for trial in coded} == {"fp16", "int8"}
    assert {trial.load.kv for trial in coded} == {"fp8"}


def test_codes_of_another_version_make_other_trials_of_rows_that_have_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ids() -> dict[str, str]:
        return {trial.label: trial.id for trial in planned(kv=(KvName.INT8, KvName.NONE))}

    before = ids()
    monkeypatch.setitem(CHANGED, "cache", CHANGED["cache"] + 1)
    after = ids()
    changed = {label for label, id in before.items() if after[label] != id}
    assert changed == {label for label in before if "kv-int8" in label}
