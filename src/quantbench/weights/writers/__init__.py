"""How a weight is written into the layouts of other programs, bit for bit or not at all.

The counterpart of `readers`: what is written here is read back there as the same values. Nothing is
requantized and nothing is rounded: a weight that a layout cannot hold exactly is an `Unfit` with the reason.
"""

from quantbench.weights.writers.ggml import ggml_tensor
from quantbench.weights.writers.integers import Integers, Unfit, integers_of
from quantbench.weights.writers.safetensors_layouts import compressed_tensors_module, gptq_module

__all__ = [
    "Integers",
    "Unfit",
    "compressed_tensors_module",
    "ggml_tensor",
    "gptq_module",
    "integers_of",
]
