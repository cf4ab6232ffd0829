"""CudaDecoder: our Decoder at the speed of the device, for 16-bit activations on CUDA with Triton.

Weights lie once in the kernels' layout; a decode step is one captured graph for each number of rows in use;
prompts run without padding. What it cannot run, `why_not` says, and the plain torch engine does.
"""

import os
import shutil
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from quantbench.decoding import Generation, Phase, Request
from quantbench.engine.batch import check_ids, check_requests
from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda_machine import Machine
from quantbench.engine.cuda_run import PREFILL_TOKENS, CudaRun
from quantbench.engine.decoder import grouped
from quantbench.engine.kernels.launch import on_device
from quantbench.engine.kernels.layout import PackedModel, pack_model
from quantbench.engine.kernels.many_rows import ManyRowsStep, Tables
from quantbench.engine.kernels.operations import TRITON, Operations
from quantbench.engine.kernels.prompts import PromptPass, lay_out
from quantbench.engine.kernels.rotate import rotation_tables
from quantbench.engine.kernels.triton_or_not import MISSING
from quantbench.engine.linear import AS_LINEAR
from quantbench.engine.parameters import Parameters
from quantbench.engine.state import StepState, allocate_state
from quantbench.engine.step_graphs import Step

SCORE_FLOATS = 1 << 28  # logits of one scoring pass: 1 GiB
FEW_ROWS = 4  # rows up to which the persistent kernel takes the steps: above, this one was faster
OLDEST = (8, 0)  # compute capability that the kernels' instructions need
ROOM = 64  # a row's capacity is a multiple of it, so that requests of like length share their graphs


def why_not(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a model cannot run here, as a phrase; None when it can."""
    if device.type != "cuda":
        return "the device is not CUDA"
    return no_triton(device) or unfit(config, dtype)


def no_triton(device: torch.device) -> str | None:
    """Why Triton's kernels cannot run on this CUDA device, as a phrase; None when they can."""
    if MISSING is not None:
        return MISSING
    major, minor = torch.cuda.get_device_capability(device)
    if (major, minor) < OLDEST:
        return f"the GPU's compute capability {major}.{minor} is below {OLDEST[0]}.{OLDEST[1]}"
    return no_launcher()


def no_launcher() -> str | None:
    """What Triton lacks to compile the C function that launches each kernel; None when it is all there."""
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "Triton needs a C compiler: install gcc"
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")  # as Triton does
    if not Path(sysconfig.get_path("include", scheme), "Python.h").is_file():
        return "Triton needs Python's header files: install python3-dev"
    return None


def unfit(config: ModelConfig, dtype: torch.dtype) -> str | None:
    """What of a model the kernels do not know, as a phrase; None when they know it."""
    if dtype not in (torch.float16, torch.bfloat16):
        return f"activations are {str(dtype).removeprefix('torch.')}, not 16-bit floats"
    if config.activation not in ("silu", "swish"):
        return f"the activation '{config.activation}' has no kernel"
    if config.head_dim % 8:
        return f"head_dim {config.head_dim} is not a multiple of 8"
    return None


def load_cuda(config: ModelConfig, parameters: Parameters, *, batch_invariant: bool = False) -> "CudaDecoder":
    """A decoder that takes over the parameters: what it repacks is dropped from the caching allocator."""
    model = pack_model(config, parameters)
    del parameters
    torch.cuda.empty_cache()
    return CudaDecoder(model, few_rows=few_rows(), batch_invariant=batch_invariant)


def few_rows() -> "FewRows":
    """The persistent kernel for few rows; where it does not run or compile, the step for more rows does."""
    from quantbench.engine.kernels.driver import CompileError
    from quantbench.engine.kernels.few_rows import Unsupported, build_few_rows_step

    reasons = (Unsupported, CompileError)
    return FewRows(build_few_rows_step, "one persistent kernel a step", FEW_ROWS, reasons)


class CudaDecoder:
    """A loaded model under one method; see `decoding.Decoder` for what each method promises."""

    engine = "native"

    def __init__(
        self,
        model: PackedModel,
        *,
        operations: Operations = TRITON,
        few_rows: "FewRows | None" = None,
        batch_invariant: bool = False,
    ) -> None:
        self.config = model.config
        self.device = str(model.device)
        self.vocab_size = model.config.vocab_size
        self.max_positions = model.config.max_positions
        self._model, self._ops = model, operations
        self.batch_invariant = batch_invariant
        self._few = None if batch_invariant else few_rows
        self._prompt_pass = PromptPass(model, operations, batch_invariant=batch_invariant)
        self._tables: Tables = rotation_tables(model.config, 1, model.device)
        self._machine: Machine | None = None
        self._warmup_s = 0.0
        self._ran: dict[str, str] = {}

    @property
    def warmup_s(self) -> float:
        """Seconds spent so far compiling kernels and capturing graphs of decode steps."""
        return self._warmup_s + (self._machine.graphs.warmup_s if self._machine else 0.0)

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
        with torch.inference_mode(), on_device(self._model.device):
            machine = self._machine_for(requests, min(batch_size, len(requests)))
            return CudaRun(machine, requests, on_finish).finish(on_first_token)

    def _machine_for(self, requests: Sequence[Request], rows: int) -> Machine:
        """The last call's state and graphs where they fit, else new ones; never both at once."""
        needed = max(len(request.prompt_ids) + request.max_new_tokens for request in requests)
        capacity = min(-(-needed // ROOM) * ROOM, max(needed, self.max_positions))
        sampled = any(request.temperature > 0 for request in requests)
        if self._machine is not None:
            state = self._machine.state
            if (state.rows, state.capacity, state.logits is not None) == (rows, capacity, sampled):
                return self._machine
            self._warmup_s += self._machine.graphs.warmup_s
            self._machine = None
        self._reserve(capacity)
        state = allocate_state(
            self.config,
            rows=rows,
            capacity=capacity,
            dtype=self._model.dtype,
            device=self._model.device,
            with_logits=sampled,
        )
        self._machine = Machine(state, self._prompt_pass, self._tables, self._make_step)
        return self._machine

    def _reserve(self, positions: int) -> None:
        """Rotation tables for texts of this many tokens."""
        if positions > len(self._tables[0]):
            self._tables = rotation_tables(self.config, positions, self._model.device)

    def _make_step(self, state: StepState) -> Step:
        if self._few is not None and self._few.takes(state):
            name = self._few.operation
            try:
                step = self._few.build(self._model, state)
                self._ran[name] = self._few.name
                return step
            except self._few.unsupported as reason:
                first_line = str(reason).strip().split("\n", 1)[0]
                self._ran[name] = f"as for more rows: {first_line}"
        self._ran["decode step, more rows" if self._few else "decode step"] = (
            f"{self._ops.name}: seven kernels a layer, one graph"
        )
        return ManyRowsStep(self._model, state, self._tables, self._ops)

    def score(
        self, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int] | None = None
    ) -> Iterator[Tensor]:
        check_ids(sequences, self.vocab_size)
        budget = max(1, SCORE_FLOATS // self.vocab_size)
        for group in grouped(sequences, min(budget, PREFILL_TOKENS)):
            with torch.inference_mode(), on_device(self._model.device):
                lengths = [len(ids) for ids in group]
                self._reserve(max(lengths))
                layout = lay_out(group, range(len(group)), self._model.device)
                hidden = self._prompt_pass(layout, self._tables, None)
                logits = self._prompt_pass.logits(hidden)
            yield from torch.split(logits, lengths)

    def activation_bits(self) -> Mapping[Phase, int]:
        return dict.fromkeys(Phase, torch.finfo(self._model.dtype).bits)

    def resident_tensors(self) -> Iterable[tuple[str, Tensor]]:
        return self._model.tensors()

    def schemes(self) -> Mapping[str, tuple[str, int]]:
        return {
            name: (matrix.weight.scheme, rows * matrix.weight.shape[1])
            for matrix in self._model.matrices()
            for name, rows in matrix.parts
        }

    def kernels(self) -> Mapping[str, str]:
        scheme = self._model.layers[0].qkv.weight.scheme
        return {
            "linear": f"{self._ops.name}, tensor cores, {scheme}",
            "prompt linear": AS_LINEAR
            if self.batch_invariant
            else "cuBLAS, packed weights dequantized per use; few tokens as linear",
            "attention": f"{self._ops.name}, split over chunks of long contexts",
            "activations": str(self._model.dtype).removeprefix("torch."),
            "batch invariance": "on: one kernel and one order of sums for every number of rows"
            if self.batch_invariant
            else "off: other kernels for other numbers of rows",
            "teacher forcing": "all tokens by the kernels of prompts; those of decode steps have as many "
            "bits and add in another order",
            **self._ran,
        }

    def step_bytes(self, batch_size: int, context: int) -> tuple[int, int]:
        config = self.config
        weights = sum(tensor.nbytes for _, tensor in self.resident_tensors())
        if self._model.head is not self._model.embedding:  # only the tokens' rows of it are read
            table = sum(tensor.nbytes for _, tensor in self._model.embedding.weight.tensors())
            weights += table * batch_size // config.vocab_size - table
        seen = sum(min(context, window or context) for window in config.windows)
        return weights, batch_size * seen * 2 * config.kv_size * self._model.dtype.itemsize

    def stage_shares(self, batch_size: int, context: int) -> Mapping[str, float]:
        few = self._few
        if few is None or self._ran.get(few.operation) != few.name or batch_size > few.most:
            return {}
        from quantbench.engine.kernels.stage_times import stage_shares

        with torch.inference_mode():
            return stage_shares(self._model, batch_size, context)

    def synchronize(self) -> None:
        if self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)


@dataclass(frozen=True, slots=True)
class FewRows:
    """The step for few rows, where it can be built."""

    build: Callable[[PackedModel, StepState], Step]  # raises `unsupported` with the reason
    name: str
    most: int  # rows
    unsupported: tuple[type[Exception], ...] = (NotImplementedError,)

    @property
    def operation(self) -> str:
        """What `Decoder.kernels` calls it."""
        return f"decode step, up to {self.most} rows"

    def takes(self, state: StepState) -> bool:
        return state.rows <= self.most and state.logits is None
