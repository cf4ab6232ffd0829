"""Where trials may run is settled early: what cannot work, or would disturb, is refused with the fix."""

import os

import pytest

from quantbench.errors import QuantbenchError
from quantbench.planning import build_plan, place
from quantbench.settings import RunSettings, read_settings


def placed(**options: object) -> RunSettings:
    return place(read_settings(RunSettings, options))


def test_a_trials_id_does_not_say_on_which_device_it_ran() -> None:
    asked = {"model": "random:qwen2.5-0.5b", "tasks": "none"}
    shared = place(read_settings(RunSettings, asked | {"devices": "cpu:0,cpu:1", "allow_shared": True}))
    alone = place(read_settings(RunSettings, asked | {"device": "cpu"}))
    assert build_plan(shared)[0].trials == build_plan(alone)[0].trials


MISTAKES = [
    ({"devices": "cpu:0,cpu:1"}, "share its memory"),
    ({"devices": "cpu", "device": "cpu"}, "both given"),
    ({"allow_shared": True}, "no effect"),
    ({"devices": "cuda:0"}, "sees no CUDA GPU"),
    ({"devices": "auto"}, "finds no GPU"),
    ({"devices": "gpu1"}, "unknown device"),
    ({"executor": "ray", "devices": "cpu"}, "are of this machine"),
    ({"executor": "ray", "device": "cpu", "gpus_per_trial": 1}, "does not go with the device cpu"),
    ({"executor": "slurm"}, "choose from: local, ray"),
]


@pytest.mark.parametrize(("options", "said"), MISTAKES)
def test_what_cannot_work_is_said(
    options: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(QuantbenchError) as raised:
        placed(**options)
    assert said in str(raised.value)


def test_lanes_that_would_share_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr("quantbench.planning.placement.check_alike", lambda names: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))
    with pytest.raises(QuantbenchError, match="need 2 cores each, and this machine has 6"):
        placed(devices="auto")
    assert placed(devices="cuda:0,cuda:2").execution.devices == ("cuda:0", "cuda:2")
    assert placed(devices="auto", allow_shared=True).execution.devices == tuple(f"cuda:{n}" for n in range(4))


@pytest.mark.parametrize("option", [{"ray_address": "auto"}, {"cpus_per_trial": 2}, {"gpus_per_trial": 1}])
def test_options_of_ray_have_no_effect_without_it(option: dict[str, object]) -> None:
    settings = placed(model="random:qwen2.5-0.5b", tasks="none", device="cpu", **option)
    with pytest.raises(QuantbenchError, match="--executor ray is not given"):
        build_plan(settings)
