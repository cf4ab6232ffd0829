"""Which trials a run adds to its methods: reruns of the baseline, and later passes of speed."""

from quantbench.planning import compared, floors_of, later_passes
from tests.builders import make_trial


def test_passes_run_to_and_fro() -> None:
    trials = tuple(make_trial(method=name) for name in ("fp16", "int8", "int4"))
    order = [(trial.method, trial.round) for trial in later_passes(trials, 3)]
    assert order[:3] == [("int4", 1), ("int8", 1), ("fp16", 1)]
    assert order[3:] == [("fp16", 2), ("int8", 2), ("int4", 2)]


def test_later_passes_measure_speed_alone() -> None:
    trials = compared((make_trial(tasks=("humaneval",)), make_trial(method="int8", tasks=("humaneval",))))
    assert {(trial.tasks, trial.reference) for trial in later_passes(trials, 2)} == {((), None)}


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
    assert [(floor.role, floor.method, floor.batch_size) for floor in found] == [
        ("floor", "fp16", 31),
        ("scale", "bf16", 64),
    ]


def test_bf16_that_is_a_method_is_no_floor() -> None:
    assert [floor.method for floor in floors_of(make_trial(), ("fp16", "bf16"))] == ["fp16"]


def test_floor_of_another_baseline_is_that_baseline_alone() -> None:
    assert [floor.method for floor in floors_of(make_trial(method="bf16"), ("bf16", "int8"))] == ["bf16"]
