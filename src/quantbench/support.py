"""Which methods can run a model, and with which engine: said in one sentence, before anything is loaded.

The native engine reads some families; every other causal language model runs with transformers, unquantized.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantbench.errors import ModelError, UsageError
from quantbench.methods import METHODS
from quantbench.sources import ModelSource

DEFAULT_METHODS = ("fp16", "int8", "int4")
AUTO = ("auto",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The engine that runs a model, and why it is not the native one, as a phrase."""

    model: str
    engine: str  # 'native' or 'transformers'
    reason: str | None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that this engine runs."""
        return tuple(
            name for name, method in METHODS.items() if method.unsupported_reason(self.engine) is None
        )

    @property
    def sentence(self) -> str:
        """What runs, and why not more."""
        if self.reason is None:
            return f"'{self.model}' runs with the native engine under every method"
        unfit = [name for name in METHODS if name not in self.methods]
        return (
            f"'{self.model}' runs with transformers under {listed(self.methods)}; {listed(unfit)} need the "
            f"native engine, and {self.reason}"
        )


def support_of(source: ModelSource, engine: str, *, trust_remote_code: bool = False) -> Support:
    """Which engine of 'auto', 'native' and 'transformers' runs an opened model.

    ModelError for one that no engine runs, UsageError where the native one was asked for and does not.
    """
    from quantbench.engine.config import unsupported

    check_unquantized(source)
    unread = unsupported(source.config)
    if unread is None and engine != "transformers":
        return Support(model=source.name, engine="native", reason=None)
    if engine == "native":
        raise UsageError(
            f"the native engine cannot run '{source.name}': {unread}; leave --engine out, and transformers "
            "runs it unquantized"
        )
    check_known(source, trust_remote_code)
    reason = "transformers was asked for" if unread is None else f"it cannot run this model: {unread}"
    return Support(model=source.name, engine="transformers", reason=reason)


def check_unquantized(source: ModelSource) -> None:
    """ModelError for a checkpoint that another library has quantized."""
    settings = source.config.get("quantization_config")
    if not settings:
        return
    method = settings.get("quant_method", "unknown") if isinstance(settings, Mapping) else "unknown"
    raise ModelError(
        f"'{source.name}' is already quantized (quant_method '{method}'), which no method reads; "
        "give the model that it was made from"
    )


def check_known(source: ModelSource, trust_remote_code: bool) -> None:
    """ModelError for a model of which transformers makes no causal language model."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    config = source.config
    kind = config.get("model_type")
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or (trust_remote_code and has_code(config)):
        return
    fix = "add --trust-remote-code if you trust its code" if has_code(config) else "use another model"
    raise ModelError(
        f"neither the native engine nor transformers {transformers.__version__} has a causal language model "
        f"of model_type '{kind}', which '{source.name}' is; {fix}"
    )


def has_code(config: Mapping[str, Any]) -> bool:
    """Whether the repository brings code for a causal language model."""
    code = config.get("auto_map")
    return isinstance(code, Mapping) and "AutoModelForCausalLM" in code


def measurable(methods: tuple[str, ...], support: Support) -> tuple[tuple[str, ...], str | None]:
    """The methods to measure, and what to say of those left out.

    Left to us, it is the default ones that can run; UsageError for a named one that cannot.
    """
    if methods == AUTO:
        kept = tuple(name for name in DEFAULT_METHODS if name in support.methods)
        return kept, None if kept == DEFAULT_METHODS else support.sentence
    for name in methods:
        if name not in support.methods:
            fix = (
                "leave --engine out"
                if support.reason == "transformers was asked for"
                else f"use --methods {','.join(support.methods)}"
            )
            raise UsageError(f"method '{name}' cannot run here: {support.sentence}; {fix}")
    return methods, None


def listed(names: tuple[str, ...] | list[str]) -> str:
    """'a, b and c'."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
