"""What `exported.py` runs in vLLM's own environment: JSON in, 'ANSWERS [[ids], ...]' out.

It imports no quantbench.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any


def main() -> None:
    asked = json.load(sys.stdin)
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    import torch

    vllm: Any = import_module("vllm")
    if asked["stand_in"] and not hasattr(torch.ops._C, "cpu_gemm_wna16"):
        import_module("vllm._custom_ops").cpu_gemm_wna16 = plain_product  # type: ignore[attr-defined]
        print("plain torch stands in for cpu_gemm_wna16", file=sys.stderr)
    model = vllm.LLM(
        model=asked["model"], dtype=asked["dtype"], max_model_len=512, enforce_eager=True, max_num_seqs=4
    )
    settings = vllm.SamplingParams(temperature=0, max_tokens=asked["new"], ignore_eos=True)
    prompts: Any = [{"prompt_token_ids": ids} for ids in asked["prompts"]]
    answers = [list(made.outputs[0].token_ids) for made in model.generate(prompts, settings)]
    print("ANSWERS " + json.dumps(answers))


def plain_product(
    input: Any, q_weight: Any, scales: Any, zeros: Any, bias: Any, pack_factor: int, isa_hint: str
) -> Any:
    """x [..., in] times 4-bit weights as vLLM lays them out for its CPU kernel.

    q_weight int32 [out / 16, in * 2]: for each input of a block the codes of 16 outputs, lowest bits first;
    scales [groups, out]; zeros int32 [groups, out / 8], None where the middle code 8 is zero.
    """
    import torch

    inputs, out = input.shape[-1], scales.shape[1]
    codes = nibbles(q_weight.reshape(out // 16, inputs, 2)).permute(1, 0, 2).reshape(inputs, out)
    middles = torch.full_like(scales, 8) if zeros is None else nibbles(zeros).to(scales.dtype)
    each = inputs // len(scales)
    weight = (codes.float() - middles.float().repeat_interleave(each, 0)) * scales.float().repeat_interleave(
        each, 0
    )
    product = input.float() @ weight
    return (product if bias is None else product + bias.float()).to(input.dtype)


def nibbles(words: Any) -> Any:
    """int32 [..., n] -> int32 [..., 8 n], lowest bits first."""
    import torch

    parts = (words[..., None] >> torch.arange(0, 32, 4, dtype=torch.int32)) & 15
    return parts.reshape(*words.shape[:-1], -1)


if __name__ == "__main__":
    main()
