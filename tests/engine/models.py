"""Small random models of every family, as a transformers model and as a source for our engine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor

from quantbench.decoding import Decoder
from quantbench.engine.config import read_config
from quantbench.engine.cuda.support import model_unsupported_reason
from quantbench.engine.load import load_decoder
from quantbench.kernels import Kernel, find_kernel
from quantbench.settings import KvFormat
from quantbench.sources.families import parameter_name
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
LOCAL_AND_GLOBAL = ["sliding_attention", "full_attention", "sliding_attention"]
GEMMA = {"head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 6}
TWO_ROPES = {
    "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "partial_rotary_factor": 0.75,
    "short_factor": [1.0, 1.5, 2.0, 2.5, 3.0, 4.0],
    "long_factor": [8.0] * 6,
}
MULTIPLIERS = {
    "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22,
    "attention_multiplier": 0.25,
    "logits_scaling": 8.0,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
PER_LAYER = ("layer_types", "no_rope_layers")
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
    "gemma2": {
        "model_type": "gemma2",
        **GEMMA,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
    },
    "gemma3": {"model_type": "gemma3_text", **GEMMA, "num_hidden_layers": 3, "layer_types": LOCAL_AND_GLOBAL},
    "gemma3-linear": {"model_type": "gemma3_text", **GEMMA, "rope_parameters": TWO_ROPES},
    "phi3": {"model_type": "phi3", "sliding_window": 6},
    "phi4-mini": {
        "model_type": "phi3",
        "tie_word_embeddings": True,
        "head_dim": 16,
        "hidden_size": 64,
        "rope_parameters": LONGROPE,
        "original_max_position_embeddings": 64,
    },
    "olmo2": {"model_type": "olmo2"},
    "olmo2-biases": {"model_type": "olmo2", "attention_bias": True, "num_key_value_heads": 4},
    "smollm3": {"model_type": "smollm3", "no_rope_layers": [1, 0]},
    "smollm3-interval": {"model_type": "smollm3", "no_rope_layer_interval": 2, "attention_bias": True},
    "granite": {"model_type": "granite", **MULTIPLIERS},
    "granite-tied": {"model_type": "granite", **MULTIPLIERS, "tie_word_embeddings": True, "mlp_bias": True},
    "gpt-neox": {"model_type": "gpt_neox", "hidden_size": 64},
    "gpt-neox-serial": {
        "model_type": "gpt_neox",
        "hidden_size": 64,
        "use_parallel_residual": False,
        "hidden_act": "gelu_fast",
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e3, "partial_rotary_factor": 1.0},
        "attention_bias": False,
    },
    "qwen2-moe": {"model_type": "qwen2_moe", **EXPERTS, "shared_expert_intermediate_size": 64},
    "qwen2-moe-mixed": {
        "model_type": "qwen2_moe",
        **EXPERTS,
        "shared_expert_intermediate_size": 32,
        "num_hidden_layers": 3,
        "mlp_only_layers": [0],
        "decoder_sparse_step": 2,
        "norm_topk_prob": True,
        "qkv_bias": False,
        "use_sliding_window": True,
        "sliding_window": 5,
        "max_window_layers": 3,
    },
    "qwen3-moe": {"model_type": "qwen3_moe", **EXPERTS, "head_dim": 16, "norm_topk_prob": True},
    "qwen3-moe-window": {
        "model_type": "qwen3_moe",
        **EXPERTS,
        "head_dim": 16,
        "use_sliding_window": True,
        "sliding_window": 6,
    },
    "mixtral": {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
    "mixtral-window": {"model_type": "mixtral", "num_local_experts": 3, "sliding_window": 5},
}


def with_kernels(settings: dict[str, Any]) -> bool:
    """Whether the kernels of the GPU know all of a variant."""
    return model_unsupported_reason(read_config({**SHAPE, **settings}), torch.float16) is None


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


def entries_for_all(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, lists with an entry a layer repeated for as many layers as there are."""
    layers = settings["num_hidden_layers"]
    lists = {key: settings[key] for key in PER_LAYER if settings.get(key)}
    return settings | {key: (entries * layers)[:layers] for key, entries in lists.items()}


def reference_model(variant: str, **changes: Any) -> Any:
    """A transformers model of a variant with random float32 weights, biases and norms included."""
    settings = entries_for_all({**SHAPE, **VARIANTS[variant], **changes})
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(
        config, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
            elif "embed" not in name:
                parameter.mul_(6)  # so that attention and logits are far from uniform
    return model


def source_of(model: Any) -> DictSource:
    config = model.config.to_dict()
    config["architectures"] = [type(model).__name__]
    tensors = dict(stored_tensors(model))
    if tied(model):
        tensors.pop("lm_head.weight", None)
    return DictSource(config=config, tensors=tensors)


def stored_tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """A model's tensors under our names, experts one by one as in a checkpoint."""
    for name, tensor in model.state_dict().items():
        stem, _, last = name.rpartition(".experts.")
        for number, expert in enumerate(tensor if stem else ()):
            prefix = f"{stem}.experts.{number}"
            if last == "down_proj":
                yield f"{prefix}.down_proj.weight", expert
            else:
                gate, up = expert.chunk(2)
                yield from ((f"{prefix}.gate_proj.weight", gate), (f"{prefix}.up_proj.weight", up))
        if not stem:
            yield parameter_name(model.config.to_dict(), name), tensor


def tied(model: Any) -> bool:
    return bool(model.config.tie_word_embeddings)


def keep_float(name: str, tensor: Tensor) -> Weight:
    return FloatWeight(tensor)


def read(source: Any, quantizer: Quantizer = keep_float) -> tuple[Any, WeightReader]:
    """What `load_decoder` takes first: a source, and its matrices as `quantizer` makes them."""
    return source, Quantizing(source, quantizer)


def native(
    model: Any,
    quantize: Callable[[str, Tensor], Weight] = keep_float,
    dtype: str = "float32",
    kv: KvFormat | None = None,
) -> Decoder:
    """Our decoder with a transformers model's weights."""
    return load_decoder(*read(source_of(model), quantize), device="cpu", dtype=dtype, kv=kv)


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
