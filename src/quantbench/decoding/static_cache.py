"""Static caches and compiled decode steps for a transformers model: what it offers beside its eager loop.

transformers compiles the pass of a new token by itself where the cache has fixed sizes; prompts stay eager. A
cache holds a multiple of STEP positions, so that few shapes are compiled. Nothing here generates.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError

if TYPE_CHECKING:
    from transformers import CompileConfig

STEP = 256  # positions by which caches grow
MOST_SHAPES = 64  # that are compiled; torch would go on without compiling, and not say so
FIX = "use --engine transformers"


class StaticCaches:
    """Caches of one model by rows and positions, each made once; and what compiling took."""

    def __init__(self, model: Any, device: str) -> None:
        """ModelError for a model that transformers does not compile, and where nothing is compiled."""
        if reason := uncompiled_reason(model) or no_compiler(device):
            raise ModelError(f"transformers-static cannot run this model: {reason}; {FIX}")
        self._model, self._device = model, device
        self._caches: dict[tuple[int, int], Any] = {}
        allow_shapes()
        self._before = compile_seconds()

    def cache_of(self, rows: int, positions: int) -> Any:
        """An empty cache for so many rows, of at least so many positions."""
        from transformers import StaticCache

        shape = (rows, -(-positions // STEP) * STEP)
        if shape not in self._caches:
            self._caches[shape] = StaticCache(config=self._model.config, max_cache_len=shape[1])
        cache = self._caches[shape]
        cache.reset()
        return cache

    def settings(self) -> "CompileConfig":
        """How transformers is to compile: on a CPU, too, which it leaves out by default."""
        from transformers import CompileConfig

        settings = CompileConfig(dynamic=False, mode="reduce-overhead" if self._on_gpu else "default")
        settings._compile_all_devices = True
        return settings

    @property
    def seconds(self) -> float:
        """Seconds of compiling since the model was loaded."""
        return compile_seconds() - self._before

    @property
    def words(self) -> str:
        """For the record's kernels."""
        graphs = ", captured in graphs" if self._on_gpu else ""
        return f"torch.compile (inductor{graphs}) over a static cache in steps of {STEP} positions"

    @property
    def _on_gpu(self) -> bool:
        return self._device.startswith("cuda")


def uncompiled_reason(model: Any) -> str | None:
    """Why transformers does not compile a loaded model or its class, as a phrase; None where it does."""
    if not getattr(model, "_can_compile_fullgraph", False):
        name = model.__name__ if isinstance(model, type) else type(model).__name__
        return f"transformers cannot compile {name}"
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None and not quantizer.is_compileable:
        return f"the layers of {type(quantizer).__name__} cannot be compiled"
    return None


def no_compiler(device: str) -> str | None:
    """Why torch cannot compile for a device here, as a phrase; None where it can."""
    if device.startswith("cuda"):
        return None if find_spec("triton") else "torch compiles for a GPU with Triton, which is not installed"
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "torch compiles for a CPU with a C++ compiler, and there is none (install g++, or set CXX)"
    return None


def allow_shapes() -> None:
    """Let torch compile as many shapes as a run may meet, and raise where there are more."""
    import torch._dynamo.config as config

    config.recompile_limit = max(int(config.recompile_limit), MOST_SHAPES)
    config.fail_on_recompile_limit_hit = True


def compile_seconds() -> float:
    """Seconds that torch has spent in compiling in this process."""
    from torch._dynamo.utils import compilation_time_metrics

    return float(sum(compilation_time_metrics.get("_compile.compile_inner", ())))
