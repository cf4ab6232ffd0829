"""A variant's name says what it changes, and nothing else changes; GGUF's own formats are made by gguf-py."""

import pytest
import torch

from quantbench.measure import audit
from quantbench.methods import METHODS, VARIANTS, Loaded, LoadSettings
from quantbench.methods.ggml import blocks_of
from quantbench.methods.mixed import MIXED
from quantbench.settings import Engine
from quantbench.sources import ModelSource
from tests.model_folders import tiny_source

OF_ONE_FORMAT = [name for name in VARIANTS if name not in MIXED]


def load(method: str, source: ModelSource) -> Loaded:
    settings = LoadSettings(device="cpu", dtype="float32", engine=Engine.NATIVE)
    return METHODS[method].load(source, settings)


def formats(method: str, source: ModelSource) -> dict[str, tuple[str, int | None]]:
    kinds = audit(load(method, source).decoder, source)
    return {kind.module: (kind.format, kind.group_size) for kind in kinds if kind.matrices}


def wide(**changes: object) -> ModelSource:
    return tiny_source(hidden_size=128, intermediate_size=256, **changes)


def test_all_variants_are_methods() -> None:
    parts = ("int4-hq", "int4-nocal", "int4-hq-nocal")
    wide_groups = ("int8-g128", "int8-g32")
    gptq = ("int4-gptq", "int4-hq-gptq")
    published = ("int4-sym", "int4-sym-head16", "int4-asym", "int4-asym-head16")
    heads = ("int8-head16", "int4-head16", *(f"{part}-head16" for part in (*parts, *wide_groups, *gptq)))
    bytes_there = {f"{part}-head8" for part in ("int4", *parts, *gptq)}
    assert set(OF_ONE_FORMAT) == {*parts, *wide_groups, *gptq, *published, *heads, *bytes_there}
    assert VARIANTS.keys() <= METHODS.keys()


@pytest.mark.parametrize("name", OF_ONE_FORMAT)
def test_a_variant_holds_what_its_name_says(name: str) -> None:
    found = formats(name, wide(tie_word_embeddings=False))
    bits, _, rest = name.partition("-")
    group = 32 if "hq" in rest or "g32" in rest else 128 if "g128" in rest or rest.startswith("sym") else 64
    packed = ("W4", group) if bits == "int4" else ("W8", group if "-g" in name else None)
    ends = {"head16": ("W16", None), "head8": ("W8", 128)}.get(name.rpartition("-")[2], packed)
    assert found == {
        **dict.fromkeys(("embedding", "head"), ends),
        **dict.fromkeys(("q", "k", "v", "o", "gate", "up", "down"), packed),
    }


@pytest.mark.parametrize("name", OF_ONE_FORMAT)
def test_what_stays_by_choice_is_no_exception(name: str) -> None:
    told = load(name, wide()).warnings
    assert [sentence for sentence in told if not sentence.startswith("not calibrated")] == []


def test_smaller_groups_are_closer_to_the_model() -> None:
    source = wide()
    texts = [[1, 5, 9, 20, 33, 2, 7]]
    (exact,) = load("fp32", source).decoder.score(texts)
    errors = []
    for name in ("int4-rtn", "int4", "int4-hq"):
        (logits,) = load(name, source).decoder.score(texts)
        errors.append(float((logits - exact).square().mean()))
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(("method", "kind"), [("q8_0", "Q8_0"), ("q4_0", "Q4_0")])
def test_ggufs_formats_are_in_every_matrix(method: str, kind: str) -> None:
    pytest.importorskip("gguf")
    assert set(formats(method, wide()).values()) == {(kind, 32)}


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_blocks_stand_for_the_values_that_gguf_py_gives_them(kind: str) -> None:
    gguf = pytest.importorskip("gguf")
    values = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    number = gguf.GGMLQuantizationType[kind]
    expected = torch.from_numpy(gguf.dequantize(gguf.quantize(values.numpy(), number), number))
    assert torch.equal(blocks_of("w", values, kind).dequantize(), expected)


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantbench.methods.ggml.find_spec", lambda name: None)
    reason = METHODS["q4_0"].unavailable("cpu")
    assert reason is not None and "pip install 'quantbench[gguf]'" in reason


def test_a_width_that_no_group_of_128_divides_has_the_next_smaller_groups_and_that_is_said() -> None:
    source = tiny_source(hidden_size=192, intermediate_size=256)
    loaded = load("int8-g128", source)
    held = {(kind.module, kind.group_size) for kind in audit(loaded.decoder, source) if kind.matrices}
    assert {("q", 64), ("down", 128)} <= held
    assert any("instead of 128, because no group of 128 divides" in said for said in loaded.warnings)
