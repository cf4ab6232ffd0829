"""The families that the native engine reads, by `model_type`.

Defaults are those of the configuration class in transformers, which a config.json may leave out.
"""

from typing import Any

from quantbench.sources.family import FOUR_NORMS, POST_NORMS, Family, HeadNorm, Window


def _qwen(**changes: Any) -> dict[str, Any]:
    base = {"max_position_embeddings": 32768, "num_key_value_heads": 32, "sliding_window": 4096}
    return base | {"max_window_layers": 28} | changes


def _gemma(**changes: Any) -> dict[str, Any]:
    base = {"head_dim": 256, "num_key_value_heads": 4, "tie_word_embeddings": True, "sliding_window": 4096}
    return base | {"hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256} | changes


ATTENTION = "attention_bias"
_GEMMA: dict[str, Any] = {  # what Gemma 2 and 3 share
    "aliases": {"hidden_activation": "hidden_act", "_sliding_window_pattern": "sliding_window_pattern"},
    "qkv_bias": ATTENTION,
    "out_bias": ATTENTION,
    "norms": FOUR_NORMS,
    "norm_offset": 1.0,
    "window": Window.PATTERN,
    "scaled_embedding": True,
    "reads": ("query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"),
    "refused": ("use_bidirectional_attention",),
}
FAMILIES: dict[str, Family] = {
    "qwen2": Family(architecture="Qwen2ForCausalLM", defaults=_qwen(), qkv_bias=True, window=Window.LATE),
    "qwen3": Family(
        architecture="Qwen3ForCausalLM",
        defaults=_qwen(head_dim=128),
        qkv_bias=ATTENTION,
        out_bias=ATTENTION,
        head_norm=HeadNorm.HEAD,
        window=Window.LATE,
    ),
    "llama": Family(
        architecture="LlamaForCausalLM",
        defaults={"max_position_embeddings": 2048},
        qkv_bias=ATTENTION,
        out_bias=ATTENTION,
        mlp_bias="mlp_bias",
    ),
    "mistral": Family(
        architecture="MistralForCausalLM",
        defaults={"max_position_embeddings": 131072, "num_key_value_heads": 8, "sliding_window": 4096},
        window=Window.ALWAYS,
    ),
    "gemma2": Family(
        architecture="Gemma2ForCausalLM",
        defaults=_gemma(
            max_position_embeddings=8192,
            sliding_window_pattern=2,
            attn_logit_softcapping=50.0,
            final_logit_softcapping=30.0,
        ),
        **_GEMMA,
    ),
    "gemma3_text": Family(
        architecture="Gemma3ForCausalLM",
        defaults=_gemma(
            max_position_embeddings=131072,
            sliding_window_pattern=6,
            rope_theta=1e6,
            rope_local_base_freq=1e4,
        ),
        head_norm=HeadNorm.HEAD,
        local_rope=True,
        **_GEMMA,
    ),
    "phi3": Family(
        architecture="Phi3ForCausalLM",
        defaults={
            "max_position_embeddings": 4096,
            "original_max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
        },
        fused_qkv=True,
        fused_gate_up=True,
        window=Window.ALWAYS,
        partial_rotary=True,
        rope_names={"su": "longrope", "yarn": "longrope"},
    ),
    "olmo2": Family(
        architecture="Olmo2ForCausalLM",
        defaults={"max_position_embeddings": 2048, "rms_norm_eps": 1e-5},
        qkv_bias=ATTENTION,
        out_bias=ATTENTION,
        norms=POST_NORMS,
        head_norm=HeadNorm.WIDTH,
    ),
    "smollm3": Family(
        architecture="SmolLM3ForCausalLM",
        defaults={
            "max_position_embeddings": 32768,
            "num_key_value_heads": 4,
            "tie_word_embeddings": True,
            "rope_theta": 2e6,
        },
        qkv_bias=ATTENTION,
        out_bias=ATTENTION,
        mlp_bias="mlp_bias",
        unrotated=True,
    ),
    "granite": Family(
        architecture="GraniteForCausalLM",
        defaults={"max_position_embeddings": 2048, "attention_multiplier": 1.0},
        qkv_bias=ATTENTION,
        out_bias=ATTENTION,
        mlp_bias="mlp_bias",
        reads=("embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling"),
    ),
    "gpt_neox": Family(
        architecture="GPTNeoXForCausalLM",
        defaults={
            "max_position_embeddings": 2048,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-5,
            "rotary_pct": 0.25,
            "attention_bias": True,
            "use_parallel_residual": True,
        },
        aliases={
            "layer_norm_eps": "rms_norm_eps",
            "rotary_pct": "partial_rotary_factor",
            "rotary_emb_base": "rope_theta",
        },
        renames=(
            ("gpt_neox.", "model."),
            ("embed_in.", "embed_tokens."),
            ("embed_out.", "lm_head."),
            ("final_layer_norm.", "norm."),
            ("attention.query_key_value.", "self_attn.qkv_proj."),
            ("attention.dense.", "self_attn.o_proj."),
            ("mlp.dense_h_to_4h.", "mlp.up_proj."),
            ("mlp.dense_4h_to_h.", "mlp.down_proj."),
        ),
        computed=(".attention.bias", ".attention.masked_bias"),
        ignored=("num_key_value_heads", "head_dim", "rope_theta"),
        qkv_bias=ATTENTION,
        out_bias=ATTENTION,
        mlp_bias=True,
        centered_norms=True,
        fused_qkv=True,
        interleaved=True,
        gated=False,
        parallel="use_parallel_residual",
        partial_rotary=True,
    ),
    "qwen2_moe": Family(
        architecture="Qwen2MoeForCausalLM",
        defaults=_qwen(
            num_key_value_heads=16,
            qkv_bias=True,
            num_experts=60,
            num_experts_per_tok=4,
            moe_intermediate_size=1408,
            shared_expert_intermediate_size=5632,
        ),
        qkv_bias="qkv_bias",
        window=Window.EVEN,
        experts=True,
    ),
    "qwen3_moe": Family(
        architecture="Qwen3MoeForCausalLM",
        defaults=_qwen(
            num_key_value_heads=4,
            num_experts=128,
            num_experts_per_tok=8,
            moe_intermediate_size=768,
        ),
        aliases={"num_local_experts": "num_experts"},
        ignored=("shared_expert_intermediate_size",),
        qkv_bias=ATTENTION,
        out_bias=ATTENTION,
        head_norm=HeadNorm.HEAD,
        window=Window.ASKED,
        experts=True,
    ),
    "mixtral": Family(
        architecture="MixtralForCausalLM",
        defaults={
            "max_position_embeddings": 131072,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e6,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "norm_topk_prob": True,
        },
        aliases={"num_local_experts": "num_experts", "intermediate_size": "moe_intermediate_size"},
        ignored=("shared_expert_intermediate_size",),
        renames=(
            (".block_sparse_moe.", ".mlp."),
            (".w1.", ".gate_proj."),
            (".w3.", ".up_proj."),
            (".w2.", ".down_proj."),
        ),
        window=Window.ALWAYS,
        experts=True,
    ),
}
