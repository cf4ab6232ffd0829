"""Groups of inputs in every integer layout are those that the libraries make: the last one is shorter where a
size does not divide a width, zero points of version 1 are stored less one with a borrow, and blocks of 8-bit
floats are those of the configuration.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from quantbench.errors import ModelError
from quantbench.weights.readers.packed.bits import group_sizes
from quantbench.weights.readers.packed.integer_layouts import AWQ_ORDER
from quantbench.weights.readers.stored import stored_reader
from tests.weights.test_stored_layouts import MODULE, Source

OUT, WIDTHS = 32, [(192, 128), (576, 128), (256, 32), (96, -1)]  # inputs and the size of a group


def dequantized(settings: dict[str, Any], tensors: dict[str, Tensor], inputs: int, out: int = OUT) -> Tensor:
    source = Source(settings, tensors)
    return stored_reader(source)(f"{MODULE}.weight", (out, inputs)).dequantize()  # type: ignore[arg-type]


def drawn(inputs: int, size: int, bits: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes, zero points (lowest and highest codes among them), scales, and the group of each input."""
    draw = torch.Generator().manual_seed(inputs + bits)
    groups = torch.arange(inputs) // (size if size > 0 else inputs)
    count = int(groups[-1]) + 1
    codes, zeros = (torch.randint(0, 1 << bits, (OUT, n), generator=draw) for n in (inputs, count))
    zeros[::3], zeros[1::5] = 0, (1 << bits) - 1
    return codes, zeros, (torch.rand(OUT, count, generator=draw) / 64 + 1e-3).half(), groups


def words(codes: Tensor, bits: int) -> Tensor:
    """Codes [a, b] -> int64 words [a, b * bits / 32], the first code in the lowest bits."""
    per = 32 // bits
    parts = codes.long().reshape(len(codes), -1, per)
    return (parts << (torch.arange(per) * bits)).sum(-1)


def signed(words: Tensor) -> Tensor:
    return (words & 0xFFFFFFFF).to(torch.int32)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("inputs", "size"), WIDTHS)
@pytest.mark.parametrize("order", ["as they lie", "not said", "sorted by activation"])
def test_gptq(bits: int, inputs: int, size: int, order: str) -> None:
    codes, zeros, scales, groups = drawn(inputs, size, bits)
    if order == "sorted by activation":
        groups = groups[torch.randperm(inputs, generator=torch.Generator().manual_seed(1))]
    stored = words(zeros.T.contiguous(), bits)
    less_one = stored - sum(1 << shift for shift in range(0, 32, bits))  # as GPTQModel makes version 1 of 2
    tensors = {"qweight": signed(words(codes, bits).T.contiguous()), "scales": scales.T.contiguous()}
    tensors |= {} if order == "not said" else {"g_idx": groups.int()}
    settings = {"quant_method": "gptq", "bits": bits, "group_size": size, "desc_act": "activation" in order}
    expected = (codes - zeros[:, groups]).float() * scales.float()[:, groups]
    for version, qzeros in (("gptq", less_one), ("gptq_v2", stored)):
        found = dequantized(
            settings | {"checkpoint_format": version}, tensors | {"qzeros": signed(qzeros)}, inputs
        )
        assert torch.allclose(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("inputs", "size"), WIDTHS)
def test_awq(inputs: int, size: int) -> None:
    codes, zeros, scales, groups = drawn(inputs, size, 4)

    def pack(values: Tensor) -> Tensor:
        eights = values.T.reshape(values.shape[1], -1, 8)
        return signed((eights.long() << (torch.tensor(AWQ_ORDER) * 4)).sum(-1))

    tensors = {"qweight": pack(codes), "qzeros": pack(zeros), "scales": scales.T.contiguous()}
    found = dequantized({"quant_method": "awq", "group_size": size, "version": None}, tensors, inputs)
    expected = (codes - zeros[:, groups]).float() * scales.float()[:, groups]
    assert torch.allclose(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("inputs", "size"), WIDTHS)
def test_compressed_tensors(inputs: int, size: int) -> None:
    codes, zeros, scales, groups = drawn(inputs, size, 4)
    tensors = {"weight_packed": signed(words(codes, 4)), "weight_scale": scales}
    tensors["weight_zero_point"] = signed(words(zeros.T.contiguous(), 4).T.contiguous())
    weights = {"num_bits": 4, "symmetric": False, "group_size": None if size < 0 else size}
    settings = {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}}
    expected = (codes - zeros[:, groups]).float() * scales.float()[:, groups]
    assert torch.allclose(dequantized(settings, tensors, inputs), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("out", "inputs"), [(192, 576), (96, 192), (576, 256), (32, 100)])
@pytest.mark.parametrize("method", ["fp8", "compressed-tensors"])
def test_blocks_of_8_bit_floats(method: str, out: int, inputs: int) -> None:
    draw = torch.Generator().manual_seed(out)
    values = (torch.randn(out, inputs, generator=draw) * 40).to(torch.float8_e4m3fn)
    scale = torch.rand(-(-out // 128), -(-inputs // 128), generator=draw) + 0.1
    expected = values.float() * scale.repeat_interleave(128, 0)[:out].repeat_interleave(128, 1)[:, :inputs]
    settings: dict[str, Any] = {"quant_method": method, "weight_block_size": [128, 128]}
    name = "weight_scale_inv"
    if method != "fp8":
        weights = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]}
        settings, name = (
            {"quant_method": method, "config_groups": {"g": {"weights": weights}}},
            "weight_scale",
        )
    assert torch.equal(dequantized(settings, {"weight": values, name: scale}, inputs, out), expected)


def test_groups_that_two_sizes_explain_are_refused_and_others_are_equal() -> None:
    assert group_sizes(256, 2, [128, 160]) is None
    assert group_sizes(256, 4, [128]) == [64] * 4  # another size for this module alone
    assert group_sizes(192, 2, [128]) == [128, 64]
    assert group_sizes(100, 3, []) is None


def test_a_module_whose_groups_do_not_fit_says_so() -> None:
    codes, zeros, scales, _ = drawn(256, 32, 4)
    tensors = {"qweight": signed(words(codes, 4).T.contiguous()), "scales": scales.T[:3].contiguous()}
    tensors["qzeros"] = signed(words(zeros.T[:3].contiguous(), 4))
    with pytest.raises(ModelError, match=r"groups that do not fit .*; give the model that it was made from"):
        dequantized({"quant_method": "gptq", "group_size": 32}, tensors, 256)
