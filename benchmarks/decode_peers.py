"""What benchmarks/decode.py measures: our engine and its peers behind one small interface.

A peer that is not installed, or cannot run the model here, is left out with a sentence. transformers runs
`generate` eagerly in fp16. vLLM runs fp16 with weights of its own (random: speeds do not depend on them), its
decode time is a whole run less a run of one token. llama.cpp runs batch 1 with the source's weights as F16,
Q8_0 and Q4_0, written into a temporary folder.
"""

import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantbench.decoding import Decoder, Request
from quantbench.methods import METHODS, LoadSettings
from quantbench.sources import ModelSource

PEERS = ("transformers", "vllm", "llama.cpp")


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds to the first token of every row and from there to the last; the new tokens where known."""

    prefill_s: float
    decode_s: float
    token_ids: tuple[tuple[int, ...], ...] = ()


@dataclass(slots=True, kw_only=True)
class Contender:
    """One loaded engine under one method."""

    engine: str
    method: str
    load_s: float
    vocab_size: int
    max_positions: int
    run: Callable[[Sequence[Request]], Run]
    step_bytes: Callable[[int, int], tuple[int, int]] | None = None
    decoder: Decoder | None = None
    most_rows: int | None = None
    in_process: bool = False  # its memory is torch's in this process
    _known: dict[str, float | None] = field(default_factory=dict)

    def refuses(self, batch: int, length: int) -> str | None:
        """Why a workload cannot run, as a phrase."""
        if self.most_rows is not None and batch > self.most_rows:
            return f"only up to {self.most_rows} rows are measured"
        if length > self.max_positions:
            return f"{length} positions are needed, it has {self.max_positions}"
        return None

    def once(self, name: str, compute: Callable[[Decoder], float | None]) -> float | None:
        """A figure of the decoder itself, computed the first time; None without one."""
        if self.decoder is not None and name not in self._known:
            self._known[name] = compute(self.decoder)
        return self._known.get(name)


def of_decoder(engine: str, method: str, load: Callable[[], Decoder]) -> Contender:
    """Any Decoder."""
    began = time.perf_counter()
    decoder = load()
    decoder.synchronize()
    loaded = time.perf_counter() - began

    def run(requests: Sequence[Request]) -> Run:
        marks: list[float] = []
        decoder.synchronize()
        start = time.perf_counter()
        found = decoder.generate(
            requests, batch_size=len(requests), on_first_token=lambda: marks.append(time.perf_counter())
        )
        decoder.synchronize()
        end = time.perf_counter()
        return Run(marks[0] - start, end - marks[0], tuple(one.token_ids for one in found))

    return Contender(
        engine=engine,
        method=method,
        load_s=loaded,
        vocab_size=decoder.vocab_size,
        max_positions=decoder.max_positions,
        run=run,
        step_bytes=decoder.step_bytes,
        decoder=decoder,
        in_process=True,
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """What the peers are to run."""

    source: ModelSource
    device: str
    methods: list[str]
    longest: int  # tokens of a row, at most
    stack: ExitStack  # closed when all is measured


def peer_entries(names: Sequence[str], settings: Settings) -> Iterator[Contender]:
    """Each named peer that is here, one method at a time."""
    for name in filter(None, names):
        if name not in PEERS:
            print(f"({name} is not a peer that this script knows; it knows {', '.join(PEERS)})")
        elif importlib.util.find_spec({"llama.cpp": "llama_cpp"}.get(name, name)) is None:
            print(f"({name} is not installed: left out)", flush=True)
        else:
            yield from MAKERS[name](settings)


def transformers_peers(settings: Settings) -> Iterator[Contender]:
    wanted = LoadSettings(device=settings.device, dtype="float16", engine="transformers")
    yield of_decoder("transformers", "fp16", lambda: METHODS["fp16"].load(settings.source, wanted).decoder)


def vllm_peers(settings: Settings) -> Iterator[Contender]:
    """Its own start-up (graph capture) is part of loading it."""
    if not settings.device.startswith("cuda"):
        print("(vllm is measured on CUDA alone: left out)", flush=True)
        return
    from vllm import LLM, SamplingParams

    folder = Path(settings.stack.enter_context(tempfile.TemporaryDirectory()))
    (folder / "config.json").write_text(json.dumps(settings.source.config))
    began = time.perf_counter()
    model = LLM(
        model=str(folder),
        skip_tokenizer_init=True,
        load_format="dummy",
        dtype="float16",
        max_model_len=settings.longest,
        enable_prefix_caching=False,
        gpu_memory_utilization=0.5,
    )
    loaded = time.perf_counter() - began

    def seconds(requests: Sequence[Request], new: int) -> float:
        prompts: Any = [{"prompt_token_ids": list(request.prompt_ids)} for request in requests]
        forced = SamplingParams(max_tokens=new, temperature=0.0, ignore_eos=True, detokenize=False)
        start = time.perf_counter()
        model.generate(prompts, forced, use_tqdm=False)
        return time.perf_counter() - start

    def run(requests: Sequence[Request]) -> Run:
        first = seconds(requests, 1)
        return Run(first, seconds(requests, requests[0].max_new_tokens) - first)

    config = settings.source.config
    yield Contender(
        engine="vllm",
        method="fp16",
        load_s=loaded,
        vocab_size=config["vocab_size"],
        max_positions=settings.longest,
        run=run,
    )


def llama_peers(settings: Settings) -> Iterator[Contender]:
    """Only Qwen2 is written in its file format here."""
    import llama_cpp

    from cpu_decode import LLAMA_TYPES, llama_there, write_gguf

    on_gpu = settings.device.startswith("cuda")
    reason = None
    if not llama_there():
        reason = "the package gguf is not installed"
    elif settings.source.config.get("model_type") != "qwen2":
        reason = "this script writes its files for Qwen2 alone"
    elif on_gpu and not llama_cpp.llama_supports_gpu_offload():
        reason = "it was built without a GPU"
    if reason is not None:
        print(f"(llama.cpp: {reason}: left out)", flush=True)
        return
    for method in filter(LLAMA_TYPES.__contains__, settings.methods):
        folder = Path(settings.stack.enter_context(tempfile.TemporaryDirectory()))
        path = folder / "model.gguf"
        write_gguf(settings.source, path, LLAMA_TYPES[method])
        yield llama_contender(path, f"{method} ({LLAMA_TYPES[method]})", settings, on_gpu)
        path.unlink()


def llama_contender(path: Path, method: str, settings: Settings, on_gpu: bool) -> Contender:
    """One file of llama.cpp, all layers on the GPU where there is one."""
    import llama_cpp

    from cpu_decode import best_token

    began = time.perf_counter()
    model = llama_cpp.Llama(
        str(path),
        n_ctx=settings.longest,
        n_batch=512,
        n_gpu_layers=-1 if on_gpu else 0,
        flash_attn=on_gpu,
        verbose=False,
    )
    loaded = time.perf_counter() - began

    def run(requests: Sequence[Request]) -> Run:
        (request,) = requests
        model.reset()
        start = time.perf_counter()
        model.eval(list(request.prompt_ids))
        tokens, first = [best_token(llama_cpp, model)], time.perf_counter()
        for _ in range(request.max_new_tokens - 1):
            model.eval(tokens[-1:])
            tokens.append(best_token(llama_cpp, model))
        return Run(first - start, time.perf_counter() - first, (tuple(tokens),))

    return Contender(
        engine="llama.cpp",
        method=method,
        load_s=loaded,
        vocab_size=settings.source.config["vocab_size"],
        max_positions=settings.longest,
        run=run,
        most_rows=1,
    )


MAKERS: dict[str, Callable[[Settings], Iterator[Contender]]] = {
    "transformers": transformers_peers,
    "vllm": vllm_peers,
    "llama.cpp": llama_peers,
}
