"""METHODS: every way of making weights, by name. Importing it loads neither torch nor a library.

To add a method of another library, write a file with a class that has what `method.Method` names, import
the library inside its `load`, say in `unavailable` what is missing and how to install it, and add one line
here. A method on transformers calls `transformers_engine.load_transformers` with the library's
quantization configuration.
"""

from quantbench.methods import fits
from quantbench.methods.fits import expected_bytes
from quantbench.methods.float8 import FLOAT8
from quantbench.methods.floats import FLOATS
from quantbench.methods.ggml import GGML
from quantbench.methods.libraries import LIBRARIES
from quantbench.methods.method import Loaded, LoadSettings, Method
from quantbench.methods.quantized import QUANTIZED
from quantbench.methods.quantized import VARIANTS as OF_ONE_METHOD
from quantbench.methods.stored import STORED
from quantbench.methods.symmetric import SYMMETRIC
from quantbench.sources import ModelSource

__all__ = [
    "LIBRARIES",
    "METHODS",
    "VARIANTS",
    "LoadSettings",
    "Loaded",
    "Method",
    "check_fits",
    "expected_bytes",
]

VARIANTS = {**OF_ONE_METHOD, **SYMMETRIC}
METHODS: dict[str, Method] = {**FLOATS, **QUANTIZED, **SYMMETRIC, **FLOAT8, **GGML, **LIBRARIES, **STORED}


def check_fits(method: Method, source: ModelSource, device: str) -> None:
    """DeviceError with the arithmetic for a model that is larger than the device's free memory."""
    others = {name: other for name, other in METHODS.items() if name not in (*VARIANTS, *GGML)}
    fits.check_fits(method, source, device, others=others, available=fits.available_bytes)
