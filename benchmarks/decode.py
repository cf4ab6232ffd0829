"""Decoding speed of every method in one run: our engine, transformers eager and other peers beside it.

    python benchmarks/decode.py
    python benchmarks/decode.py --model random:llama-3.1-8b --batches 1,64 --contexts 4096
    python benchmarks/decode.py --peers transformers,vllm,llama.cpp --json table.json

One row per engine, method and workload, printed as it is measured. Workloads: each of --batches with prompts
of --prompt tokens (batch 164, 100-200 tokens and 256 new ones is HumanEval's shape), and each of --contexts
at batch 1, the context being that in the middle of the decode. Lengths are forced; medians of repetitions.

- decode: tokens/s after the first token of every row; end to end: new tokens over prefill and decode.
- mbu: bytes that a step must read, per second, over the read bandwidth measured in this process.
- peak GB: the allocator's peak while running, less what the references of the last columns hold.
- start-up s: loading, and what the first run of this workload took longer than a later one (compiling,
  capturing); outside all other figures.
- error: of teacher-forced logits, relative, against the same weights in float32 (fp16: transformers).
- loss: the same against the unquantized weights in float32 by transformers: what the method itself loses.
- worst token: how far the reference's logit of a token that was generated in the timed runs stays below its
  best one, in standard deviations of the logits; near ties give a few hundredths, a wrong kernel gives units.

A row repeats until --repetitions or --row-seconds are reached; a slow peer may be given fewer tokens
(--peer-new), which its rows then say. Nothing is written but --json.
"""

import argparse
import gc
import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import torch

from decode_peers import PEERS, Contender, Settings, of_decoder, peer_entries
from decode_table import Row, Table
from quantbench.decoding import Decoder, Request
from quantbench.engine.cpu.build import load_kernels
from quantbench.measure import measure_bandwidth
from quantbench.methods import METHODS, LoadSettings
from quantbench.settings import KvFormat
from quantbench.sources import ModelSource, open_source

ERROR_TOKENS = 96  # of the text whose logits are compared
CHECKED_ROWS, CHECKED_CONTEXT = 4, 1024  # of the generated texts that are compared, at most


@dataclass(frozen=True, slots=True)
class Workload:
    """`batch` prompts of `shortest` to `longest` tokens, `new` tokens each."""

    batch: int
    shortest: int
    longest: int
    new: int

    def requests(self, vocabulary: int) -> list[Request]:
        draw = random.Random(f"{self.batch}:{self.longest}")
        lengths = [draw.randint(self.shortest, self.longest) for _ in range(self.batch)]
        return [
            Request(prompt_ids=tuple(draw.randrange(vocabulary) for _ in range(n)), max_new_tokens=self.new)
            for n in lengths
        ]


class Remembered:
    """A source whose tensors are read or drawn once, as each method and each reference loads all of them."""

    def __init__(self, source: ModelSource) -> None:
        self._source = source
        self.tensor = cache(source.tensor)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


@dataclass(slots=True)
class Reference:
    """What a decoder's figures are checked against; no decoder: nothing is."""

    decoder: Decoder | None = None
    exact: tuple[list[int], torch.Tensor] | None = None  # a text, its logits by transformers in float32
    held_bytes: int = 0


def main() -> None:
    options = parse()
    source = Remembered(open_source(options.model))
    bandwidth = measure_bandwidth(options.device).read_bytes_per_s
    where = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else "CPU"
    print(f"{options.model} on {where}, torch {torch.__version__}: reads {bandwidth / 1e12:.3f} TB/s")
    facts = {"model": options.model, "device": where, "torch": torch.__version__}
    table = Table(options.json, facts | {"read_bytes_per_s": bandwidth})
    exact = None if options.no_error else exact_logits(source, options.device)
    for contender, reference in contenders(source, options, exact):
        new = options.new if contender.engine == "native" else min(options.new, options.peer_new)
        for workload in workloads(options, new):
            if reason := contender.refuses(workload.batch, workload.longest + workload.new):
                print(
                    f"({contender.engine} {contender.method}, batch {workload.batch}: {reason})", flush=True
                )
                continue
            table.add(measured(contender, workload, reference, bandwidth, options))
        del contender, reference  # before the next is loaded


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="random:qwen2.5-0.5b")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float16", help="of our engine's activations")
    parser.add_argument("--methods", default="fp16,int8,int4")
    parser.add_argument("--peers", default="transformers", help=f"of {', '.join(PEERS)}; '' for none")
    parser.add_argument("--batches", default="1,8,64,164")
    parser.add_argument("--prompt", default="100-200", help="tokens of a prompt: N or N-M")
    parser.add_argument("--contexts", default="4096,16384", help="at batch 1; '' for none")
    parser.add_argument("--new", type=int, default=256, help="new tokens of each row")
    parser.add_argument("--peer-new", type=int, default=256, help="the same for peers")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--row-seconds", type=float, default=6, help="after which no repetition begins")
    parser.add_argument("--kv", type=KvFormat, choices=[*KvFormat], help="our engine's cache in 8 bits")
    parser.add_argument("--batch-invariant", action="store_true", help="our engine's rows with it on")
    parser.add_argument("--no-error", action="store_true", help="skip the comparisons with float32")
    parser.add_argument("--json", type=Path, help="file for the rows, written anew after each")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip()]


def workloads(options: argparse.Namespace, new: int) -> list[Workload]:
    """Batches first, then long contexts."""
    low, _, high = options.prompt.partition("-")
    found = [Workload(batch, int(low), int(high or low), new) for batch in numbers(options.batches)]
    prompts = [max(1, context - new // 2) for context in numbers(options.contexts)]
    return [*found, *(Workload(1, prompt, prompt, new) for prompt in prompts)]


def contenders(
    source: ModelSource, options: argparse.Namespace, exact: tuple[list[int], torch.Tensor] | None
) -> Iterator[tuple[Contender, Reference]]:
    """Each one loaded when its turn comes and dropped after it, with what it is checked against."""
    settings = LoadSettings(
        device=options.device,
        dtype=options.dtype,
        engine="native",
        batch_invariant=options.batch_invariant,
        kv=options.kv,
    )
    for method in options.methods.split(","):
        reference = Reference() if exact is None else reference_of(source, method, options.device)
        reference.exact = exact
        yield (
            of_decoder("native", method, lambda m=method: METHODS[m].load(source, settings).decoder),
            reference,
        )
        del reference
        release(options.device)
    longest = max(workload.longest + workload.new for workload in workloads(options, options.peer_new))
    with ExitStack() as stack:
        peer_settings = Settings(source, options.device, options.methods.split(","), longest, stack)
        for contender in peer_entries(options.peers.split(","), peer_settings):
            yield contender, Reference(exact=exact)
            release(options.device)


def release(device: str) -> None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def reference_of(source: ModelSource, method: str, device: str) -> Reference:
    """A decoder of the method's own weights in float32: plain torch, or transformers for unquantized ones."""
    before = allocated(device)
    if METHODS[method].unsupported_reason("transformers"):
        settings, name = LoadSettings(device=device, dtype="float32", engine="native"), method
    else:
        settings, name = LoadSettings(device=device, dtype="float32", engine="transformers"), "fp32"
    with without_cpu_kernels():
        decoder = METHODS[name].load(source, settings).decoder
    return Reference(decoder=decoder, held_bytes=allocated(device) - before)


@contextmanager
def without_cpu_kernels() -> Iterator[None]:
    """What is loaded meanwhile runs in plain torch on a CPU too."""
    os.environ["QUANTBENCH_CPU_KERNELS"] = "off"
    load_kernels.cache_clear()
    yield
    del os.environ["QUANTBENCH_CPU_KERNELS"]
    load_kernels.cache_clear()


def allocated(device: str) -> int:
    return torch.cuda.memory_allocated() if device.startswith("cuda") else 0


def measured(
    contender: Contender,
    workload: Workload,
    reference: Reference,
    bandwidth: float,
    options: argparse.Namespace,
) -> Row:
    """One row: a first run, then repetitions until there are enough or the row's seconds are over."""
    requests = workload.requests(contender.vocab_size)
    cuda = options.device.startswith("cuda")
    began = time.perf_counter()
    contender.run(requests)
    first_run_s = time.perf_counter() - began
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    runs = []
    end = time.perf_counter() + options.row_seconds
    while not runs or (len(runs) < options.repetitions and time.perf_counter() < end):
        runs.append(contender.run(requests))
    peak = torch.cuda.max_memory_allocated() - reference.held_bytes if cuda and contender.in_process else None
    prefill_s, decode_s = (median(run.prefill_s for run in runs), median(run.decode_s for run in runs))
    whole_s = median(run.prefill_s + run.decode_s for run in runs)
    prompt_tokens = sum(len(request.prompt_ids) for request in requests)
    context = prompt_tokens // workload.batch + workload.new // 2
    step_s = decode_s / (workload.new - 1)
    step_bytes = contender.step_bytes(workload.batch, context) if contender.step_bytes else None
    return Row(
        engine=contender.engine,
        method=contender.method,
        batch=workload.batch,
        context=context,
        new=workload.new,
        decode_tokens_per_s=workload.batch / step_s,
        end_to_end_tokens_per_s=workload.batch * workload.new / whole_s,
        mbu=None if step_bytes is None else sum(step_bytes) / step_s / bandwidth,
        prefill_tokens_per_s=prompt_tokens / prefill_s,
        peak_bytes=peak,
        startup_s=contender.load_s + max(0.0, first_run_s - whole_s),
        error=contender.once("error", lambda decoder: own_error(decoder, reference)),
        loss=contender.once("loss", lambda decoder: relative_error(decoder, reference.exact)),
        worst_token=worst_token(requests, runs[-1].token_ids, context, reference.decoder),
    )


def exact_logits(source: ModelSource, device: str) -> tuple[list[int], torch.Tensor]:
    """A text of random tokens and its logits by transformers in float32, on the CPU."""
    settings = LoadSettings(device=device, dtype="float32", engine="transformers")
    decoder = METHODS["fp32"].load(source, settings).decoder
    draw = random.Random(0)
    text = [draw.randrange(decoder.vocab_size) for _ in range(ERROR_TOKENS)]
    (logits,) = decoder.score([text])
    del decoder
    release(device)
    return text, logits.float().cpu()


def own_error(decoder: Decoder, reference: Reference) -> float | None:
    """Against the reference decoder, whose weights are the same; for unquantized peers that is `exact`."""
    if reference.decoder is None or reference.exact is None:
        return relative_error(decoder, reference.exact)
    text = reference.exact[0]
    (wanted,) = reference.decoder.score([text])
    return relative_error(decoder, (text, wanted.float().cpu()))


def relative_error(decoder: Decoder, exact: tuple[list[int], torch.Tensor] | None) -> float | None:
    """Norm of the difference over the norm of the exact logits."""
    if exact is None:
        return None
    text, wanted = exact
    (found,) = decoder.score([text])
    return float((found.cpu() - wanted).norm() / wanted.norm())


def worst_token(
    requests: Sequence[Request],
    answers: Sequence[tuple[int, ...]],
    context: int,
    reference: Decoder | None,
) -> float | None:
    """See the module; over the first CHECKED_ROWS rows."""
    if reference is None or not answers or context > CHECKED_CONTEXT:
        return None
    pairs = list(zip(requests, answers, strict=True))[:CHECKED_ROWS]
    worst = 0.0
    texts = [request.prompt_ids + answer for request, answer in pairs]
    for (request, answer), scores in zip(pairs, reference.score(texts), strict=True):
        rows = scores[len(request.prompt_ids) - 1 : -1]
        chosen = torch.tensor(answer, device=rows.device)
        short = rows.amax(1) - rows.gather(1, chosen[:, None])[:, 0]
        worst = max(worst, float((short / rows.std(1)).max()))
    return worst


if __name__ == "__main__":
    main()
