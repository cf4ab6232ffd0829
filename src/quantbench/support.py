"""Which methods can run a model, each with which engine: said in one sentence, before anything is loaded.

The native engine reads some families; every other causal language model runs with transformers. A method
that the preferred engine does not run runs with the other one, if that runs it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantbench.errors import ModelError, UsageError
from quantbench.methods import LIBRARIES, METHODS, VARIANTS
from quantbench.settings import Engine
from quantbench.sources import ModelSource, is_mxfp4, is_quantized
from quantbench.units import listed

DEFAULT_METHODS = ("fp16", "int8", "int4")
STORED = "stored"
OWN = "quantbench's engine"
AUTO = ("auto",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The engines that run a model, and why the native one is not the first of them, as a phrase."""

    model: str
    engine: str  # 'native' or 'transformers': what runs every method that it can
    reason: str | None
    other: str | None = None  # runs what `engine` cannot; None where it cannot run this model
    quantized: bool = False  # by another tool: there are weights to be run as they are stored

    def engine_of(self, method: str) -> str | None:
        """The engine that runs a method; None where none does."""
        if (method == STORED and not self.quantized) or self._asks_anew(method):
            return None
        engines = (self.engine,) if self.other is None else (self.engine, self.other)
        return next((name for name in engines if METHODS[method].unsupported_reason(name) is None), None)

    def unsupported_reason(self, method: str) -> str | None:
        """Why a method cannot run; None when it can."""
        if method == STORED and not self.quantized:
            return f"'{self.model}' is not quantized"
        if self._asks_anew(method):
            return f"its library quantizes what is not quantized yet, and '{self.model}' is"
        return None if self.engine_of(method) else METHODS[method].unsupported_reason(self.engine)

    def _asks_anew(self, method: str) -> bool:
        """Whether another library would have to quantize what is quantized, in a model of transformers."""
        return self.quantized and self.engine != "native" and method in LIBRARIES

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that can run whatever is installed; those of other libraries are apart."""
        return tuple(name for name in METHODS if name not in LIBRARIES and self.engine_of(name))

    @property
    def sentence(self) -> str:
        """What runs, and why not more."""
        if self.quantized:
            return (
                f"'{self.model}' is quantized already: {STORED} runs it as it is; the other methods "
                "start from its dequantized weights"
            )
        runs = f"'{self.model}' runs {engine_words(self.engine, self.methods_with(self.engine))}"
        if self.other and (others := self.methods_with(self.other)):
            runs += f", and {engine_words(self.other, others)}"
        unsupported = [name for name in METHODS if name not in (*self.methods, *VARIANTS, *LIBRARIES, STORED)]
        if not unsupported:
            return runs
        need = "needs" if len(unsupported) == 1 else "need"
        return f"{runs}; {listed(unsupported)} {need} quantbench's engine, and {self.reason}"

    def methods_with(self, engine: str) -> tuple[str, ...]:
        """The methods that one engine is to run."""
        return tuple(name for name in self.methods if self.engine_of(name) == engine)


def engine_words(engine: str, methods: tuple[str, ...]) -> str:
    """'with transformers under fp16 and bf16'."""
    under = "every method" if {*methods, *LIBRARIES, STORED} == set(METHODS) else listed(methods)
    return f"with {OWN if engine == Engine.NATIVE else engine} under {under}"


def support_of(source: ModelSource, engine: str, *, trust_remote_code: bool = False) -> Support:
    """Which engine of 'auto', 'native' and 'transformers' runs an opened model.

    ModelError for one that no engine runs, UsageError where the native one was asked for and does not.
    """
    from quantbench.engine.config import unsupported

    unread = unsupported(source.config)
    if is_quantized(source):
        return support_of_quantized(source, engine, unread, trust_remote_code)
    if unread is None and engine != "transformers":
        return Support(model=source.name, engine="native", reason=None, other="transformers")
    if engine == "native":
        raise UsageError(
            f"quantbench's engine cannot run '{source.name}': {unread}; leave --engine out, and transformers "
            "runs it"
        )
    check_known(source, trust_remote_code)
    reason = "transformers was asked for" if unread is None else f"it cannot run this model: {unread}"
    other = "native" if unread is None else None
    return Support(model=source.name, engine="transformers", reason=reason, other=other)


def support_of_quantized(
    source: ModelSource, engine: str, unread: str | None, trust_remote_code: bool
) -> Support:
    """What runs a model that another tool has quantized; `unread` is why the native engine does not."""
    if unread is None and engine != "transformers":
        return Support(model=source.name, engine="native", reason=None, quantized=True)
    if is_mxfp4(source.config) and engine != "native":
        check_known(source, trust_remote_code)
        return Support(model=source.name, engine="transformers", reason=unread, quantized=True)
    asked = f"transformers was asked for, and {OWN} alone reads it; leave --engine out"
    reason = unread or asked
    raise ModelError(
        f"'{source.name}' is already quantized and cannot be run: {reason}; or give the model that it was "
        "made from"
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
        f"neither {OWN} nor transformers {transformers.__version__} has a causal language model "
        f"of model_type '{kind}', which '{source.name}' is; {fix}"
    )


def uncompiled_class(source: ModelSource) -> str | None:
    """Why transformers does not compile a model, by its class; None where it does, or has no class."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    from quantbench.decoding.static_cache import uncompiled_reason

    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(source.config.get("model_type"))
    kind = getattr(transformers, name, None) if isinstance(name, str) else None
    return uncompiled_reason(kind) if kind else None


def has_code(config: Mapping[str, Any]) -> bool:
    """Whether the repository brings code for a causal language model."""
    code = config.get("auto_map")
    return isinstance(code, Mapping) and "AutoModelForCausalLM" in code


def measurable(methods: tuple[str, ...], support: Support) -> tuple[tuple[str, ...], str | None]:
    """The methods to measure, and what to say of those left out.

    Left to us, it is the default ones that the preferred engine runs; UsageError for a named one that no
    engine runs.
    """
    if methods == AUTO and support.quantized:
        return (STORED,), support.sentence
    if methods == AUTO:
        kept = tuple(name for name in DEFAULT_METHODS if support.engine_of(name) == support.engine)
        return kept, None if kept == DEFAULT_METHODS else support.sentence
    for name in methods:
        if support.engine_of(name) is None:
            told = name == STORED or support.quantized
            why = support.unsupported_reason(name) if told else support.sentence
            raise UsageError(f"method '{name}' cannot run here: {why}; {advice(support)}")
    return methods, mixed(methods, support)


def advice(support: Support) -> str:
    """Which methods to take instead: the default ones, or the first few, and where all of them stand."""
    few = [name for name in DEFAULT_METHODS if name in support.methods] or support.methods[:3]
    more = "" if len(few) == len(support.methods) else ", or another that 'quantbench methods MODEL' lists"
    return f"take {','.join(few)}{more}"


def mixed(methods: tuple[str, ...], support: Support) -> str | None:
    """Which methods run with which engine, where that is not one for all."""
    by_engine: dict[str | None, list[str]] = {}
    for name in methods:
        by_engine.setdefault(support.engine_of(name), []).append(name)
    if len(by_engine) == 1:
        return None
    parts = [
        f"{listed(names)} with {Engine(engine).shown}"
        for engine, names in by_engine.items()
        if engine is not None
    ]
    return f"two engines run: {', '.join(parts)}; what they differ in is not the methods' doing alone"
