"""--spread is settled early: its GPUs, its engine and its methods, and what a model's room then is."""

import pytest

from quantbench.errors import DeviceError, QuantbenchError
from quantbench.methods import fits
from quantbench.plan import Plan
from quantbench.planning import build_plan, place
from quantbench.settings import Engine, RunSettings, devices_of, read_settings

MODEL = {"model": "random:qwen2.5-0.5b", "tasks": "none", "floor": False}
GB = 1_000_000_000


@pytest.fixture(autouse=True)
def _gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four GPUs of one kind, 8 GB free on each."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr("quantbench.planning.placement.check_alike", lambda names, what="": None)
    monkeypatch.setattr(fits, "available_bytes", lambda device: 8 * GB)


def plan_of(**options: object) -> Plan:
    return build_plan(place(read_settings(RunSettings, MODEL | options)))[0]


def test_a_spread_model_runs_with_transformers_on_the_first_gpus() -> None:
    (trial,) = {trial.changed(round=0, role="method") for trial in plan_of(spread=2, methods="fp16").trials}
    assert (trial.load.engine, trial.load.device) == (Engine.TRANSFORMERS, "cuda:0")
    assert devices_of(trial.load) == ("cuda:0", "cuda:1")


def test_the_number_of_gpus_is_part_of_what_was_asked() -> None:
    ids = {plan_of(spread=count, methods="fp16").trials[0].id for count in (2, 3)}
    asked = {"methods": "fp16", "engine": "transformers", "device": "cuda:0"}
    assert len(ids | {plan_of(**asked).trials[0].id}) == 3


def test_of_the_usual_methods_those_that_lie_on_one_device_are_left_out_and_told() -> None:
    plan = plan_of(spread=2)
    assert {trial.method for trial in plan.trials} == {"fp16"}
    assert plan.notes == (
        "int8 and int4 lie on one device, which --spread excludes, so only fp16 is measured",
    )


MISTAKES = [
    ({"spread": 1}, "--spread"),
    ({"spread": 5}, "--spread 5 needs 5 GPUs, and this machine has 4 GPUs; name at most 4"),
    ({"spread": 2, "devices": "auto"}, "--devices gives each trial one GPU"),
    ({"spread": 2, "device": "cuda:1"}, "--spread 2 takes cuda:0 to cuda:1, but --device is cuda:1"),
    ({"spread": 2, "device": "cpu"}, "but --device is cpu"),
    ({"spread": 2, "engine": "quantbench"}, "with transformers, which --engine quantbench does not"),
    ({"spread": 2, "engine": "vllm,transformers"}, "--engine vllm,transformers does not"),
    ({"spread": 2, "base_url": "http://h:1"}, "--base-url does not"),
    ({"spread": 2, "methods": "fp16,int4"}, "int4 lies on one device, which --spread excludes; choose from"),
    ({"spread": 2, "executor": "ray", "gpus_per_trial": 1}, "--gpus-per-trial gives each trial 1 GPU"),
]


@pytest.mark.parametrize(("options", "said"), MISTAKES)
def test_what_cannot_be_spread_is_said(options: dict[str, object], said: str) -> None:
    with pytest.raises(QuantbenchError) as raised:
        plan_of(**options)
    assert said in str(raised.value)


def test_one_gpu_is_none_to_spread_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(DeviceError, match="needs 2 GPUs, and this machine has 1 GPU; leave it out"):
        plan_of(spread=2)


def test_on_a_cluster_each_trial_is_given_its_gpus() -> None:
    settings = place(read_settings(RunSettings, MODEL | {"spread": 4, "executor": "ray"}))
    assert (settings.execution.gpus_per_trial, settings.load.device) == (4, "cuda:0")


def test_a_model_that_one_gpu_cannot_hold_fits_on_three() -> None:
    with pytest.raises(DeviceError, match=r"but cuda:0 has 8 GB free; .*add --spread 4"):
        plan_of(model="random:qwen2.5-7b", methods="fp16,bf16", device="cuda:0")
    with pytest.raises(DeviceError, match=r"but cuda:0 and cuda:1 have 14\.4 GB free"):
        plan_of(model="random:qwen2.5-7b", methods="fp16", spread=2)
    assert plan_of(model="random:qwen2.5-7b", methods="fp16", spread=3).trials


def test_where_one_method_fits_the_plan_holds_all() -> None:
    """The others' own trials say that they do not fit."""
    plan = plan_of(model="random:qwen2.5-7b", methods="fp16,int4", device="cuda:0")
    assert {trial.method for trial in plan.trials} == {"fp16", "int4"}


def test_gpus_of_a_cluster_need_not_be_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("quantbench.planning.resolving.nvidia_driver", lambda: False)
    for asked in ({"gpus_per_trial": 1}, {"device": "cuda"}):
        plan = plan_of(executor="ray", model="random:qwen2.5-7b", methods="fp16", **asked)
        assert {trial.load.device for trial in plan.trials} == {"cuda:0"}
    assert {trial.load.device for trial in plan_of(executor="ray").trials} == {"cpu"}


@pytest.mark.parametrize("address", ["local", "ray://head", "head", "http://head:1", "ray://head:1/x"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(QuantbenchError, match="is no address of a cluster"):
        plan_of(executor="ray", ray_address=address)
