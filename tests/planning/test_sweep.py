"""A sweep: each model's own plan, includes and excludes, and mistakes told with their line and key."""

from pathlib import Path

import pytest

from quantbench.errors import QuantbenchError, UsageError
from quantbench.plan import Plan, Role, Trial
from quantbench.planning import build_plan
from quantbench.settings import RunSettings, merge_files, read_settings
from tests.model_folders import write_folder

HEAD = "tasks: none\ndevice: cpu\n"


def plan_of(path: Path, text: str, **given: object) -> Plan:
    (path / "sweep.yaml").write_text(text)
    options = merge_files(RunSettings, {"plan": path / "sweep.yaml", **given})
    return build_plan(read_settings(RunSettings, options))[0]


def methods_of(plan: Plan) -> dict[str, list[str]]:
    return {g.name: [t.method for t in g.trials if t.role is Role.METHOD] for g in plan.groups}


def own(plan: Plan, model: str, method: str) -> Trial:
    return next(t for t in plan.trials if (t.model, t.method, t.role) == (model, method, Role.METHOD))


def test_every_model_has_every_method_and_its_own_baseline(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"models: [random:qwen2.5-0.5b, builtin]\nmethods: [fp16, int8]\n{HEAD}")
    assert methods_of(plan) == {"random-qwen2.5-0.5b": ["fp16", "int8"], "builtin": ["fp16", "int8"]}
    assert [group.baseline for group in plan.groups] == ["fp16", "fp16"]
    assert plan.trials == tuple(trial for group in plan.groups for trial in group.trials)


def test_its_trials_are_those_of_the_models_own_runs(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"models: [random:qwen2.5-0.5b, builtin]\nmethods: [fp16, int8]\n{HEAD}")
    alone = RunSettings(model="builtin", methods=("fp16", "int8"), tasks=("none",), device="cpu")  # type: ignore[call-arg]
    assert plan.groups[1].trials == build_plan(alone)[0].trials


def test_the_command_line_makes_the_same_plan(tmp_path: Path) -> None:
    file = plan_of(tmp_path, f"models: [random:qwen2.5-0.5b, builtin]\nmethods: [fp16, int8]\n{HEAD}")
    given = {
        "model": "random:qwen2.5-0.5b",
        "models": "builtin",
        "methods": "fp16,int8",
        "own_baselines": True,
    }
    plan, _ = build_plan(read_settings(RunSettings, {**given, "tasks": "none", "device": "cpu"}))
    assert (plan.trials, plan.groups) == (file.trials, file.groups)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    text = f"models: [random:qwen2.5-0.5b, builtin]\nmethods: [fp16, int8]\n{HEAD}"
    plan = plan_of(tmp_path, text, methods="fp16")
    assert set(map(tuple, methods_of(plan).values())) == {("fp16",)}


def test_excludes_take_methods_models_and_batch_sizes_away(tmp_path: Path) -> None:
    text = f"""models: [random:qwen2.5-0.5b, builtin]
methods: [fp16, int8, int4]
batch_sizes: [1, 4]
{HEAD}exclude:
  - {{model: builtin, method: [int8, int4]}}
  - {{method: int4, batch_size: 4}}
"""
    plan = plan_of(tmp_path, text)
    assert methods_of(plan) == {"random-qwen2.5-0.5b": ["fp16", "int8", "int4"], "builtin": ["fp16"]}
    assert own(plan, "random:qwen2.5-0.5b", "int4").speed.batch_sizes == (1,)
    assert own(plan, "random:qwen2.5-0.5b", "int8").speed.batch_sizes == (1, 4)


def test_a_task_may_be_excluded_from_one_method(tmp_path: Path) -> None:
    text = """models: [builtin]
methods: [fp16, int8]
device: cpu
exclude: [{method: int8, task: quickeval}]
"""
    plan = plan_of(tmp_path, text)
    assert own(plan, "builtin", "fp16").evaluation.tasks == ("quickeval",)
    without = own(plan, "builtin", "int8")
    assert (without.evaluation.tasks, without.task_digests, without.reference) == ((), (), None)


def test_includes_add_models_methods_and_batch_sizes(tmp_path: Path) -> None:
    text = f"""models: [random:qwen2.5-0.5b]
methods: [fp16]
{HEAD}include:
  - {{model: builtin, methods: [fp16, int8]}}
  - {{model: random:qwen2.5-0.5b, method: int4, batch_size: 8}}
"""
    plan = plan_of(tmp_path, text)
    assert methods_of(plan) == {"random-qwen2.5-0.5b": ["fp16", "int4"], "builtin": ["fp16", "int8"]}
    assert own(plan, "random:qwen2.5-0.5b", "int4").speed.batch_sizes == (8,)
    assert own(plan, "random:qwen2.5-0.5b", "fp16").speed.batch_sizes == (1,)


def test_models_of_one_last_name_have_folders_of_their_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_folder(tmp_path / name / "base")
    plan = plan_of(tmp_path, f"models: [{tmp_path}/one/base, {tmp_path}/two/base]\nmethods: fp16\n{HEAD}")
    names = [group.name for group in plan.groups]
    assert len(set(names)) == 2 and all("/" not in name for name in names)
    assert len({plan.name_of(trial) for trial in plan.trials}) == len(plan.trials)


MISTAKES = [
    ("models: [builtin]\nmethod: [fp16]\n", "line 2, 'method': unknown key"),
    ("models: [builtin]\nmethods: [fp17]\n", "line 2, 'methods': unknown method 'fp17'"),
    ("models: [builtin]\nseed: [1]\n", "line 2, 'seed': "),
    ("models: [builtin]\nbatch_sizes: [1, x]\n", "line 2, 'batch_sizes': "),
    ("models: [builtin]\nbatch_sizes: [0]\n", "line 2, 'batch_sizes': "),
    ("models: []\n", "line 1, 'models'"),
    ("methods: [fp16]\n", "names no models"),
    ("models: [builtin]\n\nexclude: {method: int8}\n", "line 3, 'exclude' must be a list"),
    (
        "models: [builtin]\nexclude:\n  - {method: int8}\n  - {colour: red}\n",
        "line 4, 'exclude': unk",
    ),
    ("models: [builtin]\nexclude:\n  - {method: fp17}\n", "line 3, 'exclude': unknown method 'fp17'"),
    ("models: [builtin]\nexclude:\n  - {model: other}\n", "line 3, 'exclude' excludes nothing"),
    ("models: [builtin]\nexclude:\n  - {model: builtin}\n", "everything is excluded"),
    ("models: [builtin]\ninclude:\n  - {method: int8}\n", "line 3, 'include': an entry of include names its"),
    ("models: [builtin]\ninclude:\n  - {model: ./none}\n", "line 3, 'include': "),
    ("models: [builtin]\ninclude:\n  - {model: builtin, task: chess}\n", "line 3, 'include': unknown task"),
    ("models: [builtin, builtin]\n", "twice"),
    ("models: [builtin]\nmodels: [other]\n", "line 2"),
    ("models: [./none]\n", "line 1, 'models': there is no folder"),
    ("models:\n", "line 1, 'models' has no value"),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_a_mistake_is_told_with_its_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(QuantbenchError) as raised:
        plan_of(tmp_path, text + HEAD)
    assert said in str(raised.value)


def test_a_file_that_cannot_be_read_names_its_own_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="check --plan"):
        merge_files(RunSettings, {"plan": tmp_path / "none.yaml"})


def test_own_baselines_of_one_model_have_no_effect(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no effect"):
        build_plan(RunSettings(own_baselines=True))
