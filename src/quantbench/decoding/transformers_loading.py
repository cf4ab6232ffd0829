"""Loads a transformers model, quantized by a library or not; refuses missing and infinite weights."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch

from quantbench.decoding.module_slots import slots_of
from quantbench.decoding.module_tensors import FormOf, plain_tensors
from quantbench.decoding.spreading import check_on_gpus, free_bytes, map_of, spread_over
from quantbench.decoding.transformers import TransformersDecoder
from quantbench.errors import ModelError
from quantbench.sources import ModelSource, is_mxfp4
from quantbench.weights.finite import is_finite, overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a method does to a transformers model, and what it then says of it."""

    quantization: Any = None  # a library's configuration as `from_pretrained` takes it
    convert: Callable[[Any], None] | None = None  # changes the loaded model's layers in place
    form_of: FormOf | None = None  # (name, module) -> how a module of the library holds its matrix
    activation_bits: int | None = None  # that are multiplied with; None where activations keep theirs
    load: "Load | None" = None  # makes the model, in place of transformers' own loading


class Load(Protocol):
    """Makes a model on a device, in a type."""

    def __call__(self, source: ModelSource, *, device: str, dtype: str, trust_remote_code: bool) -> Any: ...


UNCHANGED = Change()


def load_transformers_decoder(
    source: ModelSource,
    *,
    device: str,
    dtype: str,
    trust_remote_code: bool = False,
    change: Change = UNCHANGED,
    spread: Sequence[str] = (),
) -> TransformersDecoder:
    """A transformers model with a source's weights, on `device` in `dtype`; see `load_transformers`.

    Where `spread` names several GPUs, the first of which is `device`, its layers are put on all of them.
    """
    if change.load is not None:
        model = change.load(source, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
        model = model.to(device)
    elif change.quantization is None and not spread:
        model = load_transformers_model(source, dtype=dtype, trust_remote_code=trust_remote_code).to(device)
    else:
        asked = spread_over(spread, free_bytes) if spread else on_one(device)
        if change.quantization is not None:
            asked["quantization_config"] = change.quantization
        model = load_placed_model(source, dtype, trust_remote_code, asked)
    if spread:
        check_on_gpus(source.name, map_of(model), spread)
    check_parameters(model, source)
    if change.convert is not None:
        change.convert(model.eval())
    return TransformersDecoder(
        model, device=device, form_of=change.form_of, activation_bits=change.activation_bits
    )


def on_one(device: str) -> dict[str, Any]:
    """Arguments of `from_pretrained` for one device."""
    return {"device_map": device if device.startswith("cuda") else None}


def load_placed_model(
    source: ModelSource, dtype: str, trust_remote_code: bool, asked: Mapping[str, Any]
) -> Any:
    """The source as transformers reads it, placed and quantized as `asked`, from a folder made if need be."""
    from transformers import AutoModelForCausalLM

    with TemporaryDirectory() as made:
        folder = source.folder
        if folder is None:
            load_transformers_model(source, dtype=dtype).save_pretrained(made)
            folder = Path(made)
        try:
            model, loading = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                **asked,
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            verb = "quantize" if "quantization_config" in asked else "spread"
            raise ModelError(f"transformers cannot {verb} '{source.name}': {reason}") from error
    check_complete(source, loading["missing_keys"])
    return model


def check_parameters(model: Any, source: ModelSource) -> None:
    """ModelError for the first parameter that is not finite once cast, with what the source holds there."""
    stored = set(source.names())
    for name, parameter in model.named_parameters():
        if not all(is_finite(plain) for _, plain in plain_tensors(name, parameter, set())):
            tensor = source.tensor(name) if name in stored else parameter.data
            raise ModelError(overflow(name, tensor, parameter.dtype))


def check_complete(source: ModelSource, missing: Iterable[str]) -> None:
    """ModelError for weights that the files lack: transformers would draw them at random."""
    if names := sorted(missing):
        raise ModelError(
            f"'{source.name}' lacks {len(names)} of its weights, the first is '{names[0]}'; "
            "get a complete copy of the model"
        )


def as_floats(config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `from_pretrained` that make floats of what is stored as MXFP4."""
    from transformers import Mxfp4Config

    return {"quantization_config": Mxfp4Config(dequantize=True)} if is_mxfp4(config) else {}


def load_transformers_model(source: ModelSource, *, dtype: str, trust_remote_code: bool = False) -> Any:
    """The source's folder as transformers reads it, or its tensors in a model made from its configuration."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kind = getattr(torch, dtype)
    try:
        if source.folder is not None:
            model, loading = AutoModelForCausalLM.from_pretrained(
                source.folder,
                dtype=kind,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                **as_floats(source.config),
            )
            check_complete(source, loading["missing_keys"])
            return model
        settings = dict(source.config)
        config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        model = AutoModelForCausalLM.from_config(config, dtype=kind)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"transformers cannot load '{source.name}': {reason}") from error
    with torch.no_grad():
        slots = slots_of(model, source.config)
        for name in source.names():
            slots[name].copy_(source.tensor(name))
    return model
