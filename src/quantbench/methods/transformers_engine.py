"""Loads a model through transformers: for `--engine transformers`, and for methods of other libraries.

Importing transformers takes seconds and is timed apart from loading.
"""

import time
from typing import TYPE_CHECKING, Any

from quantbench.methods.method import Loaded, LoadSettings
from quantbench.records import Startup
from quantbench.sources import ModelSource

if TYPE_CHECKING:
    from quantbench.decoding.module_tensors import SchemeOf


def load_transformers(
    source: ModelSource,
    settings: LoadSettings,
    *,
    quantization: Any = None,
    scheme_of: "SchemeOf | None" = None,
) -> Loaded:
    """A transformers decoder with weights of `settings.dtype`; `startup.import_s` is transformers' own.

    `quantization` is a library's configuration as `from_pretrained` takes it; `scheme_of(name, module)` then
    tells how a module of that library holds its matrix, and its parameters.
    """
    start = time.perf_counter()
    import torch
    import transformers
    from transformers import AutoModelForCausalLM  # noqa: F401 (the slow part of the import is behind it)

    from quantbench.decoding.transformers_loading import load_transformers_decoder

    if settings.threads:
        torch.set_num_threads(settings.threads)
    transformers.utils.logging.disable_progress_bar()
    imported = time.perf_counter()
    decoder = load_transformers_decoder(
        source,
        device=settings.device,
        dtype=settings.dtype,
        trust_remote_code=settings.trust_remote_code,
        quantization=quantization,
        scheme_of=scheme_of,
    )
    decoder.synchronize()
    startup = Startup(import_s=imported - start, load_s=time.perf_counter() - imported)
    return Loaded(decoder=decoder, startup=startup)
