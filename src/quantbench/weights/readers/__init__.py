"""What a matrix of a source becomes."""

from quantbench.weights.readers.quantizing import Quantizer, Quantizing, floats_of
from quantbench.weights.readers.reader import WeightReader, read_tensor
from quantbench.weights.readers.stored import notes_of, stored_reader

__all__ = ["Quantizer", "Quantizing", "WeightReader", "floats_of", "notes_of", "read_tensor", "stored_reader"]
