"""A transformers model over several devices: where its layers go, what is refused, and the same answers.

Without a GPU accelerate's maps of CPU and disk stand in; tests/measure/test_spread_gpu.py has two real GPUs.
"""

import re
from pathlib import Path

import pytest
from accelerate import dispatch_model
from transformers.integrations.accelerate import _get_device_map

from quantbench.decoding import Request
from quantbench.decoding.spreading import check_on_gpus, few_devices, map_of, mapped_devices, spread_over
from quantbench.decoding.transformers import TransformersDecoder
from quantbench.errors import DeviceError
from quantbench.measure.places import described, places_of
from tests.engine.models import prompts, reference_model

TWO = ("cuda:0", "cuda:1")


def test_weights_may_take_nine_tenths_of_each_gpu_and_nothing_else() -> None:
    asked = spread_over(TWO, {"cuda:0": 1000, "cuda:1": 500}.__getitem__)
    assert asked == {"device_map": "auto", "max_memory": {0: 900, 1: 450}}


def test_layers_are_put_on_both_gpus_where_both_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    model = reference_model("llama")
    nbytes = sum(parameter.nbytes for parameter in model.parameters())
    room = spread_over(TWO, lambda device: 10 * nbytes)["max_memory"]
    monkeypatch.setattr("transformers.integrations.accelerate.get_max_memory", lambda given: dict(given))
    monkeypatch.setattr("accelerate.utils.modeling.get_max_memory", lambda given: dict(given))
    found = _get_device_map(model, "auto", room, None)
    check_on_gpus("m", found, TWO)
    assert set(found.values()) == {0, 1}


@pytest.mark.parametrize("place", ["cpu", "disk", 2])
def test_what_lies_elsewhere_is_refused_with_its_name(place: object) -> None:
    with pytest.raises(DeviceError, match=r"1 of its parts, the first is 'model\.layers\.7'"):
        check_on_gpus("m", {"model.embed_tokens": 0, "model.layers.6": 1, "model.layers.7": place}, TWO)


def test_a_model_that_ended_on_one_gpu_is_told() -> None:
    assert few_devices(TWO, TWO) == ()
    (sentence,) = few_devices(("cuda:0",), TWO)
    assert "2 GPUs were asked for" in sentence and "on cuda:0" in sentence


def test_a_dispatched_model_answers_as_before_and_its_places_are_told(tmp_path: Path) -> None:
    plain = reference_model("llama")
    requests = [Request(prompt_ids=prompt, max_new_tokens=6) for prompt in prompts((5, 9))]
    expected = TransformersDecoder(plain, device="cpu").generate(requests, batch_size=2)
    names = {re.sub(r"(\.layers\.\d+)\..*", r"\1", name).rsplit(".weight")[0] for name in plain.state_dict()}
    places = {name: "disk" if name.endswith("layers.1") else "cpu" for name in names}
    spread = dispatch_model(plain, places, main_device="cpu", offload_dir=str(tmp_path))
    decoder = TransformersDecoder(spread, device="cpu")
    assert decoder.generate(requests, batch_size=2) == expected
    assert set(decoder.devices) == {"cpu", "disk"}
    assert "layer after layer on" in " ".join(kernel.name for kernel in decoder.kernels())
    held = {place.device: place.holds for place in places_of(decoder)}
    assert held["meta"] == "layer 1"
    assert "embedding" in held["cpu"] and "layer 0" in held["cpu"]


def test_a_model_on_one_device_needs_no_map_of_transformers() -> None:
    model = reference_model("llama")
    assert mapped_devices(model) == ("cpu",)
    with pytest.raises(DeviceError, match="would lie on the cpu"):
        check_on_gpus("m", map_of(model), TWO)


def test_layers_are_told_in_spans() -> None:
    names = ["model.embed_tokens.weight", *(f"model.layers.{n}.mlp.up_proj.weight:q" for n in (0, 1, 2, 5))]
    assert described([*names, "lm_head.weight"]) == "embedding, layers 0 to 2 and 5, head"
