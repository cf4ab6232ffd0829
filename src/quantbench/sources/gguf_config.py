"""A GGUF file's metadata as the config.json of its model, and its tensors' names as those of the model.

Families: llama (Mistral's files say llama too), qwen2, qwen3. In llama files the rows of queries and keys are
in another order than in the model's own checkpoint (llama.cpp rotates neighbours, the engine halves);
`restore_rows` puts them back, in whatever type they are packed, as rows are packed one by one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.sources.gguf_file import GgufTensor

if TYPE_CHECKING:
    import torch

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
OUTSIDE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ROPE_FACTORS = "rope_freqs.weight"
ENDS = (  # texts of tokens that end an answer, whatever the metadata name, as llama.cpp has it
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "<|eom_id|>",
)
CONTROL = 3  # of tokenizer.ggml.token_type


def parameter_name(name: str) -> str:
    """The model's own name of a tensor; its own name back where it is not known."""
    stem, _, suffix = name.rpartition(".")
    if stem in OUTSIDE:
        return f"{OUTSIDE[stem]}.{suffix}"
    parts = stem.split(".")
    if len(parts) == 3 and parts[0] == "blk" and parts[2] in IN_LAYER:
        return f"model.layers.{parts[1]}.{IN_LAYER[parts[2]]}.{suffix}"
    return name


def config_of(metadata: Mapping[str, Any], tensors: Mapping[str, GgufTensor], name: str) -> dict[str, Any]:
    """The config.json that the metadata imply; ModelError for a family or setting that is not read."""
    family = str(metadata.get("general.architecture"))
    if family not in ARCHITECTURES:
        raise ModelError(
            f"'{name}' is a GGUF file of the family '{family[:50]}'; those read are "
            f"{', '.join(ARCHITECTURES)}: give the model's own folder instead, which transformers may run"
        )
    read = Metadata(metadata, family, name)
    embedding = tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ModelError(f"'{name}' has no embedding (token_embd.weight); download it again")
    heads, hidden = read.number("attention.head_count"), read.number("embedding_length")
    config: dict[str, Any] = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "vocab_size": embedding.shape[0],
        "hidden_size": hidden,
        "intermediate_size": read.number("feed_forward_length"),
        "num_hidden_layers": read.number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": read.number("attention.head_count_kv", heads),
        "head_dim": read.number("attention.key_length", hidden // max(1, heads)),
        "max_position_embeddings": read.number("context_length"),
        "rms_norm_eps": metadata.get(f"{family}.attention.layer_norm_rms_epsilon", 1e-6),
        "rope_theta": metadata.get(f"{family}.rope.freq_base", 10000.0),
        "tie_word_embeddings": "output.weight" not in tensors,
        "hidden_act": "silu",
        "use_sliding_window": False,
        "eos_token_id": end_tokens(metadata),
    }
    read.refuse(config["head_dim"])
    if family == "llama":
        config["attention_bias"] = "blk.0.attn_q.bias" in tensors
    if scaling := read.rope_scaling():
        config["rope_scaling"] = scaling
    return config


class Metadata:
    """The metadata of one file, by the names within its family."""

    def __init__(self, metadata: Mapping[str, Any], family: str, name: str) -> None:
        self._metadata, self._family, self._name = metadata, family, name

    def number(self, key: str, default: int | None = None) -> int:
        """A whole number; ModelError where it is missing, or differs from layer to layer."""
        value = self._metadata.get(f"{self._family}.{key}", default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ModelError(
                f"'{self._name}' lacks the whole number '{self._family}.{key}' in its metadata, or has one "
                "for each layer; give the model's own folder instead"
            )
        return value

    def refuse(self, head_dim: int) -> None:
        """ModelError for what would change numbers and is not read."""
        if self.number("rope.dimension_count", head_dim) != head_dim:
            raise self._unread("rope.dimension_count")
        if self.number("attention.value_length", head_dim) != head_dim:
            raise self._unread("attention.value_length")
        for key in ("expert_count", "attention.sliding_window"):
            if self.number(key, 0):
                raise self._unread(key)

    def rope_scaling(self) -> dict[str, Any] | None:
        """The scaling of positions; ModelError for a kind that is not read."""
        get = self._metadata.get
        kind = get(f"{self._family}.rope.scaling.type", "none")
        if kind == "none":
            return None
        factor = get(f"{self._family}.rope.scaling.factor")
        if kind not in ("linear", "yarn") or not isinstance(factor, float | int):
            raise self._unread("rope.scaling.type")
        scaling: dict[str, Any] = {"rope_type": kind, "factor": float(factor)}
        if original := get(f"{self._family}.rope.scaling.original_context_length"):
            scaling["original_max_position_embeddings"] = original
        return scaling

    def _unread(self, key: str) -> ModelError:
        value = self._metadata.get(f"{self._family}.{key}")
        return ModelError(
            f"'{self._name}' sets '{self._family}.{key}' to {str(value)[:50]}, which is not read from GGUF "
            "files; give the model's own folder instead"
        )


def end_tokens(metadata: Mapping[str, Any]) -> list[int]:
    """Tokens that end an answer: those the metadata name, and control tokens whose text says so."""
    found = {
        value
        for key in ("eos", "eot", "eom")
        if isinstance(value := metadata.get(f"tokenizer.ggml.{key}_token_id"), int)
    }
    tokens, kinds = metadata.get("tokenizer.ggml.tokens"), metadata.get("tokenizer.ggml.token_type")
    if isinstance(tokens, list) and isinstance(kinds, list):
        found |= {
            index
            for index, (text, kind) in enumerate(zip(tokens, kinds, strict=False))
            if kind == CONTROL and text in ENDS
        }
    return sorted(found)


def heads_to_restore(name: str, config: Mapping[str, Any]) -> int | None:
    """Heads of a tensor whose rows a llama file holds in another order; None for one that needs nothing."""
    if config["model_type"] != "llama":
        return None
    stem = name.rpartition(".")[0]
    if stem.endswith("self_attn.q_proj"):
        return int(config["num_attention_heads"])
    return int(config["num_key_value_heads"]) if stem.endswith("self_attn.k_proj") else None


def restore_rows(tensor: "torch.Tensor", heads: int) -> "torch.Tensor":
    """Rows of neighbours (0 and half, 1 and half + 1, ...) back to halves, head by head."""
    half = tensor.shape[0] // heads // 2
    rows = tensor.reshape(heads, half, 2, *tensor.shape[1:])
    return rows.transpose(1, 2).reshape(tensor.shape).contiguous()


def reorder_rows(tensor: "torch.Tensor", heads: int) -> "torch.Tensor":
    """Rows in halves as a file has them, in neighbours: what `restore_rows` takes back."""
    half = tensor.shape[0] // heads // 2
    rows = tensor.reshape(heads, 2, half, *tensor.shape[1:])
    return rows.transpose(1, 2).reshape(tensor.shape).contiguous()
