"""NativeDecoder: our Decoder in plain torch, on the CPU or on CUDA, with continuous batching.

Rows leave when they end and waiting requests take their place; rows in flight always fill the first rows of
the cache, so that a step works on plain slices. It captures no graphs; `cuda.decoder` does.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import torch
from torch import Tensor

from quantbench.decoding import FinishReason, Generation, HeldMatrix, Phase, Request
from quantbench.decoding.prompt_rows import PromptRows, fitting
from quantbench.decoding.sampler import Sampler
from quantbench.decoding.sequence import BatchRow, check_ids, check_requests, grouped
from quantbench.engine.composite import JoinedLinear
from quantbench.engine.cpu.layers import cpu_layers
from quantbench.engine.cpu.operations import cpu_operations
from quantbench.engine.cpu.pages import use_large_pages
from quantbench.engine.crossing import OnFinish, OnFirst, in_parts
from quantbench.engine.key_smoothing import kv_kernel, with_smoothing
from quantbench.engine.linear import AS_LINEAR, Linear
from quantbench.engine.model import Model, layer_matrices, own_products_only
from quantbench.engine.operations import Attention
from quantbench.engine.parameters import Parameters
from quantbench.engine.passes import Manner, ends_of_prompts, forced_states
from quantbench.engine.remembered import Remembered
from quantbench.kernels import Kernel, named_kernels
from quantbench.settings import KvFormat

PREFILL_TOKENS = 4096  # of all prompts in one pass: bounds the memory of activations
SCORE_FLOATS = 1 << 26  # logits of one scoring pass: 256 MiB


class NativeDecoder:
    """A loaded model under one method; see `decoding.Decoder` for what each method promises."""

    engine = "native"

    def __init__(
        self,
        parameters: Parameters,
        *,
        device: str,
        dtype: torch.dtype,
        fallback: str | None = None,
        exact_prompts: bool = False,
        warnings: tuple[str, ...] = (),
        kv: KvFormat | None = None,
    ) -> None:
        """`fallback` says why this engine runs where a faster one was hoped for; `warnings` how weights lie.

        `exact_prompts` keeps all bits of prompts' activations where kernels for prompts would drop some; it
        may be changed between calls. What it is here also decides for kernels that drop some of all tokens'.
        `kv` holds keys and values in 8 bits.
        """
        parameters = with_smoothing(parameters, kv)
        config = self.config = parameters.config
        self.device = device
        self.vocab_size = config.vocab_size
        self.max_positions = config.max_positions
        self.exact_prompts, self.warnings = exact_prompts, warnings
        self.cache_bytes: int | None = 0
        self._parameters = parameters
        self._remembered: Remembered | None = None
        operations, reason = cpu_operations(config, device, dtype, exact=exact_prompts)
        self._fallback = fallback or reason
        self._model = Model(parameters, operations, device=torch.device(device), dtype=dtype, kv=kv)
        self._model.stack = cpu_layers(operations, self._model)
        self.batch_invariant = own_products_only(self._model)
        if device == "cpu":
            use_large_pages(tensor for _, tensor in parameters.tensors())

    def generate(
        self,
        requests: Sequence[Request],
        *,
        batch_size: int,
        on_first_token: Callable[[], None] | None = None,
        on_finish: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        check_requests(requests, batch_size=batch_size, max_positions=self.max_positions)
        if not requests:
            return []
        check_ids([request.prompt_ids for request in requests], self.vocab_size)

        def run(asked: Sequence[Request], on_first: OnFirst, on_end: OnFinish) -> list[Generation]:
            rows = min(batch_size, len(asked))
            run = GenerationRun(self._model, asked, rows, on_end, self._manner)
            self.cache_bytes = max(self.cache_bytes or 0, run.cache_bytes)
            return run.finish(on_first)

        with torch.inference_mode():
            return in_parts(self.config, run, requests, on_first_token, on_finish)

    def score(
        self, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int] | None = None
    ) -> Iterator[Tensor]:
        check_ids(sequences, self.vocab_size)
        budget = min(max(1, SCORE_FLOATS // self.vocab_size), PREFILL_TOKENS)
        lengths = iter(prompt_lengths or [0] * len(sequences))
        for group in grouped(sequences, budget):
            prompts = [next(lengths) for _ in group]
            with torch.inference_mode():
                states = forced_states(self._model, group, prompts, self._manner)
                logits = self._model.logits(states)
            yield from torch.split(logits, [len(ids) for ids in group])

    @property
    def _manner(self) -> Manner:
        return Manner(self.exact_prompts, self._remembered)

    def remember_prompts(self, most_bytes: int) -> None:
        exact = self.batch_invariant and not any(rope.long_factors for rope in self.config.ropes)
        self._remembered = Remembered(most_bytes) if most_bytes and exact else None

    def resident_tensors(self) -> Iterable[tuple[str, Tensor]]:
        return self._parameters.tensors()

    def schemes(self) -> Mapping[str, tuple[str, int]]:
        return self._parameters.schemes()

    def kernels(self) -> Sequence[Kernel]:
        model = self._model
        linear = Kernel(operation="linear", name=model.layers[0].qkv.kernel, reason=self._fallback)
        names = {
            "embedding": f"{self._parameters.embedding.weight.format} rows dequantized",
            "prompt linear": AS_LINEAR if self.exact_prompts else model.layers[0].qkv.prompt_kernel,
            "head": model.head.kernel,
            "attention": model.operations.name,
            "activations": str(model.dtype).removeprefix("torch."),
            "teacher forcing": "prompts as prompts, the rest as decoded, bit for bit"
            if self.batch_invariant
            else "prompts as prompts, the rest as decoded, in other shapes",
            "batch invariance": "always: a row's sums have one order in every batch"
            if self.batch_invariant
            else "not promised by plain torch",
        }
        return [linear, *named_kernels(names | kv_kernel(self._parameters, model.kv))]

    def held(self) -> Iterator[HeldMatrix]:
        model, parameters = self._model, self._parameters
        rows = f"{parameters.embedding.weight.format} rows dequantized"
        head = f"; as the head {model.head.kernel}" if parameters.tied else ""
        yield from parameters.embedding.held((rows + head, rows))
        for layer, held in zip(model.layers, parameters.layers, strict=True):
            for product, matrix in zip(layer.products(), held.matrices, strict=True):
                parts = product.products if isinstance(product, JoinedLinear) else (product,)
                yield from matrix.held(*(self._kernels_of(part) for part in parts))
        if not parameters.tied:
            yield from parameters.head.held((model.head.kernel, model.head.kernel))

    def _kernels_of(self, product: Linear) -> tuple[str, str]:
        """What multiplies new tokens, and prompts."""
        as_all = self.exact_prompts or product.prompt_kernel == AS_LINEAR
        return product.kernel, product.kernel if as_all else product.prompt_kernel

    def activation_bits(self) -> Mapping[Phase, int]:
        whole = torch.finfo(self._model.dtype).bits
        matrices = list(layer_matrices(self._model))
        every = (self._model.head, *matrices)
        decoded = min([whole, *(matrix.bits for matrix in every if matrix.bits)])
        prompts = min([decoded, *(matrix.prompt_bits for matrix in matrices if matrix.prompt_bits)])
        return {Phase.PROMPT: decoded if self.exact_prompts else prompts, Phase.DECODE: decoded}

    def step_bytes(self, batch_size: int, context: int) -> tuple[int, int]:
        return self._parameters.step_bytes(batch_size, context, self._model.kv)

    def synchronize(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)


class GenerationRun:
    """One call of `generate` while it lasts."""

    def __init__(
        self,
        model: Model,
        requests: Sequence[Request],
        rows: int,
        on_finish: Callable[[int, Generation], None] | None,
        manner: Manner,
    ) -> None:
        self._model, self._manner = model, manner
        self._waiting = deque(BatchRow(index, request) for index, request in enumerate(requests))
        self._active: list[BatchRow] = []  # row i of the cache belongs to entry i
        self._results: list[Generation | None] = [None] * len(requests)
        self._on_finish = on_finish
        self._limit = rows
        capacity = max(len(r.prompt_ids) + r.max_new_tokens for r in requests)
        model.rotation.reserve(capacity)
        self._cache = model.cache(rows, capacity)
        self._prompts = PromptRows(request.prompt_ids for request in requests)
        width = model.config.hidden_size
        self._ends = torch.empty(rows, width, device=model.device, dtype=model.dtype)  # of each row's prompt

    @property
    def cache_bytes(self) -> int:
        """Of keys and values."""
        return self._cache.nbytes

    def finish(self, on_first_token: Callable[[], None] | None) -> list[Generation]:
        """Run until every request has ended."""
        self._admit()
        if on_first_token is not None:
            on_first_token()
        while self._active or self._waiting:
            if self._active:
                self._decode()
            self._admit()
        return [generation for generation in self._results if generation is not None]

    def _admit(self) -> None:
        """Prefill waiting requests into free rows, a few prompts at a time."""
        while self._waiting and len(self._active) < self._limit:
            next_ones = islice(self._waiting, self._limit - len(self._active))
            count = fitting((row.request.prompt_ids for row in next_ones), PREFILL_TOKENS)
            self._prefill([self._waiting.popleft() for _ in range(count)])

    def _prefill(self, new: list[BatchRow]) -> None:
        first, device = len(self._active), self._model.device
        places = range(first, first + len(new))
        self._fill(places, [row.request.prompt_ids for row in new])
        logits = self._model.logits(self._ends[first : places.stop])
        sampler = Sampler([row.request for row in new], device)
        tokens = sampler(logits, torch.zeros(len(new), dtype=torch.int64, device=device)).tolist()
        self._active += new
        self._take(list(places), tokens)

    def _fill(self, places: Sequence[int], prompts: Sequence[tuple[int, ...]]) -> None:
        """Bring prompts into their rows: each is computed once, and copied for further answers to it."""
        sources = self._prompts.admit(prompts, places)
        planned = list(zip(places, prompts, sources, strict=True))
        if new := [(place, prompt) for place, prompt, source in planned if source is None]:
            rows, texts = [place for place, _ in new], [prompt for _, prompt in new]
            self._ends[rows] = ends_of_prompts(self._model, texts, self._cache, rows, self._manner)
        for place, prompt, source in planned:
            if source is not None and source != place:
                self._cache.move(source, place, len(prompt))
                self._ends[place] = self._ends[source]

    def _decode(self) -> None:
        """Steps with the rows in flight as they are, until one of them ends."""
        model, rows = self._model, self._active
        device = model.device
        tokens = torch.tensor([row.token_ids[-1] for row in rows], device=device)
        counts = torch.tensor([len(row.token_ids) for row in rows], device=device)
        positions = torch.tensor([row.length - 1 for row in rows], device=device)
        sampler = Sampler([row.request for row in rows], device)
        longest, uniform = int(positions.max()), bool((positions == positions[0]).all())
        attend, places = model.operations.token_attention, range(len(rows))
        stops = torch.tensor(sorted(set().union(*(row.request.eos_ids for row in rows))), dtype=torch.int64)
        while rows is self._active:
            attention = attend(self._cache, model.rotation, positions, longest, uniform)
            drawn = self._several(tokens, attention, stops) if sampler.greedy else None
            if drawn is None:
                drawn = sampler(model.logits(model.hidden(tokens, attention)), counts)[None]
                positions += 1
            for step in drawn.tolist():
                self._take(places, step)
            tokens = drawn[-1]
            longest += len(drawn)
            counts += len(drawn)

    def _several(self, tokens: Tensor, attention: Attention, stops: Tensor) -> Tensor | None:
        """As many steps as the rows in flight can take at once, [steps, rows]; None where one is as good."""
        if self._model.stack is None:
            return None
        most = min(row.unwatched for row in self._active)
        return self._model.stack.steps(tokens, attention, stops, most)

    def _take(self, places: Sequence[int], tokens: list[int]) -> None:
        """Give each row its token; rows that end leave, and the last rows move into their places."""
        ended = []
        for place, token in zip(places, tokens, strict=True):
            if reason := self._active[place].take(token):
                ended.append((place, reason))
        if ended:
            self._active = list(self._active)
            for place, reason in reversed(ended):
                self._leave(place, reason)

    def _leave(self, place: int, reason: FinishReason) -> None:
        row = self._active[place]
        last = self._active.pop()
        if last is not row:
            self._active[place] = last
            self._cache.move(len(self._active), place, last.length - 1)
            self._ends[place] = self._ends[len(self._active)]
            self._prompts.move(len(self._active), place)
        generation = row.finish(reason)
        self._results[row.index] = generation
        if self._on_finish is not None:
            self._on_finish(row.index, generation)
