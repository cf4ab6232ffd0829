"""quantbench as a model of lm-eval: its own command line, with our methods.

    python -m quantbench.lm_eval --model quantbench --model_args pretrained=MODEL,method=int4 --tasks arc_easy

takes whatever `lm_eval` takes. lm-eval finds models by import and knows no plugins (0.4.13), so that plain
`lm_eval` has this one only where something imported this module before: in Python, `import
quantbench.lm_eval`, then `lm_eval.simple_evaluate(model="quantbench", model_args=...)`.
"""

from typing import Any

try:
    from lm_eval.api.registry import register_model
except ImportError as error:
    from quantbench.errors import UsageError

    raise UsageError("this needs lm-eval; run `pip install 'quantbench[lm-eval]'`") from error

from quantbench.decoding import Decoder, held_scheme, scheme_by_phase
from quantbench.errors import ModelError, UsageError
from quantbench.evaluation.harness.model import HarnessModel
from quantbench.evaluation.harness.text import read_harness_text
from quantbench.methods import METHODS
from quantbench.planning.engines import resolve_engines
from quantbench.planning.refusals import check_available, check_methods, check_own_engine
from quantbench.planning.resolving import load_of, resolve_device, resolve_dtype
from quantbench.settings import IN_PROCESS, Engine, RunSettings, merge_config, read_settings
from quantbench.sources import ModelSource, load_tokenizer, open_source
from quantbench.support import measurable, support_of
from quantbench.trial.stages import make_current
from quantbench.version import __version__

LOAD = ("dtype", "engine", "threads", "batch_invariant", "exact_prompts", "kv", "trust_remote_code")
TEXT = ("max_length", "prefix_token_id", "add_bos_token")  # lm-eval's own names
BATCH = 64  # answers at once where lm-eval leaves it open


@register_model("quantbench")
class QuantbenchModel(HarnessModel):
    """A model under one of quantbench's methods, for lm-eval."""

    def __init__(
        self,
        pretrained: str,
        method: str = "fp16",
        *,
        revision: str | None = None,
        device: str | None = None,
        batch_size: int | str | None = None,
        **options: Any,
    ) -> None:
        """`options` are those of `quantbench run` that load a model (dtype, engine, threads, ...).

        Besides lm-eval's max_length, prefix_token_id and add_bos_token. A QuantbenchError, one sentence that
        names the fix, for what cannot work.
        """
        options.pop("max_batch_size", None)
        length, prefix, bos = (options.pop(name, None) for name in TEXT)
        settings = run_settings(pretrained, method, options)
        source = open_source(pretrained, revision=revision)
        tokenizer = load_tokenizer(source)
        if tokenizer is None:
            raise ModelError(f"'{pretrained}' has no tokenizer, so it cannot read lm-eval's tasks")
        super().__init__(
            load_decoder(source, method, device, settings),
            read_harness_text(source, tokenizer, prefix_id=prefix, add_special=bos),
            batch_size=batch_of(batch_size),
            progress=told,
            max_length=length,
        )
        self._info = {"method": method, "model_revision": source.revision, "quantbench": __version__}

    def get_model_info(self) -> dict[str, Any]:
        """What lm-eval writes beside its results."""
        decoder = self.decoder
        scheme = scheme_by_phase(held_scheme(decoder.schemes()), decoder.activation_bits())
        return {**self._info, "scheme": scheme, "engine": Engine(decoder.engine).shown}


def run_settings(model: str, method: str, options: dict[str, Any]) -> RunSettings:
    """lm-eval's --model_args as our options; UsageError for one that is none, or for an unknown method."""
    if others := sorted(options.keys() - set(LOAD)):
        known = ", ".join(("pretrained", "method", "revision", *TEXT, *LOAD))
        raise UsageError(f"--model_args has no '{others[0]}' for quantbench; choose from: {known}")
    settings = merge_config(RunSettings, {"model": model, "methods": method, **options})
    check_methods((method,))
    return read_settings(RunSettings, settings)


def load_decoder(source: ModelSource, method: str, device: str | None, settings: RunSettings) -> Decoder:
    """The model under the method, with the engine that runs it; an error where none does."""
    where = resolve_device(device_of(device))
    check_available((method,), where)
    asked = resolve_engines(settings)[0]
    if asked not in IN_PROCESS:
        raise UsageError(f"{asked} is a server, which gives no logits; use engine=quantbench or transformers")
    if asked is not asked.loader:
        raise UsageError(f"{asked} compiles steps, and a likelihood takes none; use engine={asked.loader}")
    support = support_of(source, asked, trust_remote_code=settings.load.trust_remote_code)
    measurable((method,), support)
    if len(settings.load.kv) > 1:
        raise UsageError("kv names several formats; a model for lm-eval has one: kv=int8, for example")
    make_current(where)
    engine = Engine(support.engine_of(method) or support.engine)
    check_own_engine(settings, [(method, engine)])
    dtype = resolve_dtype(settings.load.dtype, where)
    load = load_of(settings).changed(device=where, dtype=dtype, engine=engine)
    return METHODS[method].load(source, load).decoder


def device_of(asked: str | None) -> str:
    """lm-eval asks for cuda:0 where its user named nothing: without a GPU that is the CPU, as in its own."""
    import torch

    if asked is None or (asked.startswith("cuda") and not torch.cuda.is_available()):
        return "auto"
    return asked


def batch_of(asked: int | str | None) -> int:
    """lm-eval's batch size; 'auto' is ours."""
    if asked is None or str(asked).startswith("auto"):
        return BATCH
    return int(asked)


def told(stage: str, done: int, total: int) -> None:
    """Progress is lm-eval's to show."""
