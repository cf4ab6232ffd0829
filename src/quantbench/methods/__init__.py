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
from quantbench.methods.mixed import MIXED
from quantbench.methods.published import PUBLISHED
from quantbench.methods.quantized import QUANTIZED
from quantbench.methods.quantized import VARIANTS as OF_ONE_METHOD
from quantbench.methods.spreading import spreads
from quantbench.methods.stored import STORED
from quantbench.methods.versions import versions_of
from quantbench.settings import PlaceSettings, SpeedSettings
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
    "spreadable",
    "versions_of",
]

OTHER_BUDGETS = {name: method for name, method in MIXED.items() if name != "mixed"}
VARIANTS = {**OF_ONE_METHOD, **PUBLISHED, **OTHER_BUDGETS}
METHODS: dict[str, Method] = {
    **FLOATS,
    **QUANTIZED,
    **MIXED,
    **PUBLISHED,
    **FLOAT8,
    **GGML,
    **LIBRARIES,
    **STORED,
}


def check_fits(name: str, source: ModelSource, load: PlaceSettings, speed: SpeedSettings) -> None:
    """DeviceError with the arithmetic for a model that, under this method, is larger than the free memory."""
    others = {own: other for own, other in METHODS.items() if own not in (*VARIANTS, *GGML)}
    method = METHODS[name]
    fits.check_fits(
        method,
        source,
        fits.place_of(load, speed),
        others=others if load.spread is None else {own: m for own, m in others.items() if spreads(m)},
        available=fits.available_bytes,
        more=fits.gpu_count if spreads(method) and load.device.startswith("cuda") else lambda: 0,
    )


def spreadable() -> tuple[str, ...]:
    """The methods under which a model can be spread over several GPUs."""
    return tuple(name for name, method in METHODS.items() if spreads(method))
