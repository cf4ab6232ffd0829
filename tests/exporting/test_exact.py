"""What is exported is loaded again with the same values, for every method and format that go together.

Where a format holds a method's own bits, logits are equal too, bit for bit; 4-bit groups become GGUF's
blocks, which other kernels multiply, so that only the values are.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import quantbench
from quantbench.errors import ModelError
from quantbench.exporting.fitting import fitting_methods, makes_weights
from quantbench.methods import METHODS
from quantbench.settings.commands import ExportFormat
from tests.exporting.models import logits_of, opened, same, values_of, write_model

GROUPS = {"int8-g128-head16", "int8-g32-head16", "int4-sym-head16", "int4-asym-head16"}
DOUBLE = {"int4", "int4-hq-nocal", "int4-gptq-head16", "int4-head8", "mixed-5"}  # and their kin
EXPECTED = {
    "gguf": {
        *DOUBLE,
        "fp32",
        "bf16",
        "fp16",
        "q8_0",
        "q4_0",
        "int4-rtn",
        "int4-sym",
        "int4-asym",
        "int8-g128",
        "int8-g32",
        *GROUPS,
    },
    "compressed-tensors": {"int8-head16", *GROUPS},
    "gptq": GROUPS,
}
OTHER_BLOCKS = {
    *DOUBLE,
    "int4-rtn",
    "int4-sym",
    "int4-asym",
    "int8-g128",
    "int8-g32",
    *GROUPS,
}  # other blocks in GGUF files
PAIRS = [
    pytest.param(method, form, marks=pytest.mark.long if "gptq" in method else ())  # reads a long text
    for form, methods in EXPECTED.items()
    for method in sorted(methods)
]
NATIVE = [name for name in METHODS if makes_weights(name) and METHODS[name].unavailable("cpu") is None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "m")


@pytest.mark.parametrize(
    "form",
    [
        form if form == "compressed-tensors" else pytest.param(form, marks=pytest.mark.long)
        for form in EXPECTED
    ],
)
def test_a_format_names_the_methods_that_it_holds(form: str) -> None:
    assert set(fitting_methods(ExportFormat(form))) >= EXPECTED[form]


@pytest.mark.parametrize(("method", "form"), PAIRS)
def test_values_are_those_of_the_method(method: str, form: str, model: Path, tmp_path: Path) -> None:
    source = opened(model)
    folder = quantbench.export(
        str(model), method=method, format=form, output_dir=tmp_path / "out", device="cpu"
    )
    back = opened(folder)
    assert same(values_of(back, "stored"), values_of(source, method))
    if form != "gguf" or method not in OTHER_BLOCKS:
        assert torch.equal(logits_of(back, "stored"), logits_of(source, method))
    else:
        assert torch.allclose(logits_of(back, "stored"), logits_of(source, method), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", EXPECTED)
def test_every_other_method_is_refused_and_nothing_is_left(form: str, model: Path, tmp_path: Path) -> None:
    fitting = fitting_methods(ExportFormat(form))
    for method in NATIVE:
        if method in (*fitting, "stored"):
            continue
        with pytest.raises(ModelError, match=f"{method} cannot be written as {form} exactly") as caught:
            quantbench.export(
                str(model), method=method, format=form, output_dir=tmp_path / "out", device="cpu"
            )
        assert all(name in str(caught.value) for name in EXPECTED[form])
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {}),
        ("llama", {"attention_bias": True, "tie_word_embeddings": False}),
        ("qwen3", {"head_dim": 64}),
        ("mistral", {"sliding_window": None}),
        ("qwen2", {"tie_word_embeddings": False}),
        ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
        (
            "llama",
            {
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 32,
                }
            },
        ),
    ],
)
@pytest.mark.parametrize("form", ["gguf", "compressed-tensors"])
def test_every_family_and_head_comes_back(
    form: str, family: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    made = {"model_type": family, "architectures": [f"{family.capitalize()}ForCausalLM"], **changes}
    model = write_model(tmp_path / "m", **made)
    method = {"gguf": "fp16", "compressed-tensors": "int4-sym-head16"}[form]
    folder = quantbench.export(
        str(model), method=method, format=form, output_dir=tmp_path / "out", device="cpu"
    )
    back, source = opened(folder), opened(model)
    assert same(values_of(back, "stored"), values_of(source, method))
    torch.testing.assert_close(logits_of(back, "stored"), logits_of(source, method), rtol=1e-5, atol=1e-6)
    assert back.config.get("tie_word_embeddings", False) == source.config.get("tie_word_embeddings", False)


@pytest.mark.parametrize(
    ("method", "form", "ways"),
    [
        ("int4-head16", "compressed-tensors", ["gguf holds its weights", "nearest .* is int4-asym-head16"]),
        ("int4", "gptq", ["gguf holds its weights", "nearest .* is int4-asym-head16"]),
        ("int4-rtn", "gptq", ["gguf holds its weights"]),
        ("int8", "compressed-tensors", ["nearest .* is int8-head16"]),
        ("int8-head16", "gptq", ["compressed-tensors holds its weights", "nearest .* is int8-g128-head16"]),
    ],
)
def test_a_refusal_names_the_format_that_fits_and_the_nearest_method(
    method: str, form: str, ways: list[str], model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        quantbench.export(str(model), method=method, format=form, output_dir=tmp_path / "out", device="cpu")
    assert all(re.search(way, str(caught.value)) for way in ways)


def test_large_models_are_written_in_shards(model: Path, tmp_path: Path) -> None:
    from quantbench.exporting import checkpoint
    from quantbench.exporting.matrices import parameters_of
    from quantbench.exporting.packing import CompressedTensors
    from tests.exporting.models import LOAD

    source = opened(model)
    parameters = parameters_of(source, METHODS["int8-head16"].reader(source, LOAD))  # type: ignore[attr-defined]
    checkpoint.write_checkpoint(source, parameters, CompressedTensors, tmp_path, shard_bytes=100_000)
    names = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(names) > 2 and names[0] == f"model-00001-of-{len(names):05d}.safetensors"
    assert (tmp_path / "model.safetensors.index.json").is_file()
    assert same(values_of(opened(tmp_path), "stored"), values_of(source, "int8-head16"))
