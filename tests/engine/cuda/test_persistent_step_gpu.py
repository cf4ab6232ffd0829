"""The persistent step on a GPU of compute capability 9.0: against the reference, and captured in a graph."""

import pytest
import torch

from quantbench.decoding import NO_TOKEN
from quantbench.engine.cuda.persistent import launch as persistent
from quantbench.engine.cuda.persistent.reference import reference_step
from quantbench.settings import KvFormat
from tests.engine.cuda.step_models import held_in, moved, on_gpu, random_model, random_state, smoothed

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] != 9,
        reason="needs a GPU of compute capability 9.0",
    ),
]
CAPACITY = 600


@pytest.mark.parametrize("scheme", ["float", "int8", "int8-groups", "int4", "double"])
@pytest.mark.parametrize(
    ("family", "positions"), [("qwen2", [130]), ("qwen3", [0, 479, 480, -1]), ("llama", [599] * 4)]
)
def test_logits_and_cache_equal_the_reference(
    cuda: torch.device, scheme: str, family: str, positions: list[int]
) -> None:
    model = on_gpu(random_model(family, scheme), cuda)
    state = random_state(model, positions, CAPACITY, with_logits=True, device=cuda)
    expected = moved(state, cuda)
    persistent.build_persistent_step(model, state)()
    torch.cuda.synchronize(cuda)
    logits = reference_step(model, expected)
    assert state.logits is not None
    assert ((state.logits - logits).norm(dim=1) <= 3e-3 * logits.norm(dim=1)).all()
    assert torch.equal(state.keys.isnan(), expected.keys.isnan())
    difference = (state.keys.float() - expected.keys.float()).nan_to_num()
    assert difference.norm() <= 3e-3 * expected.keys.float().nan_to_num().norm()


@pytest.mark.parametrize("kv", list(KvFormat))
@pytest.mark.parametrize("scheme", ["float", "int8", "int4"])
@pytest.mark.parametrize(
    ("family", "positions"), [("qwen2", [4000]), ("qwen3", [0, 479, 480, -1]), ("llama", [599] * 4)]
)
def test_a_cache_of_codes_is_read_and_written_as_by_the_reference(
    cuda: torch.device, scheme: str, family: str, positions: list[int], kv: KvFormat
) -> None:
    model = random_model(family, scheme)
    model = on_gpu(model if family == "llama" else smoothed(model), cuda)
    state = random_state(model, positions, max(positions) + 8, with_logits=True, device=cuda, kv=kv)
    expected = moved(state, cuda)
    persistent.build_persistent_step(model, state)()
    torch.cuda.synchronize(cuda)
    logits = reference_step(model, expected)
    assert state.logits is not None
    tolerance = {KvFormat.INT8: 1.5e-2, KvFormat.FP8: 5e-2}[kv]  # a code that is rounded the other way
    assert ((state.logits - logits).norm(dim=1) <= tolerance * logits.norm(dim=1)).all()
    for got, wanted in zip(held_in(state), held_in(expected), strict=True):
        assert torch.equal(got.isnan(), wanted.isnan()), "only the new position is written"
        assert (got - wanted).nan_to_num().norm() <= tolerance * wanted.nan_to_num().norm()


def test_a_captured_step_replays_like_steps_one_by_one(current_cuda: torch.device) -> None:
    model = on_gpu(random_model("qwen2", "int4"), current_cuda)
    state = random_state(model, [5, -1], 64, device=current_cuda)
    plain = moved(state, current_cuda)
    step, again = (
        persistent.build_persistent_step(model, state),
        persistent.build_persistent_step(model, plain),
    )
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for _ in range(20):
        graph.replay()
        again()
    torch.cuda.synchronize()
    assert state.positions.tolist() == plain.positions.tolist() == [25, -1]
    assert torch.equal(state.output, plain.output)


@pytest.mark.parametrize("scheme", ["float", "int8", "int8-groups", "int4", "double"])
def test_a_norm_that_is_not_a_number_chooses_no_token(cuda: torch.device, scheme: str) -> None:
    model = on_gpu(random_model("qwen2", scheme), cuda)
    model.norm[5] = torch.nan
    state = random_state(model, [5, -1, 9], 64, device=cuda)
    before = state.tokens.tolist()
    step = persistent.build_persistent_step(model, state)
    for _ in range(3):
        step()
    torch.cuda.synchronize(cuda)
    assert state.tokens.tolist() == [NO_TOKEN, before[1], NO_TOKEN]
    assert state.positions.tolist() == [8, -1, 12]
