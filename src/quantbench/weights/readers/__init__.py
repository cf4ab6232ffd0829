"""What a matrix of a source becomes."""

from quantbench.weights.readers.quantizing import Quantizer, Quantizing
from quantbench.weights.readers.reader import WeightReader, read_tensor

__all__ = ["Quantizer", "Quantizing", "WeightReader", "read_tensor"]
