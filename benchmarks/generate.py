"""Tokens a second on the built-in model and task: our engine beside transformers' generate, in one run.

    python benchmarks/generate.py [--rounds 3] [--batch-size 64] [--threads N] [--sorted]

Both write greedy answers to all 164 prompts of quickeval in float32, with the same limit of new tokens.
transformers gets left-padded batches in the task's order, as `quantbench run` gives them, or with --sorted by
length, which spares it padding; it ends a batch when all its rows have ended. Our engine is called as
`quantbench run` calls it. Rounds alternate, so that other load falls on
both. Only tokens up to a row's end are counted. Loading is not timed, a first batch of each warms up.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer

from quantbench.decoding import Request
from quantbench.methods import METHODS, LoadSettings
from quantbench.sources import BUILTIN_FOLDER, eos_ids, load_tokenizer, open_source
from quantbench.tasks.quickeval import load_quickeval

Answers = list[tuple[int, ...]]


def main() -> None:
    """Print each round, the medians and how often both wrote the same answer."""
    options = read_options()
    torch.set_num_threads(options.threads)
    tokenizer = load_tokenizer(open_source("builtin"))
    assert tokenizer is not None
    prompts = read_prompts(tokenizer)
    runs = {"quantbench": native(options), "transformers": transformers(options)}
    print(f"{len(prompts)} prompts, batch {options.batch_size}, {options.threads} threads, load {load()}")
    rates: dict[str, list[float]] = {name: [] for name in runs}
    answers: dict[str, Answers] = {}
    for run in runs.values():
        run(prompts[: options.batch_size])
    for number in range(options.rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            answers[name] = run(prompts)
            seconds = time.perf_counter() - started
            tokens = sum(len(one) for one in answers[name])
            rates[name].append(tokens / seconds)
            print(f"round {number + 1} {name:12} {tokens} tokens {seconds:6.2f} s {tokens / seconds:7.0f}/s")
    ours, theirs = (statistics.median(rates[name]) for name in runs)
    same = sum(a == b for a, b in zip(*answers.values(), strict=True))
    print(f"median {ours:.0f} beside {theirs:.0f} tokens/s: {ours / theirs:.1f} times")
    print(f"same answer {same} of {len(prompts)}; load {load()}")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Our engine beside transformers' generate.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--sorted", action="store_true", help="give transformers its prompts by length")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def read_prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """Token ids of every prompt, as the task's protocol makes them."""
    task = load_quickeval()
    return [tokenizer.encode(task.protocol.prompt(problem)).ids for problem in task.problems]


def native(options: argparse.Namespace) -> Callable[[Sequence[list[int]]], Answers]:
    """Our engine's generating as a function of prompts."""
    source = open_source("builtin")
    loaded = METHODS["fp32"].load(
        source, LoadSettings(device="cpu", dtype="float32", threads=options.threads)
    )
    ends, limit = eos_ids(source), load_quickeval().protocol.max_new_tokens

    def run(prompts: Sequence[list[int]]) -> Answers:
        requests = [Request(prompt_ids=tuple(p), max_new_tokens=limit, eos_ids=ends) for p in prompts]
        return [one.token_ids for one in loaded.decoder.generate(requests, batch_size=options.batch_size)]

    return run


def transformers(options: argparse.Namespace) -> Callable[[Sequence[list[int]]], Answers]:
    """transformers' generating as a function of prompts."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(BUILTIN_FOLDER, dtype=torch.float32)
    limit = load_quickeval().protocol.max_new_tokens

    def run(prompts: Sequence[list[int]]) -> Answers:
        answers: dict[int, tuple[int, ...]] = {}
        order = list(range(len(prompts)))
        if options.sorted:
            order.sort(key=lambda i: len(prompts[i]))
        for start in range(0, len(order), options.batch_size):
            batch = order[start : start + options.batch_size]
            width = max(len(prompts[i]) for i in batch)
            ids = torch.tensor([[0] * (width - len(prompts[i])) + prompts[i] for i in batch])
            mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in batch])
            with torch.inference_mode():
                out = model.generate(ids, attention_mask=mask, max_new_tokens=limit, do_sample=False)
            for row, index in zip(out[:, width:].tolist(), batch, strict=True):
                answers[index] = tuple(row[: row.index(0)] if 0 in row else row)
        return [answers[i] for i in range(len(prompts))]

    return run


def load() -> str:
    """The machine's load averages."""
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


if __name__ == "__main__":
    main()
