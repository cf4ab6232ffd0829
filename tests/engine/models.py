"""Small random models of every family, as a transformers model and as a source for our engine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor

from quantbench.decoding import Decoder
from quantbench.engine.load import load_decoder
from quantbench.kernels import Kernel, find_kernel
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.readers import Quantizer, Quantizing, WeightReader

SHAPE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": None,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "qwen2": {"model_type": "qwen2"},
    "qwen2-tied": {"model_type": "qwen2", "tie_word_embeddings": True},
    "qwen2-window": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 7,
        "max_window_layers": 1,
    },
    "qwen2-yarn": {"model_type": "qwen2", "rope_parameters": YARN},
    "qwen3": {"model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": True},
    "qwen3-bias": {"model_type": "qwen3", "head_dim": 16, "attention_bias": True},
    "llama": {"model_type": "llama"},
    "llama-biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"},
    "llama3-rope": {"model_type": "llama", "rope_parameters": LLAMA3, "tie_word_embeddings": True},
    "llama-linear": {
        "model_type": "llama",
        "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
    },
    "mistral": {"model_type": "mistral", "sliding_window": None, "head_dim": 16},
    "mistral-window": {"model_type": "mistral", "sliding_window": 6},
}


@dataclass
class DictSource:
    """A ModelSource over tensors in memory."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    name: str = "test-model"
    revision: str | None = None
    note: str | None = None
    folder: Any = None
    checkpoint_bytes: int | None = None
    reads: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        return list(self.tensors)

    def tensor(self, name: str) -> Tensor:
        self.reads.append(name)
        return self.tensors[name]


def reference_model(variant: str, **changes: Any) -> Any:
    """A transformers model of a variant with random float32 weights, biases and norms included."""
    settings = {**SHAPE, **VARIANTS[variant], **changes}
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
            elif "embed_tokens" not in name:
                parameter.mul_(6)  # so that attention and logits are far from uniform
    return model


def source_of(model: Any) -> DictSource:
    config = model.config.to_dict()
    config["architectures"] = [type(model).__name__]
    tensors = {k: v for k, v in model.state_dict().items() if not (k == "lm_head.weight" and tied(model))}
    return DictSource(config=config, tensors=tensors)


def tied(model: Any) -> bool:
    return bool(model.config.tie_word_embeddings)


def keep_float(name: str, tensor: Tensor) -> Weight:
    return FloatWeight(tensor)


def read(source: Any, quantizer: Quantizer = keep_float) -> tuple[Any, WeightReader]:
    """What `load_decoder` takes first: a source, and its matrices as `quantizer` makes them."""
    return source, Quantizing(source, quantizer)


def native(
    model: Any, quantize: Callable[[str, Tensor], Weight] = keep_float, dtype: str = "float32"
) -> Decoder:
    """Our decoder with a transformers model's weights."""
    return load_decoder(*read(source_of(model), quantize), device="cpu", dtype=dtype)


def prompts(lengths: tuple[int, ...], vocab: int = 97, seed: int = 1) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(seed)
    return [tuple(torch.randint(vocab, (n,), generator=generator).tolist()) for n in lengths]


def reference_greedy(model: Any, prompt: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Greedy tokens by whole forward passes, without any cache."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            logits = model(torch.tensor([ids])).logits[0, -1]
            ids.append(int(logits.argmax()))
    return tuple(ids[len(prompt) :])


def ran(decoder: Decoder, operation: str, rows: int = 1) -> Kernel:
    """What a decoder says of an operation at so many rows."""
    found = find_kernel(decoder.kernels(), operation, rows)
    assert found is not None
    return found
