"""CudaDecoder: our Decoder at the speed of the device, for 16-bit activations on CUDA with Triton.

Weights lie once in the kernels' layout; a decode step is one captured graph for each number of rows in use;
prompts run without padding. What it cannot run, `support` says, and the plain torch engine does.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

import torch
from torch import Tensor

from quantbench.decoding import Generation, HeldMatrix, Phase, Point, Request, held_scheme
from quantbench.decoding.sequence import check_ids, check_requests, grouped
from quantbench.engine.crossing import OnFinish, OnFirst, in_parts
from quantbench.engine.cuda.ahead import ask_for_kernels
from quantbench.engine.cuda.decode_attention.launch import attention_name
from quantbench.engine.cuda.few_rows.launch import (
    Run,
    few_row_products,
    machine_code,
    noting,
    taken_scheme,
    takes_layers,
)
from quantbench.engine.cuda.few_rows.variant import MAX_TOKENS, Variant
from quantbench.engine.cuda.graphs import Step, forget_workspaces
from quantbench.engine.cuda.operations import TRITON, StepOperations
from quantbench.engine.cuda.packing import take_over
from quantbench.engine.cuda.persistent.from_blocks import better_as_rows
from quantbench.engine.cuda.persistent.shape import rows_for
from quantbench.engine.cuda.persistent_step import PersistentStep, first_error, persistent_step
from quantbench.engine.cuda.prefill import PromptPass
from quantbench.engine.cuda.products import Products, TiledProducts
from quantbench.engine.cuda.prompt_layout import lay_out
from quantbench.engine.cuda.runner import ModelRunner
from quantbench.engine.cuda.scheduler import PREFILL_TOKENS, Scheduler
from quantbench.engine.cuda.state import StepState, allocate_state
from quantbench.engine.cuda.told import multiplied_by
from quantbench.engine.cuda.triton.launch import on_device
from quantbench.engine.cuda.triton.rotate import Tables, prompt_tables, rotation_tables
from quantbench.engine.cuda.triton.together import compile_together
from quantbench.engine.cuda.triton_step import TritonStep
from quantbench.engine.key_smoothing import kv_kernel, with_smoothing
from quantbench.engine.linear import AS_LINEAR
from quantbench.engine.parameters import ExpertParameters, Parameters
from quantbench.engine.plain_layers import beyond_plain_layers
from quantbench.kernels import Kernel, find_kernel, named_kernels
from quantbench.settings import KvFormat

SCORE_FLOATS = 1 << 28  # logits of one scoring pass: 1 GiB
ROOM = 64  # a row's capacity is a multiple of it, so that requests of like length share their graphs
# takes products over at so many tokens, with something in place of its launches
FewRows = Callable[[Parameters, Products, int, Run | None], Products]


def load_cuda(
    parameters: Parameters,
    *,
    batch_invariant: bool = False,
    warnings: tuple[str, ...] = (),
    kv: KvFormat | None = None,
) -> "CudaDecoder":
    """A decoder that takes over the parameters: of what it repacks no more than a matrix is there twice."""
    model = take_over(parameters, as_rows=not batch_invariant and better_as_rows(parameters))
    torch.cuda.empty_cache()
    return CudaDecoder(
        model,
        persistent_step=persistent_step(rows_for(model, few_rows=takes_layers(model, 1))),
        few_rows=few_row_products,
        batch_invariant=batch_invariant,
        warnings=warnings,
        kv=kv,
    )


class CudaDecoder:
    """A loaded model under one method; see `decoding.Decoder` for what each method promises."""

    engine = "native"

    def __init__(
        self,
        model: Parameters,
        *,
        operations: StepOperations = TRITON,
        persistent_step: PersistentStep | None = None,
        few_rows: "FewRows | None" = None,
        batch_invariant: bool = False,
        warnings: tuple[str, ...] = (),  # of how weights are held
        kv: KvFormat | None = None,
    ) -> None:
        model = with_smoothing(model, kv)
        self.config = model.config
        self.device = str(model.device)
        self.vocab_size = model.config.vocab_size
        self.max_positions = model.config.max_positions
        self._model, self._ops, self._kv = model, operations, kv
        self.batch_invariant, self.warnings = batch_invariant, warnings
        self._persistent = None if batch_invariant else persistent_step
        self._few_rows = None if batch_invariant else few_rows
        self._prompt_pass = PromptPass(model, operations, batch_invariant=batch_invariant, kv=kv)
        self._positions = 1  # that the tables hold
        self._tables: Tables = rotation_tables(model.config, 1, model.device)
        self._runner: ModelRunner | None = None
        self.cache_bytes: int | None = 0
        self._warmup_s = 0.0
        self._ran: dict[int | None, Kernel] = {}  # steps, by the most rows that each takes
        self._few: tuple[Kernel, ...] = ()  # what few rows ran with, where that is not `linear`

    @property
    def warmup_s(self) -> float:
        """Seconds spent so far compiling kernels of decode steps and capturing graphs."""
        return self._warmup_s + (self._runner.warmup_s if self._runner else 0.0)

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
            runner = self._runner_for(asked, min(batch_size, len(asked)))
            return Scheduler(runner, asked, on_end).finish(on_first)

        with torch.inference_mode(), on_device(self._model.device):
            return in_parts(self.config, run, requests, on_first_token, on_finish)

    def _runner_for(self, requests: Sequence[Request], rows: int) -> ModelRunner:
        """The last call's state and graphs where they fit, else new ones; never both at once."""
        needed = max(len(request.prompt_ids) + request.max_new_tokens for request in requests)
        capacity = min(-(-needed // ROOM) * ROOM, max(needed, self.max_positions))
        sampled = any(request.temperature > 0 for request in requests)
        if self._runner is not None:
            state = self._runner.state
            if (state.rows, state.capacity, state.logits is not None) == (rows, capacity, sampled):
                return self._runner
            self._warmup_s += self._runner.warmup_s
            self._runner = None
        self._reserve(capacity)
        state = allocate_state(
            self.config,
            rows=rows,
            capacity=capacity,
            dtype=self._model.dtype,
            device=self._model.device,
            with_logits=sampled,
            kv=self._kv,
        )
        self.cache_bytes = max(self.cache_bytes or 0, sum(tensor.nbytes for tensor in state.caches()))
        self._runner = ModelRunner(state, self._prompt_pass, self._tables, self._make_step)
        return self._runner

    def _reserve(self, positions: int) -> None:
        """Rotation tables for texts of this many tokens."""
        if positions > self._positions:
            self._positions = positions
            self._tables = rotation_tables(self.config, positions, self._model.device)

    def _make_step(self, state: StepState) -> Step:
        long = self.config.is_long(state.capacity)  # the persistent kernel knows one rotation
        if self._persistent is not None and not long and self._persistent.takes(state):
            try:
                step = self._persistent.build(self._model, state)
                self._note_step(self._persistent.name, self._persistent.max_batch)
                return step
            except self._persistent.unsupported as error:
                reason = first_error(str(error))
                self._note_step(self._triton_name, self._persistent.max_batch, reason)
        else:
            self._note_step(self._triton_name)
        products = self._products(state.rows)
        if not isinstance(products, TiledProducts):
            held = taken_scheme(self._model, state.rows)
            name = f"CUDA C++, tensor cores, {held}"
            self._few = (Kernel(operation="linear of few rows", name=name, max_batch=MAX_TOKENS),)
        return TritonStep(self._model, state, self._tables, self._ops, products)

    def _products(self, rows: int, run: Run | None = None) -> Products:
        """Of a step of so many rows; `run` takes the place of few rows' launches."""
        tiled = TiledProducts(self._ops, rows, self.config.activation)
        return tiled if self._few_rows is None else self._few_rows(self._model, tiled, rows, run)

    @property
    def _triton_name(self) -> str:
        others = beyond_plain_layers(self.config)
        layers = f"layers with {others}" if others else "seven kernels a layer"
        return f"{self._ops.name}: {layers}, one graph"

    def _note_step(self, name: str, max_batch: int | None = None, reason: str | None = None) -> None:
        self._ran[max_batch] = Kernel(operation="decode step", name=name, max_batch=max_batch, reason=reason)

    def score(
        self, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int] | None = None
    ) -> Iterator[Tensor]:
        check_ids(sequences, self.vocab_size)
        budget = max(1, SCORE_FLOATS // self.vocab_size)
        for group in grouped(sequences, min(budget, PREFILL_TOKENS)):
            for run in self.config.runs_alike(group):
                with torch.inference_mode(), on_device(self._model.device):
                    lengths = [len(group[place]) for place in run]
                    self._reserve(max(lengths))
                    layout = lay_out([group[place] for place in run], range(len(run)), self._model.device)
                    tables = prompt_tables(self.config, self._tables, max(lengths))
                    logits = self._prompt_pass.logits(self._prompt_pass(layout, tables, None))
                yield from torch.split(logits, lengths)

    def held(self) -> Iterator[HeldMatrix]:
        names = {kernel.operation: kernel.name for kernel in self.kernels()}
        prompts = names["linear"] if names["prompt linear"] == AS_LINEAR else names["prompt linear"]
        experts = {
            id(matrix)
            for layer in self._model.layers
            if isinstance(layer.mlp, ExpertParameters)
            for expert in layer.mlp.experts
            for matrix in expert.matrices
        }
        for matrix in self._model.matrices():
            of_prompts = f"{names['linear']}, by expert" if id(matrix) in experts else prompts
            steps = multiplied_by(matrix, self._ran.values(), self._few)
            yield from matrix.held((steps or names["linear"], of_prompts))

    def activation_bits(self) -> Mapping[Phase, int]:
        return dict.fromkeys(Phase, torch.finfo(self._model.dtype).bits)

    def resident_tensors(self) -> Iterable[tuple[str, Tensor]]:
        return self._model.tensors()

    def schemes(self) -> Mapping[str, tuple[str, int]]:
        return self._model.schemes()

    def kernels(self) -> Sequence[Kernel]:
        scheme = held_scheme(self.schemes())
        names = {
            "linear": f"{self._ops.name}, tensor cores, {scheme}",
            "prompt linear": AS_LINEAR
            if self.batch_invariant
            else "cuBLAS, packed weights dequantized per use; few tokens as linear",
            "attention": attention_name(self._model, self._ops.name, codes=self._kv is not None),
            "activations": str(self._model.dtype).removeprefix("torch."),
            "batch invariance": "on: one kernel and one order of sums for every number of rows"
            if self.batch_invariant
            else "off: other kernels for other numbers of rows",
            "teacher forcing": "all tokens by the kernels of prompts; those of decode steps have as many "
            "bits and add in another order",
        }
        steps = sorted(self._ran.values(), key=lambda kernel: kernel.max_batch is None)
        return [*named_kernels(names | kv_kernel(self._model, self._kv)), *self._few, *steps]

    def step_bytes(self, batch_size: int, context: int) -> tuple[int, int]:
        return self._model.step_bytes(batch_size, context, self._kv)

    def compile_ahead(self, points: Sequence[Point]) -> None:
        """Every kernel of these points at once, the persistent step's variants too; memory is given back."""
        if self._model.device.type != "cuda":
            return
        few = self._persistent.ahead(self._model, self._kv) if self._persistent is not None else ()
        forms: set[Variant] = set()

        def ask() -> list[Callable[[], object]]:
            ask_for_kernels(
                self._model,
                self._ops,
                points,
                batch_invariant=self.batch_invariant,
                own_rows=self._persistent.max_batch if self._persistent is not None and few else 0,
                kv=self._kv,
                products_of=partial(self._products, run=noting(forms)),
            )
            return [partial(machine_code, form) for form in forms]

        with torch.inference_mode(), on_device(self._model.device), suppress(torch.OutOfMemoryError):
            compile_together(ask, few)
        forget_workspaces()
        torch.cuda.empty_cache()

    def stage_shares(self, batch_size: int, context: int) -> Mapping[str, float]:
        few = find_kernel(self._ran.values(), "decode step", batch_size)
        if few is None or few.max_batch is None or few.reason is not None:
            return {}

        from quantbench.engine.cuda.persistent.profile import stage_shares

        with torch.inference_mode(), on_device(self._model.device):
            return stage_shares(self._model, batch_size, context, self._kv)

    def synchronize(self) -> None:
        if self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)
