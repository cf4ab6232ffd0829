"""Loads a model through transformers: for `--engine transformers`, and for methods of other libraries.

Importing transformers takes seconds and is timed apart from loading.
"""

import time
from typing import TYPE_CHECKING

from quantbench.methods.method import Loaded, LoadSettings
from quantbench.records import Startup
from quantbench.settings import devices_of
from quantbench.sources import ModelSource

if TYPE_CHECKING:
    from quantbench.decoding.transformers_loading import Change


def load_transformers(source: ModelSource, settings: LoadSettings, change: "Change | None" = None) -> Loaded:
    """A transformers decoder with weights of `settings.dtype`; `startup.import_s` is transformers' own.

    `change` is what a method makes of the model.
    """
    start = time.perf_counter()
    import torch
    import transformers
    from transformers import AutoModelForCausalLM  # noqa: F401 (the slow part of the import is behind it)

    from quantbench.decoding.spreading import few_devices
    from quantbench.decoding.transformers_loading import UNCHANGED, load_transformers_decoder

    if settings.threads:
        torch.set_num_threads(settings.threads)
    transformers.utils.logging.disable_progress_bar()
    imported = time.perf_counter()
    decoder = load_transformers_decoder(
        source,
        device=settings.device,
        dtype=settings.dtype,
        trust_remote_code=settings.trust_remote_code,
        change=change or UNCHANGED,
        spread=devices_of(settings) if settings.spread else (),
    )
    decoder.synchronize()
    startup = Startup(import_s=imported - start, load_s=time.perf_counter() - imported)
    few = few_devices(decoder.devices, devices_of(settings))
    return Loaded(decoder=decoder, startup=startup, warnings=few)
