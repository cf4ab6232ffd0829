"""Which methods leave every layer on the GPU that it was put on, so that a model may be spread over several.

Methods that quantize a loaded model in place put its layers on one device, as does our own engine.
"""

from quantbench.methods.floats import FloatMethod
from quantbench.methods.libraries import LibraryMethod
from quantbench.methods.method import Method


def spreads(method: Method) -> bool:
    """Whether transformers loads a model under this method layer by layer onto several GPUs."""
    if isinstance(method, LibraryMethod):
        return method.configuration is not None
    return isinstance(method, FloatMethod)
