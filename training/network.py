"""The Qwen2 architecture in plain torch, for training and for the quick look at its score.

State-dict names are those of the published architecture. No cache and no speed at generating: the
product's own engine does that.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INIT_STD = 0.02  # small, so that what a matrix holds in the end was learned


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Widths that the method with 128 inputs a group divides."""

    vocab_size: int = 1536
    hidden_size: int = 256
    intermediate_size: int = 384
    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 1024

    def config(self) -> dict[str, Any]:
        """config.json of a transformers folder."""
        fields = asdict(self)
        theta = fields.pop("rope_theta")
        return {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            **fields,
            "rope_theta": theta,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "attention_dropout": 0.0,
            "use_sliding_window": False,
            "bos_token_id": None,
            "eos_token_id": 0,
            "pad_token_id": 0,
            "torch_dtype": "float16",
        }


def rope_tables(shape: Shape, positions: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin [*positions.shape, head_dim] for rotating halves."""
    half = torch.arange(0, shape.head_dim, 2, device=positions.device).float() / shape.head_dim
    angles = positions[..., None].float() / shape.rope_theta**half
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (self.weight * (wide * scale)).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.head_dim
        self.q_proj = nn.Linear(shape.hidden_size, shape.num_attention_heads * width)
        self.k_proj = nn.Linear(shape.hidden_size, shape.num_key_value_heads * width)
        self.v_proj = nn.Linear(shape.hidden_size, shape.num_key_value_heads * width)
        self.o_proj = nn.Linear(shape.num_attention_heads * width, shape.hidden_size, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        """x [rows, length, hidden]; mask [rows, 1, length, length] or None for causal."""
        rows, length, _ = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(rows, length, -1, self.shape.head_dim).transpose(1, 2)

        q, k, v = heads(self.q_proj(x)), heads(self.k_proj(x)), heads(self.v_proj(x))
        cos, sin = cos[:, None].to(q.dtype), sin[:, None].to(q.dtype)
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        repeat = self.shape.num_attention_heads // self.shape.num_key_value_heads
        k, v = k.repeat_interleave(repeat, dim=1), v.repeat_interleave(repeat, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.o_proj(y.transpose(1, 2).reshape(rows, length, -1))


class MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.mlp = MLP(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    """What checkpoints call `model`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.num_hidden_layers))
        self.norm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)


class Network(nn.Module):
    """Token ids to logits, the embedding tied to the head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Body(shape)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = INIT_STD
                if name.endswith(("o_proj.weight", "down_proj.weight")):  # they write to the residual
                    scale /= (2 * shape.num_hidden_layers) ** 0.5
                nn.init.normal_(parameter, std=scale)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def hidden(self, ids: Tensor, positions: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """ids [rows, length] -> [rows, length, hidden]; positions count from 0 by default."""
        if positions is None:
            positions = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
        cos, sin = rope_tables(self.shape, positions)
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, cos, sin, mask)
        return self.model.norm(x)

    def head(self, hidden: Tensor) -> Tensor:
        """[..., hidden] -> logits [..., vocab_size]."""
        return F.linear(hidden, self.model.embed_tokens.weight)

    def forward(self, ids: Tensor, positions: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """ids [rows, length] -> logits [rows, length, vocab_size]."""
        return self.head(self.hidden(ids, positions, mask))

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())
