"""Writes a model under a method as a checkpoint that other programs load, exactly or not at all.

`export_model` is the one entry. `matrices` hands out the tensors one at a time, `packing` and `gguf_writer`
say them in a format's words (the bits are in `weights.writers`), `card` writes what was measured, `target`
makes the folder complete or leaves none.
"""

from quantbench.exporting.asking import read_asked
from quantbench.exporting.card import find_measured
from quantbench.exporting.fitting import fitting_methods
from quantbench.exporting.write import Asked, export_model

__all__ = ["Asked", "export_model", "find_measured", "fitting_methods", "read_asked"]
