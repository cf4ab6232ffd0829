"""quantbench tells you what quantizing a language model buys and what it costs, on your machine.

    results = quantbench.run("builtin", methods="fp16,int8")
    results = quantbench.load("results/builtin")
    quantbench.export("./my-model", method="int4-sym-head16", format="compressed-tensors")

What these need is imported when they are first named: the sandboxed processes import this package, too.
"""

from quantbench.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from quantbench.api import QuantbenchError, Results, Sweep, export, load, load_sweep, run, sweep

__all__ = [
    "QuantbenchError",
    "Results",
    "Sweep",
    "__version__",
    "export",
    "load",
    "load_sweep",
    "run",
    "sweep",
]


def __getattr__(name: str) -> object:
    """What the API exports, on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'quantbench' has no attribute '{name}'")
    from quantbench import api

    return getattr(api, name)
