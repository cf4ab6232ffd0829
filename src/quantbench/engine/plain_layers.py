"""Which models have plain layers, which some kernels and methods want; nothing is computed here."""

from quantbench.engine.config import ModelConfig
from quantbench.sources.family import PRE_NORMS, HeadNorm
from quantbench.sources.family_table import FAMILIES
from quantbench.units import listed


def beyond_plain_layers(config: ModelConfig) -> str | None:
    """What of a model's layers is not plain, as the subject of a sentence in the plural; None where all is.

    Plain are RMS norms before attention and MLP alone, norms of heads, one rotation for all layers, an MLP
    with gates, and states and scores that nothing scales or caps.
    """
    family = FAMILIES[config.family]
    unknown = {
        "norms elsewhere than before attention and MLP": family.norms != PRE_NORMS,
        "norms over all heads together": family.head_norm is HeadNorm.WIDTH,
        "norms that center": config.centered_norms,
        "MLPs without gates": not config.gated,
        "attention and MLP of the same states": config.parallel,
        "experts": config.chosen_experts > 0,
        "layers with rotations of their own": len(set(config.ropes)) > 1,
        "soft caps": bool(config.attention_cap or config.logit_cap),
        "scaled embeddings or residuals": (config.embedding_scale, config.residual_scale) != (1, 1),
    }
    return listed([what for what, is_so in unknown.items() if is_so]) or None
