import subprocess
import sys
from typing import Any

import pytest
import torch

from quantbench.engine.cpu.build import load_kernels
from quantbench.methods import LIBRARIES, METHODS, Loaded, LoadSettings
from quantbench.methods.mixed import MIXED
from quantbench.sources import ModelSource, open_source
from quantbench.sources.architectures import ARCHITECTURES
from tests.model_folders import tiny_source

QWEN = ARCHITECTURES["qwen2.5-0.5b"]


def load(method: str, source: ModelSource, **changes: Any) -> Loaded:
    return METHODS[method].load(
        source, LoadSettings(**({"device": "cpu", "dtype": "float32", "engine": "native"} | changes))
    )


def resident_bytes(loaded: Loaded) -> int:
    return sum(tensor.nbytes for _, tensor in loaded.decoder.resident_tensors())


def schemes(loaded: Loaded) -> set[str]:
    return {scheme for scheme, _ in loaded.decoder.schemes().values()}


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [
        ("fp16", 0.98, 0.99),
        ("int8", 0.49, 0.51),
        ("int4", 0.25, 0.27),
        ("int4-hq", 0.27, 0.29),
        ("int4-rtn", 0.24, 0.25),
    ],
)
def test_qwen_half_a_billion_has_the_promised_gigabytes(method: str, low: float, high: float) -> None:
    assert low < (METHODS[method].expected_bytes_of(QWEN) or 0) / 1e9 < high


MADE = [  # from weights that are not quantized, with bytes that are known before
    name for name in METHODS if name not in ("stored", *LIBRARIES, *MIXED)
]


@pytest.mark.parametrize("method", MADE)
def test_expected_bytes_are_those_that_are_loaded(method: str) -> None:
    source = tiny_source(hidden_size=128, intermediate_size=384, num_attention_heads=4)
    dtype = "float32" if method == "fp32" else "float16"
    loaded = load(method, source, dtype=dtype)
    vectors = sum(t.numel() for _, t in loaded.decoder.resident_tensors() if t.dtype == torch.float32)
    expected = METHODS[method].expected_bytes_of(source.config)
    extra = 2 * vectors_of(source) if method == "fp32" else 0
    assert vectors or method != "fp32"
    assert resident_bytes(loaded) == (expected or 0) + extra


def vectors_of(source: ModelSource) -> int:
    return sum(t.numel() for t in map(source.tensor, source.names()) if t.dim() == 1)


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_family_has_no_expected_bytes(method: str) -> None:
    assert METHODS[method].expected_bytes_of({"model_type": "mamba"}) is None


@pytest.mark.parametrize(
    ("method", "scheme"),
    [("fp32", "W32"), ("bf16", "WBF16"), ("fp16", "W16"), ("int8", "W8"), ("int4", "W4")],
)
def test_every_matrix_is_held_in_the_methods_scheme(method: str, scheme: str) -> None:
    assert schemes(load(method, tiny_source())) == {scheme}


@pytest.mark.parametrize("method", ["int8", "int4", "int4-rtn"])
def test_the_tied_embedding_is_quantized_once(method: str) -> None:
    names = list(load(method, tiny_source()).decoder.schemes())
    assert [name for name in names if "embed" in name or "head" in name] == ["model.embed_tokens.weight"]


def test_a_head_of_its_own_is_quantized_too() -> None:
    held = load("int4", tiny_source(tie_word_embeddings=False)).decoder.schemes()
    assert held["lm_head.weight"] == ("W4", 64 * 64)


def test_a_smaller_group_is_used_and_told_where_no_pair_divides() -> None:
    loaded = load("int4", tiny_source())
    assert loaded.warnings[-1] == (
        "7 matrices have groups of 32 instead of 64, because no pair of 64 divides their input width"
    )


def test_a_width_that_no_group_divides_stays_at_16_bits_and_is_told() -> None:
    loaded = load("int4", tiny_source(intermediate_size=100))
    held = loaded.decoder.schemes()
    assert held["model.layers.0.mlp.down_proj.weight"][0] == "W16"
    assert "1 matrices stay at 16 bits" in loaded.warnings[-1]
    assert "down_proj" in loaded.warnings[-1]


def test_what_stays_follows_the_activations_into_bfloat16() -> None:
    loaded = load("int4", tiny_source(intermediate_size=100), dtype="bfloat16")
    assert loaded.decoder.schemes()["model.layers.0.mlp.down_proj.weight"][0] == "WBF16"


def test_nothing_is_told_where_all_is_regular() -> None:
    assert load("int4-nocal", tiny_source(hidden_size=128)).warnings == ()


@pytest.mark.parametrize("method", ["int8", "int4"])
def test_seconds_of_quantizing_are_part_of_loading(method: str) -> None:
    startup = load(method, tiny_source()).startup
    assert 0 < (startup.quantize_s or 0) < (startup.load_s or 0)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_on_some_engine(method: str) -> None:
    reasons = {engine: METHODS[method].unsupported_reason(engine) for engine in ("native", "transformers")}
    assert None in reasons.values()


def test_transformers_runs_a_float_method_in_the_weights_type() -> None:
    loaded = load("bf16", tiny_source(), engine="transformers")
    assert loaded.decoder.engine == "transformers"
    assert schemes(loaded) == {"WBF16"}
    assert (loaded.startup.import_s or 0) >= 0


def test_batch_invariance_that_plain_torch_cannot_promise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTBENCH_CPU_KERNELS", "off")
    load_kernels.cache_clear()
    loaded = load("int8", tiny_source(), batch_invariant=True)
    load_kernels.cache_clear()
    assert any("batch invariance was asked for" in warning for warning in loaded.warnings)


def test_int8_follows_the_float_model_closely() -> None:
    source = tiny_source(hidden_size=128, num_hidden_layers=2)
    ids = [list(range(20))]
    exact, found = (next(iter(load(m, source).decoder.score(ids))) for m in ("fp32", "int8"))
    assert ((found - exact).norm() / exact.norm()).item() < 0.02


def test_int4_is_closer_to_the_float_model_than_naive_rounding() -> None:
    source = tiny_source(hidden_size=128, num_hidden_layers=2)
    ids = [list(range(20))]
    logits = [next(iter(load(m, source).decoder.score(ids))) for m in ("fp32", "int4", "int4-rtn")]
    assert (logits[1] - logits[0]).norm() < (logits[2] - logits[0]).norm()


def test_listing_the_methods_imports_no_torch() -> None:
    code = "import sys, quantbench.methods; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


PEAK = """
import sys
from quantbench.measure.resident import peak_resident_bytes, reset_peak, resident_bytes
from quantbench.methods import LIBRARIES, METHODS, LoadSettings
from tests.model_folders import tiny_source
SIZES = dict(hidden_size=512, intermediate_size=2048, vocab_size=8192, num_hidden_layers=24)
def load(source):
    return METHODS["int4"].load(source, LoadSettings(device="cpu", dtype="float32", threads=1))
load(tiny_source())
reset_peak()
before = resident_bytes()
loaded = load(tiny_source(**SIZES))
print(peak_resident_bytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux alone")
def test_quantizing_takes_less_memory_than_the_original_model() -> None:
    sizes = {"hidden_size": 512, "intermediate_size": 2048, "vocab_size": 8192, "num_hidden_layers": 24}
    source = tiny_source(**sizes)
    original = METHODS["fp16"].expected_bytes_of(source.config) or 0
    run = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 0.75 * original


def test_random_sources_of_known_shapes_can_be_planned_without_loading() -> None:
    source = open_source("random:qwen2.5-7b")
    assert METHODS["fp16"].expected_bytes_of(source.config) == 2 * 7_615_616_512
