"""What families beside the plain ones need of kernels agrees with plain torch."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from quantbench.engine.config import ModelConfig, read_config
from quantbench.engine.cuda import experts as experts_module
from quantbench.engine.cuda.experts import Experts, in_order, sorted_groups
from quantbench.engine.cuda.operations import PLAIN, TRITON
from quantbench.engine.cuda.triton.decode_attention import (
    AttentionCall,
    decode_attention,
    decode_attention_reference,
)
from quantbench.engine.cuda.triton.groups import Groups
from quantbench.engine.cuda.triton.interleave import interleave_of
from quantbench.engine.cuda.triton.join import Added, join, join_reference
from quantbench.engine.cuda.triton.linear import (
    Epilogue,
    Tile,
    linear_reference,
    tiled_linear,
    tiled_linear_reference,
)
from quantbench.engine.cuda.triton.norm_heads import norm_heads, norm_heads_reference
from quantbench.engine.cuda.triton.prompt_attention import (
    Prompts,
    prompt_attention,
    prompt_attention_reference,
)
from quantbench.engine.cuda.triton.rotate import HeadRotation, rotation_tables
from quantbench.engine.cuda.triton.route import route, route_reference
from quantbench.engine.cuda.triton.silu_mul import silu_mul, silu_mul_reference
from quantbench.engine.expert_groups import grouped_experts, joined, split
from quantbench.engine.parameters import ExpertParameters, Matrix, MlpParameters, Norm
from tests.engine.cuda.matrices import SCHEMES, distance, normal, poisoned, random_matrix

FLOAT32 = torch.float32
SHAPE = {"vocab_size": 50, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
TILE = Tile(rows=64, tokens=16, inputs=32)


def config_of(kind: str, **changes: Any) -> ModelConfig:
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    return read_config({"model_type": kind, **SHAPE, **heads, **changes})


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("read", ["a norm", "no norm", "nobody"])
def test_states_are_joined_as_plain_torch_does(
    device: torch.device, centered: bool, behind: bool, read: str
) -> None:
    config = config_of("granite", residual_multiplier=0.3)
    config = replace(config, centered_norms=centered)

    def norm(seed: int) -> Norm:
        shift = normal(96, device=device, seed=seed + 1) if centered else None
        return Norm(normal(96, device=device, seed=seed), shift)

    ours = normal(5, 96, device=device, dtype=FLOAT32)
    theirs = ours.clone()
    sums = normal(3, 5, 96, device=device, dtype=FLOAT32, seed=2)
    added = Added(sums, normal(96, device=device, seed=3), norm(4) if behind else None)
    y, z = (None if read == "nobody" else poisoned(5, 96, device=device) for _ in range(2))
    reader = norm(6) if read == "a norm" else None
    join(config, ours, added, reader, y, 32)
    join_reference(config, theirs, added, reader, z, 32)
    assert distance(ours, theirs) < 1e-6
    if y is not None and z is not None:
        assert distance(y, z) < 1e-3


def test_queries_and_keys_are_normed_over_all_heads_together(device: torch.device) -> None:
    config = config_of("olmo2")
    ours = normal(3, config.q_size + 2 * config.kv_size, device=device)
    theirs = ours.clone()
    weights = [normal(size, device=device, seed=size) for size in (config.q_size, config.kv_size)]
    norm_heads(config, ours, *weights)
    norm_heads_reference(config, theirs, *weights)
    assert distance(ours, theirs) < 1e-3


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_pytorch_tanh", "relu"])
def test_every_activation_is_torchs(device: torch.device, activation: str) -> None:
    x = normal(3, 2 * 70, device=device) * 8
    y, z = (poisoned(3, 70, device=device) for _ in range(2))
    silu_mul(x, y, activation)
    silu_mul_reference(x, z, activation)
    assert distance(y, z) < 1e-3
    matrix = random_matrix("float", 80, 64, device, bias=True)
    x = normal(5, 64, device=device)
    y, z = (poisoned(5, 80, device=device) for _ in range(2))
    for product, out in ((tiled_linear, y), (tiled_linear_reference, z)):
        product(matrix, x, out, tile=TILE, epilogue=Epilogue.ACT, order=16, activation=activation)
    assert distance(y, z) < 1e-3


@pytest.mark.parametrize("window", [None, 9])
def test_scores_are_capped_softly(device: torch.device, window: int | None) -> None:
    config = config_of("gemma2", attn_logit_softcapping=0.4, head_dim=16)
    cosines, sines = rotation_tables(config, 64, device)[config.rope]
    rotation = HeadRotation(cosines=cosines, sines=sines)
    qkv = normal(2, config.q_size + 2 * config.kv_size, device=device, seed=4)
    cache = [normal(2, config.kv_heads, 64, 16, device=device, seed=s) for s in (2, 3)]
    positions = torch.tensor([40, 7], dtype=torch.int32, device=device)
    y, z = (poisoned(2, config.q_size, device=device) for _ in range(2))
    for attention, out in ((decode_attention, y), (decode_attention_reference, z)):
        attention(AttentionCall(config, rotation, qkv, positions, (cache[0].clone(), cache[1]), out, window))
    assert distance(y, z) < 2e-3
    qkv = normal(33, config.q_size + 2 * config.kv_size, device=device, seed=5)
    prompts = Prompts(torch.tensor([0, 20, 33], dtype=torch.int32, device=device), 20)
    y, z = (poisoned(33, config.q_size, device=device) for _ in range(2))
    for attention, out in ((prompt_attention, y), (prompt_attention_reference, z)):
        attention(AttentionCall(config, qkv, prompts, out, window))
    assert distance(y, z) < 2e-3


@pytest.mark.parametrize("sum_to_one", [False, True])
def test_the_highest_rated_experts_are_chosen(device: torch.device, sum_to_one: bool) -> None:
    config = config_of("mixtral", num_local_experts=11, num_experts_per_tok=3)
    config = replace(config, experts_sum_to_one=sum_to_one)
    ratings = normal(6, 11, device=device, dtype=FLOAT32)
    found = [torch.zeros(3, 6, dtype=torch.int32, device=device) for _ in range(2)]
    weights = [poisoned(3, 6, device=device, dtype=FLOAT32) for _ in range(2)]
    route(config, ratings, found[0], weights[0])
    route_reference(config, ratings, found[1], weights[1])
    assert torch.equal(found[0], found[1])
    assert distance(weights[0], weights[1]) < 1e-6


def test_ratings_that_are_no_numbers_choose_experts_that_there_are(device: torch.device) -> None:
    config = config_of("mixtral", num_local_experts=5, num_experts_per_tok=2)
    ratings = torch.full((1, 5), float("nan"), device=device)
    chosen = torch.full((2, 1), -9, dtype=torch.int32, device=device)
    route(config, ratings, chosen, poisoned(2, 1, device=device, dtype=FLOAT32))
    assert ((chosen >= 0) & (chosen < 5)).all()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("epilogue", [Epilogue.STORE, Epilogue.GATE])
def test_each_run_of_tokens_meets_its_own_matrix(
    device: torch.device, scheme: str, epilogue: Epilogue
) -> None:
    matrices = [random_matrix(scheme, 80, 64, device, bias=True, seed=n) for n in range(3)]
    matrix = joined(matrices)
    runs = [[0, 0, 4, 5, 9], [4, 0, 1, 4, 16], [2, 1, 0, 2, 1]]
    groups = Groups(*(torch.tensor(run, dtype=torch.int32, device=device) for run in runs), matrices=3)
    x = in_order(normal(25, 64, device=device), matrix).contiguous()
    factors = normal(25, device=device, dtype=FLOAT32, seed=9) if epilogue is Epilogue.GATE else None
    width = 40 if epilogue is Epilogue.GATE else 80
    y, z = (poisoned(25, width, device=device) for _ in range(2))
    for product, out in ((tiled_linear, y), (tiled_linear_reference, z)):
        product(matrix, x, out, tile=TILE, epilogue=epilogue, factors=factors, groups=groups)
    assert distance(y, z) < 1e-3
    if epilogue is Epilogue.STORE and interleave_of(matrix.weight) == 1:
        assert distance(y[9:], linear_reference(matrices[1], x[9:])) < 1e-3


@pytest.mark.parametrize("few", [0, 1000])
@pytest.mark.parametrize("kind", ["mixtral", "qwen2_moe"])
def test_experts_add_up_to_what_each_token_asks_for(
    device: torch.device, kind: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experts_module, "FEW", few)
    shared = kind == "qwen2_moe"
    config = config_of(kind, num_local_experts=5, num_experts=5, num_experts_per_tok=2)

    def mlp(seed: int) -> MlpParameters:
        up, down = ((64, 64), (64, 32))
        return MlpParameters(
            random_matrix("int4", *up, device, seed=seed),
            random_matrix("int4", *down, device, seed=seed + 50),
        )

    mixture = grouped_experts(
        ExpertParameters(
            router=random_matrix("float", 5, 64, device, seed=99),
            experts=tuple(mlp(n) for n in range(5)),
            shared=mlp(20) if shared else None,
            shared_gate=random_matrix("float", 1, 64, device, seed=98) if shared else None,
        )
    )
    x = normal(6, 64, device=device)
    ours, theirs = (Experts(config, ops)(mixture, x).float().sum(0) for ops in (TRITON, PLAIN))
    assert distance(ours, theirs) < 2e-3


def test_sorted_pairs_are_cut_into_runs_of_one_expert_each() -> None:
    chosen = torch.randint(4, (90,), generator=torch.Generator().manual_seed(3), dtype=torch.int32)
    groups = sorted_groups(chosen, 6, tokens=16)
    experts = chosen.sort().values
    covered = torch.zeros(90, dtype=torch.int64)
    for first, count, expert in zip(groups.first, groups.count, groups.chosen, strict=True):
        assert 0 <= count <= 16
        covered[first : first + count] += 1
        assert (experts[first : first + count] == expert).all()
    assert (covered == 1).all()


def test_experts_that_lie_one_after_another_are_not_copied() -> None:
    cpu = torch.device("cpu")
    matrix = joined([random_matrix("int8", 8, 32, cpu, seed=n) for n in range(3)])
    again: Matrix = joined(split(matrix, 3))
    kept = dict(matrix.weight.tensors())
    assert all(tensor.data_ptr() == kept[name].data_ptr() for name, tensor in again.weight.tensors())
    assert again.parts == matrix.parts and again.weight.shape == matrix.weight.shape
