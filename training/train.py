"""Trains the built-in model from scratch on the generator's training part and writes its folder.

    python -m training.train FOLDER        # on a GPU: minutes

Worker processes make the data while the network trains. The outcome depends on the arguments, but for
the order of additions on the device. The folder gets everything but the tokenizer.
"""

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from training.corpus import ROW_TOKENS, SOLUTION, Chunk, make_chunk
from training.examples import Part
from training.network import Network, Shape
from training.quickeval import generate_problems
from training.score import QUANTIZERS, complete, passes, quantized
from training.tokenizer import FOLDER

PROMPT_WEIGHT = 0.1  # of a prompt's token in the loss; a solution's is 1
WARMUP_STEPS = 100


def main() -> None:
    arguments = _parse()
    torch.manual_seed(arguments.seed)
    context = multiprocessing.get_context("fork")
    with context.Pool(arguments.workers) as pool, context.Pool(min(4, arguments.workers)) as scorers:
        run = Run(arguments, pool, scorers)
        run.train()
        run.finish()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the built-in model.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--rows", type=int, default=128, help=f"rows of {ROW_TOKENS} tokens a step")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--intermediate", type=int, default=384)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--look-every", type=int, default=1250, help="steps between looks at the score")
    parser.add_argument("--seconds", type=float, default=math.inf, help="shrink --steps to fit")
    parser.add_argument("--validation", type=int, default=128, help="validation problems")
    return parser.parse_args()


class Run:
    """One training: data, network, optimizer, log."""

    def __init__(self, arguments: argparse.Namespace, pool: Pool, scorers: Pool) -> None:
        self.arguments = arguments
        self.pool = pool
        self.scorers = scorers  # apart, so that a look does not wait behind chunks
        self.start = time.perf_counter()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer_file = str(FOLDER / "tokenizer.json")
        self.tokenizer = Tokenizer.from_file(self.tokenizer_file)
        self.steps = arguments.steps
        self.chunks = self._chunks()
        self.problems = scorers.map_async(
            _problems, [(Part.EVALUATION, 164), (Part.VALIDATION, arguments.validation)]
        )
        self.digest = hashlib.sha256()
        shape = Shape(
            hidden_size=arguments.hidden,
            intermediate_size=arguments.intermediate,
            num_attention_heads=arguments.hidden // 64,
            num_hidden_layers=arguments.layers,
            vocab_size=self.tokenizer.get_vocab_size(),
        )
        self.network = Network(shape).to(self.device)
        self.optimizer = _optimizer(self.network, arguments, self.device)
        self.log: dict[str, Any] = {"losses": [], "looks": []}
        self.solution_tokens = 0
        self.examples = 0

    def say(self, text: str) -> None:
        print(
            f"{datetime.now(UTC):%H:%M:%S} {time.perf_counter() - self.start:7.1f} s  {text}",
            flush=True,
        )

    def _chunks(self) -> Iterator[Chunk]:
        make = partial(make_chunk, self.arguments.seed, tokenizer_file=self.tokenizer_file)
        numbers = iter(range(1_000_000))
        waiting = [self.pool.apply_async(make, (next(numbers),)) for _ in range(self.arguments.workers * 6)]
        while True:
            chunk = waiting.pop(0).get()
            waiting.append(self.pool.apply_async(make, (next(numbers),)))
            yield chunk

    def _batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        rows: list[list[np.ndarray[Any, Any]]] = [[], [], []]
        count, size = 0, self.arguments.rows
        for chunk in self.chunks:
            self.digest.update(chunk.ids.tobytes())
            self.solution_tokens += chunk.solution_tokens
            self.examples += int(chunk.documents.max(axis=1).sum())
            for kept, array in zip(rows, (chunk.ids, chunk.documents, chunk.kinds), strict=True):
                kept.append(array)
            count += len(chunk.ids)
            while count >= size:
                joined = [np.concatenate(kept) for kept in rows]
                yield tuple(self._send(array[:size]) for array in joined)  # type: ignore[misc]
                rows = [[array[size:]] for array in joined]
                count -= size

    def _send(self, array: "np.ndarray[Any, Any]") -> Tensor:
        tensor = torch.from_numpy(array.astype(np.int32))
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device == "cuda" else tensor

    def train(self) -> None:
        step_loss: Callable[..., Tensor] = partial(loss_of, self.network)
        self._compile(step_loss)
        began, waited = time.perf_counter(), 0.0
        batches = self._batches()
        step = 0
        while step < self.steps:
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            self._set_rate(step)
            loss = self._step(step_loss, batch)
            step += 1
            if step % 100 == 0 or step == self.steps:
                value = float(loss)
                self.log["losses"].append((step, round(value, 5)))
                spent = time.perf_counter() - began
                self.say(
                    f"step {step}/{self.steps} loss {value:.4f}, {spent / step * 1e3:.1f} ms a step, "
                    f"waited {waited:.1f} s"
                )
                if step == 200:
                    fit = (
                        int(200 + (self.arguments.seconds - spent) / (spent / step))
                        if math.isfinite(self.arguments.seconds)
                        else self.steps
                    )
                    self.steps = max(300, min(self.steps, fit))
            if step % self.arguments.look_every == 0 and step < self.steps:
                self._look(f"step {step}")
        self.log["train_s"] = time.perf_counter() - began
        self.log["waited_s"] = waited

    def _compile(self, step_loss: Callable[..., Tensor]) -> None:
        """Compile the layers on a CUDA device; a failure leaves the plain ones."""
        if self.device != "cuda":
            return
        state = {name: value.clone() for name, value in self.network.state_dict().items()}
        rows = self.arguments.rows
        ids = torch.zeros(rows, ROW_TOKENS, dtype=torch.int32, device=self.device)
        ones = torch.ones_like(ids)
        try:
            for layer in self.network.model.layers:
                layer.compile(dynamic=False)
            for _ in range(2):
                step_loss(ids, ones, ones).backward()
        except Exception as error:  # a compiler's failure must not cost the run
            self.say(f"no compilation: {error!r}"[:300])
            for layer in self.network.model.layers:
                layer._compiled_call_impl = None
        self.optimizer.zero_grad(set_to_none=True)
        self.network.load_state_dict(state)
        torch.cuda.synchronize()
        self.say("compiled")

    def _step(self, step_loss: Callable[..., Tensor], batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        loss = step_loss(*batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def _set_rate(self, step: int) -> None:
        """Linear warm-up, then cosine down to a hundredth."""
        warm = min(1.0, (step + 1) / WARMUP_STEPS)
        done = step / self.steps
        scale = warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.arguments.learning_rate * scale

    def _look(self, label: str, names: tuple[str, ...] = ()) -> None:
        """pass@1 on both held-out sets, undamaged and under simulated quantizing."""
        plain = Network(self.network.shape).to(self.device)
        plain.load_state_dict(self.network.state_dict())
        results = {"fp32": self._pass_rates(plain)}
        for name in names:
            with quantized(plain, name):
                results[name] = self._pass_rates(plain)
        self.log["looks"].append({"at": label, **results})
        self.say(f"{label}: " + json.dumps(results))
        if label != "final":
            save(self.network, self.log, self.arguments.folder / label.replace(" ", "-"))

    def _pass_rates(self, network: Network) -> dict[str, float]:
        rates = {}
        for part, rows in zip(("quickeval", "validation"), self.problems.get(), strict=True):
            texts = complete(network, self.tokenizer, [row["prompt"] for row in rows])
            passed = self.scorers.map(passes, zip(rows, texts, strict=True))
            rates[part] = round(sum(passed) / len(passed), 4)
            self.log.setdefault("samples", {})[part] = texts[:20]
        return rates

    def finish(self) -> None:
        """A last look, the overlap with the evaluation (there must be none), and the files."""
        self._look("final", tuple(QUANTIZERS))
        arguments = {k: str(v) for k, v in vars(self.arguments).items()}
        self.log |= {
            "steps": self.steps,
            "arguments": arguments,
            "shape": asdict(self.network.shape),
            "parameters": self.network.parameter_count(),
            "examples": self.examples,
            "solution_tokens": self.solution_tokens,
            "data_sha256": self.digest.hexdigest(),
            "hardware": torch.cuda.get_device_name() if self.device == "cuda" else "CPU",
            "torch": torch.__version__,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        save(self.network, self.log, self.arguments.folder)
        self.say("saved")


def _problems(job: tuple[Part, int]) -> list[dict[str, str]]:
    part, count = job
    return [problem.row(number) for number, problem in enumerate(generate_problems(part, count))]


def _optimizer(network: Network, arguments: argparse.Namespace, device: str) -> torch.optim.AdamW:
    matrices = [p for p in network.parameters() if p.dim() == 2]
    others = [p for p in network.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": arguments.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=arguments.learning_rate, betas=(0.9, 0.95), fused=device == "cuda")


def loss_of(network: Network, ids: Tensor, documents: Tensor, kinds: Tensor) -> Tensor:
    """Weighted cross entropy of every next token of the same document; all int32 [rows, length]."""
    rows, length = ids.shape
    ids = ids.long()
    index = torch.arange(length, device=ids.device).expand(rows, length)
    starts = F.pad(documents[:, 1:] != documents[:, :-1], (1, 0), value=True)
    positions = index - torch.where(starts, index, 0).cummax(1).values
    same = documents[:, :, None] == documents[:, None, :]
    mask = (same & torch.ones(length, length, dtype=torch.bool, device=ids.device).tril())[:, None]
    with torch.autocast(ids.device.type, dtype=torch.bfloat16):
        logits = network(ids, positions, mask)
    weights = torch.where(kinds[:, 1:] == SOLUTION, 1.0, PROMPT_WEIGHT)
    weights = weights * ((documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] > 0))
    losses = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


def save(network: Network, log: dict[str, Any], folder: Path) -> None:
    """model.safetensors in float16, config.json, generation_config.json and the log."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.half().contiguous().cpu() for name, value in network.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    shape = replace(network.shape)
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2) + "\n")
    generation = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0, "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    (folder / "training.json").write_text(json.dumps(log, indent=1) + "\n")


if __name__ == "__main__":
    main()
