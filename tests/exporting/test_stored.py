"""Checkpoints of other libraries are converted from layout to layout with their values, or refused."""

from pathlib import Path

import pytest
import torch

import quantbench
from quantbench.exporting.matrices import Parameter
from quantbench.exporting.packing import CompressedTensors, Gptq, Packing
from quantbench.sources.layout import EMBEDDING
from quantbench.weights.writers import Unfit, ggml_tensor
from tests.exporting.models import opened, same, values_of, write_model
from tests.gguf_files import write_tiny
from tests.weights.test_stored_layouts import MODULE, load, names, read


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("packing", [CompressedTensors, Gptq])
def test_a_stored_module_is_packed_with_its_values_or_refused(name: str, packing: type[Packing]) -> None:
    weight = read(*load(name)[:2])
    written: dict[str, torch.Tensor] = {}
    try:  # `add` reads back what it writes
        packing(written.__setitem__).add(Parameter(name=f"{MODULE}.weight", weight=weight))
    except Unfit as error:
        assert str(error)
    else:
        assert written


def test_most_integer_checkpoints_are_held() -> None:
    held = set()
    for name in names():
        try:
            CompressedTensors(lambda *_: None).add(
                Parameter(name=f"{MODULE}.weight", weight=read(*load(name)[:2]))
            )
            held.add(name.split("-")[0])
        except Unfit:
            continue
    assert {"awq", "gptq"} <= held


@pytest.mark.parametrize("name", names())
def test_blocks_made_of_a_stored_module_have_its_values(name: str) -> None:
    from quantbench.weights.formats import BlockWeight

    weight = read(*load(name)[:2])
    try:
        kind, data = ggml_tensor(weight)
    except Unfit as error:
        assert str(error)
        return
    assert torch.equal(BlockWeight(data, kind).dequantize(), weight.dequantize())


@pytest.mark.parametrize("form", ["gptq", "gguf"])
def test_one_layout_becomes_another(form: str, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    asked = {"device": "cpu"}
    first = quantbench.export(
        str(model), method="int4-sym-head16", format="compressed-tensors", output_dir=tmp_path / "a", **asked
    )
    second = quantbench.export(str(first), format=form, output_dir=tmp_path / "b", **asked)
    assert same(values_of(opened(second), "stored"), values_of(opened(first), "stored"))


@pytest.mark.parametrize(
    "method", ["int4-asym", *(pytest.param(name, marks=pytest.mark.long) for name in ("int4-gptq", "mixed"))]
)
def test_a_quantized_file_is_calibrated_by_its_dequantized_weights(method: str, tmp_path: Path) -> None:
    source = opened(Path(write_tiny(tmp_path / "m.gguf", hidden_size=256, vocab_size=258)))
    assert source.is_packed(EMBEDDING)  # type: ignore[attr-defined]
    assert all(bool(values.isfinite().all()) for values in values_of(source, method).values())
