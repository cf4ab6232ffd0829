"""GGUF files of transformers models, by gguf-py's writer and its tables of names.

What is done to tensors follows the description of llama.cpp's converter; nothing of quantbench is used.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import torch
from torch import Tensor

from tests.engine.models import stored_tensors
from tests.gguf_files import metadata_of
from tests.model_folders import tiny_config

NAMES = {  # model_type -> general.architecture
    "gemma3_text": "gemma3",
    "gpt_neox": "gptneox",
    "qwen2_moe": "qwen2moe",
    "qwen3_moe": "qwen3moe",
    "mixtral": "llama",
    "mistral": "llama",
}
PERMUTED = ("llama", "granite", "smollm3")
ONE_ADDED = ("gemma2", "gemma3")


def write_model(model: Any, path: Path, kind: str = "F32", *, tokens: bool = False) -> Path:
    """The model as a file; matrices in `kind`, which has to divide their rows; with `tokens` a vocabulary."""
    config = model.config
    architecture = NAMES.get(config.model_type, config.model_type)
    writer = gguf.GGUFWriter(path, architecture)
    write_metadata(writer, config)
    if tokens:
        write_tokens(writer, config.vocab_size)
    number = next(n for n, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    for name, tensor in converted(model, architecture):
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored is not None, name
        write_tensor(writer, stored, tensor, kind)
    if (scaling := config.rope_parameters).get("rope_type") == "longrope":
        for key in ("long", "short"):
            factors = torch.tensor(scaling[f"{key}_factor"])
            write_tensor(writer, f"rope_factors_{key}.weight", factors, "F32")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_tensor(writer: Any, name: str, tensor: Tensor, kind: str) -> None:
    quantization = gguf.GGMLQuantizationType[kind]
    values = tensor.detach().float().contiguous().numpy()
    packed = tensor.dim() > 1 and kind != "F32" and "gate_inp" not in name
    if packed:
        values = gguf.quants.quantize(values, quantization)
    writer.add_tensor(name, values, raw_dtype=quantization if packed else None)


def write_tokens(writer: Any, count: int) -> None:
    """The byte-level vocabulary of `gguf_files`."""
    told = metadata_of(tiny_config(vocab_size=count))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(told["tokenizer.ggml.tokens"])
    writer.add_token_types(told["tokenizer.ggml.token_type"])
    writer.add_token_merges(told["tokenizer.ggml.merges"])
    writer.add_eos_token_id(told["tokenizer.ggml.eos_token_id"])


def write_metadata(writer: Any, config: Any) -> None:
    """What every file says, and what those of a family do."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    share = config.rope_parameters.get("partial_rotary_factor") or 1.0
    writer.add_rope_dimension_count(int(head_dim * share))
    if config.model_type == "gpt_neox":
        writer.add_layer_norm_eps(config.layer_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_parallel_residual(config.use_parallel_residual)
        return
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    whole = config.rope_parameters.get("full_attention") or config.rope_parameters
    writer.add_rope_freq_base(whole["rope_theta"])
    if whole["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(whole["factor"])
    if local := config.rope_parameters.get("sliding_attention"):
        writer.add_rope_freq_base_swa(local["rope_theta"])
    write_family(writer, config)


def write_family(writer: Any, config: Any) -> None:
    """What only some families have."""
    get = lambda key: getattr(config, key, None)  # noqa: E731
    if get("attn_logit_softcapping"):
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    if get("final_logit_softcapping"):
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if config.model_type in ("gemma2", "gemma3_text", "phi3"):
        writer.add_sliding_window(config.sliding_window or 0)
    if config.model_type == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
    if config.rope_parameters.get("rope_type") == "longrope":
        original = config.original_max_position_embeddings
        longer = math.log(config.max_position_embeddings / original)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + longer / math.log(original)))
    if config.model_type == "granite":
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if experts := get("num_local_experts") or get("num_experts"):
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    if width := get("moe_intermediate_size"):
        writer.add_expert_feed_forward_length(width)
    if shared := get("shared_expert_intermediate_size"):
        writer.add_expert_shared_feed_forward_length(shared)


def converted(model: Any, architecture: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor by its name in checkpoints, as a file holds it."""
    config = model.config
    for name, tensor in checkpoint_tensors(model):
        if name.endswith(("lm_head.weight", "embed_out.weight")) and config.tie_word_embeddings:
            continue
        if architecture in PERMUTED and ".q_proj." in name:
            tensor = neighbours(tensor, config.num_attention_heads)
        if architecture in PERMUTED and ".k_proj." in name:
            tensor = neighbours(tensor, config.num_key_value_heads)
        if architecture in ONE_ADDED and name.endswith("norm.weight"):
            tensor = tensor + 1
        if ".query_key_value." in name:
            heads = tensor.reshape(config.num_attention_heads, 3, -1, *tensor.shape[1:])
            tensor = heads.transpose(0, 1).reshape(tensor.shape)
        if name.endswith("shared_expert_gate.weight"):
            tensor = tensor[0]
        yield name, tensor


def checkpoint_tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Under their own names; the experts of a layer stacked."""
    if not any(".experts." in name for name in model.state_dict()):
        yield from model.state_dict().items()
        return
    experts: dict[str, list[Tensor]] = {}
    for name, tensor in stored_tensors(model):
        stem, _, rest = name.partition(".experts.")
        if rest:
            experts.setdefault(f"{stem}.experts.{rest.partition('.')[2]}", []).append(tensor)
        else:
            yield name, tensor
    for name, parts in experts.items():
        yield name, torch.stack(parts)


def neighbours(values: Tensor, heads: int) -> Tensor:
    """Rows of each head as 0, half, 1, half + 1, ..."""
    halves = values.reshape(heads, 2, -1, *values.shape[1:])
    return halves.transpose(1, 2).reshape(values.shape)
