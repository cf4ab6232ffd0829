"""Matrix products on the CPU straight from packed weights, by `kernels.cpp`.

Arithmetic is float32: a weight's stored value (float16, bfloat16, 8 or 4 bits with its scale) is
converted exactly in registers, products are summed in float32, in an order that does not depend on the
number of rows. So nothing is lost against dequantizing first, and a row's result is the same in any batch.
Activations of other types than float32 are converted on the way in and out. On AVX2 weights lie with
their rows side by side (`Weight.cpu_layout`), so that a vector holds eight outputs; codes of 4 bits are
multiplied before scale and zero point, which follow once a group: as many bits, half the instructions.

GGUF blocks on AVX2 are multiplied in integers instead, which takes half the time: activations get 16 bits
with a scale per token and 32 inputs, products of 32 are summed exactly, and these sums in float32. That too
does not depend on the number of rows. `exact` turns it off.

Prompts that are to be continued are another matter where the CPU has AVX-512 VNNI or Arm's dot product: there
products are made of integers, exactly within a group of inputs. Activations get 8 bits with a scale per token
and group of 64 inputs (int4: the weights' own group, at most 128); with float16 weights, on VNNI alone, both
get 13 bits with a scale per 128. Nor does that depend on the number of rows; what was chosen is in
`prompt_kernel`. Where there is no such way, prompts are multiplied like everything else.
"""

import ctypes

import torch
from torch import Tensor

from quantbench.engine.cpu.workspace import Workspace
from quantbench.engine.linear import AS_LINEAR
from quantbench.engine.parameters import Matrix

NO_GATE = -1
INTEGERS = "16-bit activations, a scale per 32 inputs, integer arithmetic"
PROMPTS = {  # by the bits of their activations
    8: "8-bit activations, a scale per token and group of inputs, integer arithmetic",
    13: "13-bit activations and weights, a scale per 128 inputs, integer arithmetic",
}
ARGUMENTS = {
    "quantbench_linear": "ipqqqpppqppp",
    "quantbench_linear_integers": "ipqqqpppqppp",
    "quantbench_linear_prompt": "ipqqqpppqpppi",
    "quantbench_rows": "iqqpppqpqp",
    "quantbench_norm": "ppqqfp",
    "quantbench_gate": "ipqqp",
    "quantbench_activate": "ipqp",
    "quantbench_cap": "pqf",
    "quantbench_attend": "pqqqqppppppfqqfp",
    "quantbench_attend_prompts": "pppqqqqppppfqqfp",
    "quantbench_layers": "pppqppqp",
    "quantbench_steps": "ppppqpqpqqp",
}
TYPES = {"i": ctypes.c_int, "p": ctypes.c_void_p, "q": ctypes.c_int64, "f": ctypes.c_float}


def declare(library: ctypes.CDLL) -> None:
    """Tell ctypes the kernels' argument types."""
    for name, letters in ARGUMENTS.items():
        function = getattr(library, name)
        function.argtypes = [TYPES[letter] for letter in letters]
        function.restype = None
    library.quantbench_steps.restype = ctypes.c_int64
    library.quantbench_rows_beside.argtypes = []
    library.quantbench_rows_beside.restype = ctypes.c_int
    for bits in (library.quantbench_linear_bits, library.quantbench_prompt_bits):
        bits.argtypes = [ctypes.c_int]
        bits.restype = ctypes.c_int


class CpuLinear:
    """One matrix and its bias; see the module for its arithmetic."""

    invariant = True

    def __init__(
        self,
        library: ctypes.CDLL,
        matrix: Matrix,
        workspace: Workspace | None = None,
        *,
        exact: bool = False,
    ) -> None:
        """Results of prompts go into `workspace`: one buffer with a residual, one without.

        `exact` keeps all bits of activations in everything but prompts, whose callers decide it each time.
        TypeError for a weight that has no `cpu_operand`.
        """
        operand = matrix.weight.cpu_operand()
        if operand is None:
            raise TypeError(f"a weight held as {matrix.weight.scheme} has no CPU kernel in this shape")
        self._matrix = matrix
        self._workspace = workspace or Workspace()
        self._out, self._in = matrix.weight.shape
        self._bias = None if matrix.bias is None else matrix.bias.float().contiguous()
        self._kind, self._group = operand.kind, operand.group_size
        addresses = [tensor.data_ptr() for tensor in operand.tensors]
        self._data, self._scale, self._zero = (*addresses, 0, 0)[:3]
        self.bits = 0 if exact else library.quantbench_linear_bits(self._kind)
        self._call = library.quantbench_linear_integers if self.bits else library.quantbench_linear
        self._prompt_call = library.quantbench_linear_prompt
        self._rows_call = library.quantbench_rows
        arithmetic = INTEGERS if self.bits else "float32 arithmetic"
        self.kernel = f"own C++, {matrix.weight.format} read packed, {arithmetic}"
        bits = self.prompt_bits = library.quantbench_prompt_bits(self._kind)
        self.own_prompts = bits > 0  # whether prompts have a way of their own
        self.prompt_kernel = PROMPTS[bits] if bits else AS_LINEAR

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        if x.dtype is not torch.float32:
            wide = None if residual is None else residual.float()
            return self(x.float(), wide, prompt=prompt).to(x.dtype)
        x = x.contiguous()
        rows = len(x)
        use = "product" if residual is None else "sum"
        y = self._workspace.take(use, rows, self._out) if prompt else torch.empty(rows, self._out)
        if prompt and self.own_prompts:
            self._prompt_call(*self._arguments(x, residual, y), NO_GATE)
        else:
            self._call(*self._arguments(x, residual, y))
        return y

    def gated(self, x: Tensor, gate: int) -> Tensor:
        """Of a prompt: activation(gate) * up, float32 [rows, out / 2]; only where there are `own_prompts`."""
        x = x.contiguous()
        y = self._workspace.take("gate", len(x), self._out // 2)
        self._prompt_call(*self._arguments(x, None, y), gate)
        return y

    def _arguments(self, x: Tensor, residual: Tensor | None, y: Tensor) -> tuple[int, ...]:
        return (
            self._kind,
            x.data_ptr(),
            len(x),
            self._in,
            self._out,
            self._data,
            self._scale,
            self._zero,
            self._group,
            address(self._bias),
            address(residual),
            y.data_ptr(),
        )

    @property
    def operand(self) -> tuple[int, ...]:
        """As `layers.hpp` declares it."""
        shape = (self._in, self._out, self._group)
        return (
            self._kind,
            int(self.bits > 0),
            *shape,
            self._data,
            self._scale,
            self._zero,
            address(self._bias),
        )

    def rows(self, ids: Tensor) -> Tensor:
        ids, y = ids.contiguous(), torch.empty(len(ids), self._in)
        weight = (self._data, self._scale, self._zero, self._group)
        self._rows_call(self._kind, self._in, self._out, *weight, ids.data_ptr(), len(ids), y.data_ptr())
        return y


def address(tensor: Tensor | None) -> int:
    """Of its data; 0, a null pointer, where there is none."""
    return 0 if tensor is None else tensor.data_ptr()
