"""Attention of decode steps on a GPU: Triton's kernel and the one in CUDA C++, checked and timed in turns.

    python benchmarks/decode_attention.py
    python benchmarks/decode_attention.py --model llama-3.1-8b --rows 64 --contexts 300,4000

Caches are random and those of all layers, so that they do not stay in the second-level cache; a graph attends
in each layer once. Outputs are poisoned before each check against plain torch. Bytes are the cached keys and
values alone.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from few_rows import distance, seconds_of
from few_rows_models import CUDA, HALF
from quantbench.engine.config import ModelConfig, read_config
from quantbench.engine.cuda.decode_attention import launch as in_cuda
from quantbench.engine.cuda.graphs import captured
from quantbench.engine.cuda.triton import decode_attention as in_triton
from quantbench.engine.cuda.triton.decode_attention import AttentionCall, Scratch, decode_attention_reference
from quantbench.engine.cuda.triton.rotate import HeadRotation
from quantbench.sources.architectures import ARCHITECTURES

KERNELS = {"Triton": in_triton.decode_attention, "CUDA C++": in_cuda.decode_attention}
MOST_BYTES = 8 << 30  # of caches: fewer layers than the model has, where they would take more


class Case:
    """One batch: caches of some layers, and what attention of the first layer should give."""

    def __init__(self, config: ModelConfig, rows: int, context: int) -> None:
        capacity = context + 64
        row = (rows, config.kv_heads, capacity, config.head_dim)
        bytes_each = 4 * rows * config.kv_heads * capacity * config.head_dim
        self.layers = max(2, min(config.layers, MOST_BYTES // bytes_each))
        self.config, self.rows, self.context = config, rows, context
        self.keys, self.values = (torch.randn(self.layers, *row, device=CUDA, dtype=HALF) for _ in range(2))
        self.qkv = torch.randn(rows, config.q_size + 2 * config.kv_size, device=CUDA, dtype=HALF)
        angles = torch.rand(capacity, config.head_dim // 2, device=CUDA)
        self.rotation = HeadRotation(cosines=angles.cos(), sines=angles.sin())
        self.positions = torch.full((rows,), context, dtype=torch.int32, device=CUDA)
        self.scratch = Scratch.allocate(config, rows, capacity, CUDA)
        self.wanted = self.poisoned()
        cache = (self.keys[0].clone(), self.values[0].clone())
        decode_attention_reference(
            AttentionCall(config, self.rotation, self.qkv, self.positions, cache, self.wanted)
        )

    def poisoned(self) -> Tensor:
        return torch.full((self.rows, self.config.q_size), torch.nan, device=CUDA, dtype=HALF)

    def attend(self, kernel: Callable[..., None], layer: int, out: Tensor) -> None:
        cache = (self.keys[layer], self.values[layer])
        kernel(
            AttentionCall(
                self.config, self.rotation, self.qkv, self.positions, cache, out, None, self.scratch
            )
        )

    def measure(self, kernel: Callable[..., None]) -> tuple[float, float]:
        """Seconds a layer, and the relative error of the first one."""
        out = self.poisoned()

        def all_layers() -> None:
            for layer in range(self.layers):
                self.attend(kernel, layer, out)

        self.attend(kernel, 0, out)
        error = distance(out, self.wanted)
        all_layers()
        return seconds_of(captured(all_layers)) / self.layers, error

    @property
    def read_bytes(self) -> int:
        """Of a layer."""
        return 4 * self.rows * self.config.kv_heads * self.context * self.config.head_dim


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-0.5b", help=f"of {', '.join(ARCHITECTURES)}")
    parser.add_argument("--rows", default="8,64,164")
    parser.add_argument("--contexts", default="300")
    options = parser.parse_args()
    config = read_config(ARCHITECTURES[options.model])
    with torch.inference_mode():
        for context in map(int, options.contexts.split(",")):
            for rows in map(int, options.rows.split(",")):
                case = Case(config, rows, context)
                for name, kernel in KERNELS.items():
                    seconds, error = case.measure(kernel)
                    rate = case.read_bytes / seconds / 1e12
                    print(
                        f"{options.model} {rows} rows at {context}, {name}: {seconds * 1e6:.1f} us a layer, "
                        f"{rate:.2f} TB/s, error {error:.1e}",
                        flush=True,
                    )
                del case
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
