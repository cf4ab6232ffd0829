"""Where prompts lie, as they are and padded; on a GPU: padding and capturing change no bit."""

from typing import Any

import pytest
import torch

from quantbench.engine.cuda.operations import PLAIN, TRITON
from quantbench.engine.cuda.prefill import PromptPass
from quantbench.engine.cuda.prompt_graphs import Prefill, PromptGraphs
from quantbench.engine.cuda.prompt_layout import (
    MOST_TOKENS,
    PromptSize,
    numbers_of,
    padded,
    size_of,
    views,
)
from quantbench.engine.cuda.state import IDLE, StepState, allocate_state
from quantbench.engine.cuda.triton.rotate import rotation_tables
from quantbench.engine.parameters import Parameters
from tests.engine.cuda.step_models import on_gpu, random_model
from tests.engine.models import prompts

CAPACITY = 640
LENGTHS = ((128,), (100,), (7, 300, 64), (1,), (33, 5))


def prefill_of(model: Parameters, state: StepState, operations: Any, **options: Any) -> Prefill:
    tables = rotation_tables(model.config, CAPACITY, model.device)
    lengths = torch.zeros(state.rows, dtype=torch.int64, device=model.device)
    ends = torch.full((state.rows, model.config.hidden_size), torch.nan).to(state.keys)
    return Prefill(state, PromptPass(model, operations, **options), tables, lengths, ends)


def state_of(model: Parameters, rows: int, *, with_logits: bool = False) -> StepState:
    """Everything poisoned that a prefill must write or leave."""
    state = allocate_state(
        model.config, rows=rows, capacity=CAPACITY, dtype=model.dtype, device=model.device,
        with_logits=with_logits,
    )  # fmt: skip
    for tensor in (state.keys, state.values):
        tensor.fill_(torch.nan)
    for tensor in (state.tokens, state.positions, state.output):
        tensor.fill_(-7)
    return state


@pytest.mark.parametrize("lengths", LENGTHS)
def test_padding_holds_the_prompts_and_adds_less_than_an_eighth_or_a_block(lengths: tuple[int, ...]) -> None:
    size = size_of(prompts(lengths))
    found = padded(size)
    assert found is not None
    assert found.tokens >= size.tokens and found.prompts >= size.prompts and found.longest >= size.longest
    assert found.tokens - size.tokens < max(64, size.tokens / 4)


def test_many_tokens_are_not_padded() -> None:
    assert padded(PromptSize(MOST_TOKENS, 3, 2000)) == PromptSize(MOST_TOKENS, 4, MOST_TOKENS)
    assert padded(PromptSize(MOST_TOKENS + 1, 3, 2000)) is None


def test_a_layout_says_where_every_token_lies() -> None:
    size = PromptSize(8, 4, 8)
    layout = views(numbers_of([(5, 6, 7), (8, 9)], [3, 1], size), size)
    assert layout.ids.tolist() == [5, 6, 7, 8, 9, 0, 0, 0]
    assert layout.slot_mapping.tolist() == [[3, 3, 3, 1, 1, IDLE, IDLE, IDLE], [0, 1, 2, 0, 1, 0, 0, 0]]
    assert layout.starts.tolist() == [0, 3, 5, 5, 5]
    assert layout.ends.tolist() == [2, 4, 2, 2]
    assert layout.rows.tolist() == [3, 1, 3, 3]
    assert layout.lengths.tolist() == [3, 2, 3, 3]


@pytest.mark.parametrize("lengths", LENGTHS)
def test_padding_changes_nothing_in_the_state(lengths: tuple[int, ...]) -> None:
    model = random_model("qwen3", "float", dtype=torch.float32)
    asked, rows = prompts(lengths, vocab=131), list(range(len(lengths)))[::-1]
    states = [state_of(model, len(lengths) + 1) for _ in range(2)]
    for state, size in zip(states, (size_of(asked), padded(size_of(asked))), strict=True):
        assert size is not None
        prefill_of(model, state, PLAIN)(views(numbers_of(asked, rows, size), size))
    for one, other in (("keys", "keys"), ("values", "values")):
        a, b = getattr(states[0], one), getattr(states[1], other)
        assert torch.equal(a.isnan(), b.isnan())
        assert torch.allclose(a.nan_to_num(), b.nan_to_num(), atol=1e-5)
    assert torch.equal(states[0].tokens, states[1].tokens)
    assert torch.equal(states[0].positions, states[1].positions)
    assert torch.equal(states[0].output, states[1].output)


@pytest.mark.gpu
@pytest.mark.parametrize("scheme", ["float", "int8", "int4", "double"])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_graph_leaves_the_bits_that_its_launches_leave(
    cuda: torch.device, scheme: str, lengths: tuple[int, ...]
) -> None:
    model = on_gpu(random_model("qwen2", scheme), cuda)
    asked, rows = prompts(lengths, vocab=131), list(range(len(lengths)))[::-1]
    found = []
    state = state_of(model, len(lengths) + 1)
    prefill = prefill_of(model, state, TRITON)
    graphs = PromptGraphs(prefill)
    for _ in range(3):
        fresh = state_of(model, len(lengths) + 1)
        for name in ("tokens", "positions", "output", "keys", "values"):
            getattr(state, name).copy_(getattr(fresh, name))
        graphs(asked, rows)
        found.append(
            (prefill.ends[rows].clone(), {n: getattr(state, n).clone() for n in ("tokens", "output", "keys")})
        )
    for ends, tensors in found[1:]:
        assert torch.equal(ends, found[0][0]) and not ends.isnan().any()
        for name, tensor in tensors.items():
            assert torch.equal(tensor.nan_to_num(77), found[0][1][name].nan_to_num(77))


@pytest.mark.gpu
@pytest.mark.parametrize("scheme", ["float", "int8", "double"])
def test_batch_invariant_prompts_are_the_same_bits_at_every_padding_and_beside_others(
    cuda: torch.device, scheme: str
) -> None:
    model = on_gpu(random_model("qwen2", scheme), cuda)
    asked = prompts((70, 33, 128, 5, 300), vocab=131)
    state = state_of(model, 5)
    prefill = prefill_of(model, state, TRITON, batch_invariant=True)
    graphs = PromptGraphs(prefill)
    together = [ends_of(graphs, prefill, asked, range(5)) for _ in range(2)]
    for row, prompt in enumerate(asked):
        size = size_of([prompt])
        prefill(views(numbers_of([prompt], [row], size).to(cuda), size))
        exact = prefill.ends[row].clone()
        alone = [ends_of(graphs, prefill, [prompt], [row]) for _ in range(2)]
        for ends in (together[0][row], together[1][row], alone[0][0], alone[1][0]):
            assert torch.equal(ends, exact)


def ends_of(graphs: PromptGraphs, prefill: Prefill, asked: Any, rows: Any) -> torch.Tensor:
    prefill.ends.fill_(torch.nan)
    graphs(asked, rows)
    return prefill.ends[list(rows)].clone()
