"""Exports in other programs: do transformers and vLLM load each file, and answer as ours does?

    python benchmarks/exported.py builtin --vllm-python ../vllm/bin/python --dtype bfloat16

Each method is exported to each of the named formats that hold it; ours, transformers and vLLM then continue
the same prompts greedily. A row tells how many answers are ours token by token, and of those that part by how
much ours prefers its token to the other's there, in nats: a near tie is decided by rounding. What a program
does not take is said in its own words. transformers runs compressed-tensors files where that package is.

vLLM's build for a CPU without AVX-512 has no product of packed 4-bit weights. With --stand-in plain torch
takes that one call over, from the operands that vLLM has made of the file: its reading is tested, its kernel
is not.
"""

import argparse
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import quantbench
from quantbench.decoding import Decoder, Request
from quantbench.errors import QuantbenchError
from quantbench.methods import METHODS, LoadSettings
from quantbench.sources import load_tokenizer, open_source
from quantbench.tasks.quickeval import load_quickeval

METHODS_TRIED = "int8-head16,int8-g128-head16,int8-g32-head16,int4-sym-head16,int4-asym-head16"
VLLM = Path(__file__).with_name("exported_vllm.py")
Ids = tuple[int, ...]


@dataclass(frozen=True)
class Asked:
    """What every program continues."""

    prompts: list[Ids]
    new: int
    dtype: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--methods", default=METHODS_TRIED)
    parser.add_argument("--formats", default="compressed-tensors,gptq")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--dtype", default="bfloat16", help="of vLLM's activations")
    parser.add_argument("--vllm-python")
    parser.add_argument("--stand-in", action="store_true")
    asked = parser.parse_args()
    texts = Asked(prompts_of(asked.model, asked.prompts), asked.new, asked.dtype)
    for method in asked.methods.split(","):
        for form in asked.formats.split(","):
            with TemporaryDirectory() as made:
                try:
                    folder = quantbench.export(
                        asked.model, method=method, format=form, output_dir=Path(made) / "out", device="cpu"
                    )
                except QuantbenchError as error:
                    print(f"{method} as {form}: not written: {str(error)[:150]}", flush=True)
                    continue
                compare(f"{method} as {form}", folder, texts, asked.vllm_python, asked.stand_in)


def prompts_of(model: str, count: int) -> list[Ids]:
    """The first prompts of the built-in task, as the model's tokenizer has them."""
    tokenizer = load_tokenizer(open_source(model))
    assert tokenizer is not None
    problems = load_quickeval().problems[:count]
    return [tuple(tokenizer.encode(problem.prompt).ids) for problem in problems]


def compare(title: str, folder: Path, asked: Asked, python: str | None, stand_in: bool) -> None:
    """Print a line for each program."""
    source = open_source(str(folder))
    ours = METHODS["stored"].load(source, LoadSettings(device="cpu", dtype="float32")).decoder
    wanted = continued(ours, asked)
    found = by_transformers(folder, asked)
    print(f"{title}, transformers: {told(ours, asked, wanted, found)}", flush=True)
    if isinstance(found, str) and "compressed-tensors" in title:
        found = by_transformers(folder, asked, dequantize=True)
        words = told(ours, asked, wanted, found)
        print(f"{title}, transformers, dequantized: {words}", flush=True)
    if python:
        print(
            f"{title}, vLLM: {told(ours, asked, wanted, by_vllm(folder, asked, python, stand_in))}",
            flush=True,
        )


def continued(decoder: Decoder, asked: Asked) -> list[Ids]:
    requests = [Request(prompt_ids=ids, max_new_tokens=asked.new) for ids in asked.prompts]
    return [found.token_ids for found in decoder.generate(requests, batch_size=8)]


def told(ours: Decoder, asked: Asked, wanted: Sequence[Ids], found: list[Ids] | str) -> str:
    """'7 of 8 answers; ours prefers its token by at most 0.02 nats where they part'."""
    if isinstance(found, str):
        return found
    gaps = [
        gap_at(ours, prompt, mine, theirs)
        for prompt, mine, theirs in zip(asked.prompts, wanted, found, strict=True)
        if mine != theirs
    ]
    text = f"{len(wanted) - len(gaps)} of {len(wanted)} answers are ours"
    return text + (
        f"; where they part ours prefers its token by at most {max(gaps):.3f} nats" if gaps else ""
    )


def gap_at(ours: Decoder, prompt: Ids, mine: Ids, theirs: Ids) -> float:
    """Nats between the two first tokens that differ."""
    place = next(i for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b)
    (logits,) = ours.score([(*prompt, *mine[:place])])
    last = logits[-1].log_softmax(-1)
    return float(last[mine[place]] - last[theirs[place]])


def by_transformers(folder: Path, asked: Asked, *, dequantize: bool = False) -> list[Ids] | str:
    """Greedy tokens in float32, or what it says; `dequantize` asks for a compressed-tensors file's floats."""
    import torch
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig

    settings = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if dequantize else {}
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **settings)
        answers = []
        for ids in asked.prompts:
            made = model.generate(
                torch.tensor([ids]), max_new_tokens=asked.new, do_sample=False, eos_token_id=None
            )
            answers.append(tuple(made[0, len(ids) :].tolist()))
    except (ImportError, RuntimeError, ValueError) as error:
        return f"not loaded: {' '.join(str(error).split())[:150]}"
    return answers


def by_vllm(folder: Path, asked: Asked, python: str, stand_in: bool) -> list[Ids] | str:
    """The same of a process of its own, or the last line of what it says."""
    question = {
        "model": str(folder),
        "prompts": asked.prompts,
        "new": asked.new,
        "dtype": asked.dtype,
        "stand_in": stand_in,
    }
    done = subprocess.run(
        [python, str(VLLM)], input=json.dumps(question), capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS ")]
    if lines:
        return [tuple(ids) for ids in json.loads(lines[-1].removeprefix("ANSWERS "))]
    errors = [line for line in (done.stderr + done.stdout).splitlines() if "Error" in line]
    return f"not loaded: {(errors or ['ended without a word'])[-1][-200:]}"


if __name__ == "__main__":
    main()
