"""The small kernels around the products agree with their references and write nothing else."""

import pytest
import torch

from quantbench.decoding import NO_TOKEN
from quantbench.engine.config import read_config
from quantbench.engine.cuda.state import StepState, allocate_state
from quantbench.engine.cuda.triton.add_norm import add_norm, add_norm_reference
from quantbench.engine.cuda.triton.argmax import argmax, argmax_reference
from quantbench.engine.cuda.triton.dequantize import dequantize, dequantize_reference
from quantbench.engine.cuda.triton.embed import embed, embed_reference
from quantbench.engine.cuda.triton.interleave import deinterleaved, interleaved
from quantbench.engine.cuda.triton.silu_mul import silu_mul, silu_mul_reference
from tests.engine.cuda.matrices import HALF, SCHEMES, distance, normal, poisoned, random_matrix


@pytest.mark.parametrize("splits", [0, 1, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_partial_sums_are_added_before_the_norm(device: torch.device, splits: int, bias: bool) -> None:
    ours = normal(5, 96, device=device, dtype=torch.float32) * 10
    theirs = ours.clone()
    delta = normal(splits, 5, 96, device=device, dtype=torch.float32, seed=2) if splits else None
    offset = normal(96, device=device, seed=3) if bias and splits else None
    weight, y, z = normal(96, device=device, seed=4), *(poisoned(5, 96, device=device) for _ in range(2))
    add_norm(ours, (delta, offset), weight, 1e-6, y)
    add_norm_reference(theirs, (delta, offset), weight, 1e-6, z)
    assert distance(y, z) < 1e-3
    assert distance(ours, theirs) < 1e-6


@pytest.mark.parametrize("order", [16, 32])
def test_a_norm_is_written_in_the_order_of_who_reads_it(device: torch.device, order: int) -> None:
    residual = normal(5, 96, device=device, dtype=torch.float32)
    weight, y, z = normal(96, device=device, seed=4), *(poisoned(5, 96, device=device) for _ in range(2))
    add_norm(residual, (None, None), weight, 1e-6, y, order)
    add_norm_reference(residual, (None, None), weight, 1e-6, z)
    assert distance(y, interleaved(z, order)) < 1e-3


@pytest.mark.parametrize("order", [1, 16, 32, 64])
def test_an_order_and_its_inverse_cancel(order: int) -> None:
    x = torch.arange(128).view(1, 128)
    assert torch.equal(deinterleaved(interleaved(x, order), order), x)


def test_gates_and_ups_of_prompts_are_multiplied(device: torch.device) -> None:
    x, y, z = normal(3, 2 * 1030, device=device), *(poisoned(3, 1030, device=device) for _ in range(2))
    silu_mul(x, y)
    silu_mul_reference(x, z)
    assert distance(y, z) < 1e-3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_embedding_rows_are_the_dequantized_ones(device: torch.device, scheme: str) -> None:
    matrix = random_matrix(scheme, 40, 96, device)
    tokens = torch.tensor([0, 39, 7], dtype=torch.int32, device=device)
    y, z = (poisoned(3, 96, device=device, dtype=torch.float32) for _ in range(2))
    embed(matrix, tokens, y)
    embed_reference(matrix, tokens, z)
    assert torch.equal(y, z)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_token_that_the_matrix_does_not_have_is_token_0(device: torch.device, scheme: str) -> None:
    matrix = random_matrix(scheme, 40, 96, device)
    tokens = torch.tensor([-1, 40, 2**31 - 1, -(2**31)], dtype=torch.int32, device=device)
    y, z, first = (poisoned(4, 96, device=device, dtype=torch.float32) for _ in range(3))
    embed(matrix, tokens, y)
    embed_reference(matrix, tokens, z)
    embed_reference(matrix, torch.zeros_like(tokens), first)
    assert torch.equal(y, first) and torch.equal(z, first)


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_a_whole_matrix_is_dequantized(device: torch.device, scheme: str) -> None:
    matrix = random_matrix(scheme, 9, 96, device)
    y, z = (poisoned(9, 96, device=device) for _ in range(2))
    dequantize(matrix.weight, y)
    dequantize_reference(matrix.weight, z)
    assert torch.equal(y, z)


def state_of(positions: list[int], device: torch.device) -> StepState:
    shape = {"vocab_size": 50, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    config = read_config({"model_type": "llama", "num_attention_heads": 1, **shape})
    state = allocate_state(config, rows=len(positions), capacity=8, dtype=HALF, device=device)
    state.positions.copy_(torch.tensor(positions, dtype=torch.int32))
    return state


def test_the_best_candidate_is_taken_and_idle_rows_are_left(device: torch.device) -> None:
    ours, theirs = (state_of([0, 6, 7, -1, 8], device) for _ in range(2))
    best = normal(5, 5, device=device, dtype=torch.float32)
    ids = torch.arange(25, dtype=torch.int32, device=device).view(5, 5)
    argmax(best, ids, ours)
    argmax_reference(best, ids, theirs)
    for name in ("tokens", "positions", "output"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    assert ours.positions.tolist() == [1, 7, 8, -1, 8]


def test_of_equal_candidates_the_lowest_id_is_taken(device: torch.device) -> None:
    state = state_of([0], device)
    argmax(
        torch.ones(4, 1, device=device),
        torch.tensor([[3], [9], [12], [20]], dtype=torch.int32, device=device),
        state,
    )
    assert state.tokens.tolist() == [3]


@pytest.mark.parametrize("worst", [float("nan"), float("inf")])
def test_a_candidate_that_is_not_finite_chooses_no_token(device: torch.device, worst: float) -> None:
    ours, theirs = (state_of([0, 3, 6], device) for _ in range(2))
    best = normal(5, 3, device=device, dtype=torch.float32)
    best[2, 0], best[:, 2] = worst, float("-inf")
    ids = torch.arange(15, dtype=torch.int32, device=device).view(5, 3)
    argmax(best, ids, ours)
    argmax_reference(best, ids, theirs)
    assert torch.equal(ours.tokens, theirs.tokens) and torch.equal(ours.output, theirs.output)
    assert ours.tokens.tolist() == [NO_TOKEN, int(ids[best[:, 1].argmax(), 1]), NO_TOKEN]
