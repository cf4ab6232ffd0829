"""Attention of decode steps in CUDA C++ agrees with plain attention, on the emulated machine and on a GPU."""

import pytest
import torch

from quantbench.engine.cuda.decode_attention import launch as module
from quantbench.engine.cuda.decode_attention.launch import Run
from quantbench.engine.cuda.triton import decode_attention as by_triton
from quantbench.engine.cuda.triton.decode_attention import AttentionCall, Scratch, decode_attention_reference
from quantbench.engine.cuda.triton.interleave import interleaved
from tests.engine.cuda.emulation import COMPILER, emulated_attention
from tests.engine.cuda.matrices import distance, poisoned
from tests.engine.cuda.step_models import random_model
from tests.engine.cuda.test_attention import cache_of, config_of, qkv_of, rotation_of

CPU = torch.device("cpu")
POSITIONS = [0, 1, 15, 16, 63, -1, 100, 130, 127]  # the last but one is beyond the capacity


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    if COMPILER is None:
        pytest.skip("the emulator needs g++")
    return emulated_attention(tmp_path_factory.mktemp("attention"))


@pytest.mark.parametrize(
    ("name", "window", "order"),
    [("groups-of-seven", None, 1), ("groups-of-seven", 70, 64), ("normed", 1, 32)],
)
def test_every_cached_position_is_attended_to_and_the_new_one_stored(
    emulated: Run, name: str, window: int | None, order: int
) -> None:
    config, rows = config_of(name), len(POSITIONS)
    rotation, qkv = rotation_of(config, 128, CPU), qkv_of(config, rows, CPU)
    found, wanted = cache_of(config, rows, 128, CPU), cache_of(config, rows, 128, CPU)
    y, z = (poisoned(rows, config.q_size, device=CPU) for _ in range(2))
    at = torch.tensor(POSITIONS, dtype=torch.int32)
    module.launch(emulated, AttentionCall(config, rotation, qkv, at, found, y, window, None, order))
    decode_attention_reference(AttentionCall(config, rotation, qkv, at, wanted, z, window))
    busy = [0 <= position < 128 for position in POSITIONS]
    assert distance(y[busy], interleaved(z, order)[busy]) < 2e-3
    assert y[[not one for one in busy]].isnan().all()
    for ours, theirs in zip(found, wanted, strict=True):
        assert distance(ours, theirs) < 1e-3


@pytest.mark.parametrize("window", [None, 20])
def test_chunks_of_a_long_text_add_up(
    emulated: Run, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in (module, by_triton):
        monkeypatch.setattr(part, "CHUNK", 64)
    monkeypatch.setattr(module, "combine", combined)
    config, positions = config_of("groups-of-seven"), [0, 63, 64, 129, 191]
    rotation, qkv = rotation_of(config, 192, CPU), qkv_of(config, 5, CPU)
    cache = cache_of(config, 5, 192, CPU)
    y, z = (poisoned(5, config.q_size, device=CPU) for _ in range(2))
    at = torch.tensor(positions, dtype=torch.int32)
    scratch = Scratch.allocate(config, 5, 192, CPU)
    assert scratch is not None
    for sums in (scratch.parts, scratch.extremes, scratch.totals):
        sums.fill_(float("nan"))
    decode_attention_reference(AttentionCall(config, rotation, qkv, at, cache, z, window))
    module.launch(emulated, AttentionCall(config, rotation, qkv, at, cache, y, window, scratch, 64))
    assert distance(y, interleaved(z, 64)) < 2e-3


@pytest.mark.parametrize(
    ("family", "codes", "starts"),
    [("qwen3", False, "CUDA C++ in decode steps"), ("qwen3", True, "triton,"), ("mistral", False, "triton,")],
)
def test_the_record_names_the_kernel_that_attends(
    family: str, codes: bool, starts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "reason_against", lambda device: None)
    name = module.attention_name(random_model(family, "float"), "triton", codes=codes)
    assert name.startswith(starts)


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [1, 8, 164])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("head_dim", "capacity"), [(64, 300), (64, 3000), (128, 700), (32, 1100)])
def test_batch_sizes_in_use_agree_and_launches_follow_each_other(
    device: torch.device, rows: int, dtype: torch.dtype, head_dim: int, capacity: int
) -> None:
    config = config_of("groups-of-seven", head_dim=head_dim)
    if module.reason_against(device) is not None:
        pytest.skip("the kernel does not run here")
    rotation, qkv = rotation_of(config, capacity, device), qkv_of(config, rows, device).to(dtype)
    at = torch.randint(0, capacity, (rows,), dtype=torch.int32, device=device)
    found, wanted = (tuple(t.to(dtype) for t in cache_of(config, rows, capacity, device)) for _ in range(2))
    scratch = Scratch.allocate(config, rows, capacity, device)
    y, z = (poisoned(rows, config.q_size, device=device, dtype=dtype) for _ in range(2))
    for _ in range(3):
        module.launch(
            module.runner_on(device), AttentionCall(config, rotation, qkv, at, found, y, None, scratch, 1)
        )
    decode_attention_reference(AttentionCall(config, rotation, qkv, at, wanted, z))
    assert distance(y, z) < (2e-3 if dtype is torch.float16 else 2e-2)
    assert all(distance(ours, theirs) < 1e-3 for ours, theirs in zip(found, wanted, strict=True))


def combined(
    config: object, positions: torch.Tensor, scratch: Scratch, out: torch.Tensor, capacity: int, order: int
) -> None:
    """In place of Triton's kernel: the chunks that a row has, weighed by their sums."""
    for row, position in enumerate(positions.tolist()):
        some = slice(0, position // 64 + 1)
        extremes, totals = scratch.extremes[row, :, some], scratch.totals[row, :, some]
        weights = (extremes - extremes.amax(1, keepdim=True)).exp2()
        whole = (scratch.parts[row, :, some] * weights[..., None]).sum(1)
        result = whole / (totals * weights).sum(1, keepdim=True)
        out[row] = interleaved(result.reshape(-1), order).to(out.dtype)
