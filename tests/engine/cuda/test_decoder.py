"""The CUDA decoder's passes and scheduling, run on the CPU over the kernels' references."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from quantbench.decoding import FinishReason, Generation, Request
from quantbench.engine.cpu import build
from quantbench.engine.cuda import decoder as cuda_decoder
from quantbench.engine.cuda import prompt_graphs
from quantbench.engine.cuda.decoder import CudaDecoder
from quantbench.engine.cuda.graphs import buckets_of
from quantbench.engine.cuda.operations import PLAIN
from quantbench.engine.cuda.packing import packed_parameters
from quantbench.engine.cuda.persistent_step import PersistentStep
from quantbench.engine.cuda.support import model_unsupported_reason
from quantbench.engine.cuda.triton.rotate import rotation_tables
from quantbench.engine.cuda.triton_step import TritonStep
from quantbench.engine.decoder import NativeDecoder
from quantbench.engine.load import load_decoder
from quantbench.errors import NotFiniteError, UsageError
from quantbench.methods.ggml import blocks_of
from quantbench.weights.formats import FloatWeight, Int4Weight, Int8Weight, Weight
from tests.engine.models import (
    VARIANTS,
    keep_float,
    native,
    prompts,
    ran,
    read,
    reference_model,
    source_of,
    with_kernels,
)

KNOWN = [name for name, settings in VARIANTS.items() if with_kernels(settings)]
LENGTHS = (3, 11, 1, 7, 20, 5)


def fast(plain: NativeDecoder, **options: Any) -> CudaDecoder:
    model = packed_parameters(plain._parameters)
    return CudaDecoder(model, operations=PLAIN, **options)


def pair(variant: str = "qwen2-tied", quantize: Any = keep_float) -> tuple[NativeDecoder, CudaDecoder]:
    plain = native(reference_model(variant), quantize)
    assert isinstance(plain, NativeDecoder)
    return plain, fast(plain)


def requests(new: tuple[int, ...] = (9, 4, 17, 1, 6, 12), **settings: Any) -> list[Request]:
    return [
        Request(prompt_ids=prompt, max_new_tokens=count, **settings)
        for prompt, count in zip(prompts(LENGTHS), new, strict=True)
    ]


@pytest.mark.parametrize("variant", KNOWN)
def test_every_family_generates_what_the_plain_engine_does(variant: str) -> None:
    plain, ours = pair(variant)
    asked = requests((6, 3, 8, 1, 2, 5))
    assert ours.generate(asked, batch_size=6) == plain.generate(asked, batch_size=6)


def test_texts_that_outgrow_longropes_length_go_on_as_in_the_plain_engine() -> None:
    plain, ours = pair("phi4-mini")
    asked = [Request(prompt_ids=p, max_new_tokens=9) for p in prompts((60, 70, 20, 64, 65))]
    assert ours.generate(asked, batch_size=3) == plain.generate(asked, batch_size=3)
    texts = prompts((20, 90, 64, 70))
    for found, wanted in zip(ours.score(texts), plain.score(texts), strict=True):
        assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("variant", ["qwen2-window", "qwen3", "llama3-rope"])
def test_scores_are_those_of_the_plain_engine(variant: str) -> None:
    plain, ours = pair(variant)
    texts = prompts((5, 1, 30))
    for found, wanted in zip(ours.score(texts), plain.score(texts), strict=True):
        assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_the_batch_size_changes_nothing(batch_size: int) -> None:
    plain, ours = pair()
    asked = requests()
    assert ours.generate(asked, batch_size=batch_size) == plain.generate(asked, batch_size=1)


@pytest.mark.parametrize("batch_size", [2, 6])
def test_rows_end_at_their_own_eos(batch_size: int) -> None:
    plain, ours = pair()
    free = plain.generate(requests((30,) * 6), batch_size=6)
    eos = frozenset({free[0].token_ids[10], free[2].token_ids[3]})
    asked = requests((30,) * 6, eos_ids=eos)
    found = ours.generate(asked, batch_size=batch_size)
    assert found == plain.generate(asked, batch_size=1)
    assert FinishReason.EOS in {generation.finish_reason for generation in found}


def test_rows_end_at_their_own_stop() -> None:
    plain, ours = pair()
    free = plain.generate(requests((30,) * 6), batch_size=6)
    wanted = free[4].token_ids[7]

    def should_stop(token_ids: Any, new: int) -> bool:
        return wanted in token_ids[-new:]

    asked = requests((30,) * 6, should_stop=should_stop)
    assert ours.generate(asked, batch_size=3) == plain.generate(asked, batch_size=1)


@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_drawn_rows_depend_on_their_own_seeds_alone(top_p: float) -> None:
    plain, ours = pair()
    asked = [
        Request(prompt_ids=p, max_new_tokens=8, temperature=0.9 * (i % 3 != 0), top_p=top_p, seed=i)
        for i, p in enumerate(prompts(LENGTHS))
    ]
    wanted = plain.generate(asked, batch_size=1)
    assert ours.generate(asked, batch_size=1) == wanted
    assert ours.generate(asked, batch_size=4) == wanted


@pytest.mark.parametrize("new", [(17, 12, 9, 6, 4, 1), (1, 4, 6, 9, 12, 17), (17, 1, 9, 1, 9, 1)])
@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_drawn_rows_may_end_in_any_order(new: tuple[int, ...], top_p: float) -> None:
    plain, ours = pair()
    asked = requests(new, temperature=0.9, top_p=top_p)
    assert ours.generate(asked, batch_size=6) == plain.generate(asked, batch_size=1)


def test_the_first_tokens_are_announced_once_before_any_row_ends() -> None:
    _, ours = pair()
    events: list[str] = []

    def finished(index: int, generation: Generation) -> None:
        events.append(f"row {index}")

    ours.generate(requests(), batch_size=2, on_first_token=lambda: events.append("first"), on_finish=finished)
    assert events[0] == "first"
    assert sorted(events[1:]) == [f"row {i}" for i in range(6)]


def test_the_few_row_step_takes_over_where_few_rows_are_in_use() -> None:
    plain, _ = pair()
    rows: list[int] = []

    def build(model: Any, state: Any) -> Any:
        tables = rotation_tables(model.config, state.capacity, model.device)
        step = TritonStep(model, state, tables, PLAIN)

        def counted() -> None:
            rows.append(state.rows)
            step()

        return counted

    ours = fast(plain, persistent_step=PersistentStep(build, "few", 2))
    asked = requests((3, 3, 3, 3, 3, 20))
    assert ours.generate(asked, batch_size=6) == plain.generate(asked, batch_size=1)
    assert rows
    assert max(rows) <= 2


def test_a_few_row_step_that_cannot_be_built_is_named_and_replaced() -> None:
    plain, _ = pair()

    def build(model: Any, state: Any) -> Any:
        raise NotImplementedError("no such device")

    ours = fast(plain, persistent_step=PersistentStep(build, "few", 2))
    asked = requests()
    assert ours.generate(asked, batch_size=2) == plain.generate(asked, batch_size=1)
    assert ran(ours, "decode step", 2).reason == "no such device"


def test_the_last_state_is_used_again_for_requests_of_like_shape() -> None:
    _, ours = pair()
    ours.generate(requests(), batch_size=4)
    runner = ours._runner
    ours.generate(requests(), batch_size=4)
    assert ours._runner is runner
    ours.generate(requests(), batch_size=3)
    assert ours._runner is not runner


def round_to(kind: str) -> Any:
    def quantize(name: str, tensor: torch.Tensor) -> Weight:
        out, inputs = tensor.shape
        if kind == "int8":
            scale = tensor.abs().amax(1).clamp(min=1e-6) / 127
            return Int8Weight((tensor / scale[:, None]).round().to(torch.int8), scale)
        groups = tensor.reshape(out, inputs // 16, 16)
        low, high = groups.amin(-1), groups.amax(-1)
        scale = ((high - low) / 15).half()
        q = ((groups - low[..., None]) / scale.float()[..., None]).round().clamp(0, 15).to(torch.uint8)
        q = q.reshape(out, inputs)
        return Int4Weight(q[:, 0::2] | (q[:, 1::2] << 4), scale, (low + 8 * scale.float()).half())

    return quantize


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_packed_weights_generate_what_the_plain_engine_does(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # in plain torch: the compiled kernels give a prompt's activations fewer bits
    off = build.Built(None, "not wanted")
    monkeypatch.setattr("quantbench.engine.cpu.operations.load_kernels", lambda: off)
    plain, ours = pair("qwen2-tied", round_to(kind))
    asked = requests()
    assert ours.generate(asked, batch_size=3) == plain.generate(asked, batch_size=3)
    assert ours.schemes() == plain.schemes()
    assert ours.step_bytes(1, 10)[1] == plain.step_bytes(1, 10)[1]


@pytest.mark.parametrize(
    ("rows", "sizes"), [(1, (1,)), (8, (1, 2, 4, 8)), (164, (1, 2, 4, 8, 16, 32, 64, 128, 164))]
)
def test_steps_are_made_for_powers_of_two_and_all_rows(rows: int, sizes: tuple[int, ...]) -> None:
    assert buckets_of(rows) == sizes


def test_a_model_without_a_kernel_is_refused_with_the_reason() -> None:
    plain, _ = pair()
    assert model_unsupported_reason(plain.config, torch.float16) is None
    assert "float32" in str(model_unsupported_reason(plain.config, torch.float32))
    odd = replace(plain.config, head_dim=12)
    assert "multiple of 8" in str(model_unsupported_reason(odd, torch.float16))


def test_float_weights_of_another_type_are_converted_on_use() -> None:
    plain = native(reference_model("qwen2"), lambda name, t: FloatWeight(t.half()))
    assert isinstance(plain, NativeDecoder)
    asked = requests()
    assert fast(plain).generate(asked, batch_size=6) == plain.generate(asked, batch_size=6)


@pytest.mark.parametrize("token", [97, -1])
def test_a_token_beyond_the_vocabulary_is_refused(token: int) -> None:
    _, ours = pair()
    with pytest.raises(UsageError, match=f"holds the token {token}, but the model has 97"):
        ours.generate([Request(prompt_ids=(3, token), max_new_tokens=2)], batch_size=1)
    with pytest.raises(UsageError, match="use the tokenizer"):
        list(ours.score([(3, token)]))


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_logits_that_are_not_finite_end_the_call_in_one_sentence(watched: bool, temperature: float) -> None:
    _, ours = pair()
    ours._model.norm[3] = torch.nan
    eos = frozenset({5}) if watched else frozenset()
    with pytest.raises(NotFiniteError, match="logits of request 0 after 0 new tokens are not finite"):
        ours.generate(requests(temperature=temperature, eos_ids=eos), batch_size=3)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_rows_that_go_bad_on_the_way_say_after_how_many_tokens(bad: float) -> None:
    plain, ours = pair()
    chosen = plain.generate(requests((9,) * 6), batch_size=6)[0].token_ids
    ours._model.embedding.weight.values[chosen[2]] = bad  # type: ignore[union-attr]
    with pytest.raises(NotFiniteError, match="request"):
        ours.generate(requests((9,) * 6), batch_size=6)


def test_everything_of_a_call_runs_while_the_models_device_is_the_current_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entered: list[torch.device] = []
    seen: list[str] = []

    @contextmanager
    def on_device(device: torch.device) -> Iterator[None]:
        entered.append(device)
        yield
        entered.pop()

    def watched(name: str, operation: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> None:
            assert entered, f"{name} runs on whatever device is current"
            seen.append(name)
            operation(*arguments, **options)

        return run

    names = [field.name for field in fields(PLAIN) if field.name != "name"]
    operations = replace(PLAIN, **{name: watched(name, getattr(PLAIN, name)) for name in names})
    monkeypatch.setattr(cuda_decoder, "on_device", on_device)
    plain, _ = pair()
    ours = CudaDecoder(packed_parameters(plain._parameters), operations=operations)
    ours.generate(requests(), batch_size=4)
    ours.generate(requests(temperature=0.5), batch_size=2)
    list(ours.score(prompts((5, 3))))
    other = {"dequantize", "silu_mul", "join", "norm_heads", "route"}  # of long prompts or other families
    assert set(names) - set(seen) <= other
    assert not entered


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 7, 50])
def test_answers_that_share_a_prompt_are_those_of_requests_alone(batch_size: int, temperature: float) -> None:
    plain, ours = pair()
    asked = [
        Request(prompt_ids=prompt, max_new_tokens=count, temperature=temperature, seed=100 * number + count)
        for number, prompt in enumerate(prompts((5, 30, 12)))
        for count in (9, 4, 17, 1, 6)
    ]
    alone = [plain.generate([request], batch_size=1)[0] for request in asked]
    assert ours.generate(asked, batch_size=batch_size) == alone


@pytest.mark.parametrize("batch_size", [1, 4, 15])
def test_a_prompt_is_computed_once_for_all_its_answers(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    numbers_of = prompt_graphs.numbers_of

    def counted(texts: Any, *arguments: Any, **options: Any) -> Any:
        computed.extend(map(len, texts))
        return numbers_of(texts, *arguments, **options)

    monkeypatch.setattr(prompt_graphs, "numbers_of", counted)
    _, ours = pair()
    asked = [
        Request(prompt_ids=prompt, max_new_tokens=count)
        for prompt in prompts((5, 30, 12))
        for count in (9, 4, 17, 1, 6)
    ]
    ours.generate(asked, batch_size=batch_size)
    assert sorted(computed) == [5, 12, 30]


def test_gguf_blocks_of_several_types_generate_what_the_plain_engine_does() -> None:
    """Queries, keys and values of one matrix in two types, gates and ups too, an odd one as floats."""

    def quantize(name: str, values: torch.Tensor) -> Weight:
        kinds = {"v_proj": "Q4_1", "up_proj": "Q5_1", "down_proj": "", "embed_tokens": "Q8_0"}
        kind = kinds.get(name.split(".")[-2], "Q5_0")
        return blocks_of(name, values, kind or None)

    pytest.importorskip("gguf")
    wide = {"hidden_size": 64, "intermediate_size": 64, "head_dim": 32}
    source = read(source_of(reference_model("qwen2-tied", **wide)), quantize)
    plain = load_decoder(*source, device="cpu", dtype="float32", exact_prompts=True)
    assert isinstance(plain, NativeDecoder)
    ours, asked = fast(plain), requests()
    assert ours.generate(asked, batch_size=6) == plain.generate(asked, batch_size=6)
    held = {matrix.name.split(".")[-2]: matrix.format for matrix in ours.held()}
    assert (held["q_proj"], held["v_proj"], held["up_proj"]) == ("Q5_0", "Q4_1", "Q5_1")
    assert held["down_proj"] == "W16"
    sizes = [sum(t.nbytes for _, t in decoder.resident_tensors()) for decoder in (ours, plain)]
    assert sizes[0] == sizes[1]
