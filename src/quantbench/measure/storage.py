"""Which matrices are really held how: a loaded model's own account, gathered by kind; judges nothing."""

from quantbench.decoding import Audited, Decoder, HeldMatrix
from quantbench.measure.size import count_parameters, storage_bytes
from quantbench.records import HeldKind
from quantbench.sources import ModelSource
from quantbench.sources.layout import is_tied

KINDS = {
    "embed_tokens": "embedding",
    "wte": "embedding",
    "word_embeddings": "embedding",
    "embed_in": "embedding",
    "embeddings": "embedding",
    "lm_head": "head",
    "embed_out": "head",
    "q_proj": "q",
    "k_proj": "k",
    "v_proj": "v",
    "o_proj": "o",
    "gate_proj": "gate",
    "up_proj": "up",
    "down_proj": "down",
    "qkv_proj": "q, k, v",
    "gate_up_proj": "gate, up",
    "gate": "router",
    "shared_expert_gate": "gate of the shared expert",
}
REST = "norms, biases"


def audit(decoder: Decoder, source: ModelSource) -> tuple[HeldKind, ...]:
    """Every matrix by kind and by how it is held, then what is no matrix; empty where a decoder cannot say.

    Call it after a forward: some libraries repack on the first.
    """
    if not isinstance(decoder, Audited):
        return ()
    found: dict[tuple[object, ...], list[HeldMatrix]] = {}
    for matrix in decoder.held():
        kind = module_of(matrix.name, tied=matrix.tied or is_tied(source.config))
        way = (kind, matrix.format, matrix.group_size, matrix.kernel, matrix.prompt_kernel)
        found.setdefault(way, []).append(matrix)
    kinds = tuple(kind_of(str(way[0]), matrices) for way, matrices in found.items())
    rest = storage_bytes(tensor for _, tensor in decoder.resident_tensors()) - sum(k.nbytes for k in kinds)
    others = count_parameters(decoder, source) - sum(kind.parameters for kind in kinds)
    if rest <= 0 or others <= 0:
        return kinds
    vectors = HeldKind(
        module=REST,
        format="floats",
        matrices=0,
        parameters=others,
        nbytes=rest,
        kernel="as activations",
        prompt_kernel="as activations",
    )
    return (*kinds, vectors)


def module_of(name: str, *, tied: bool) -> str:
    """'q' of 'model.layers.3.self_attn.q_proj.weight'."""
    last = name.removesuffix(".weight").rpartition(".")[2]
    kind = KINDS.get(last, last)
    if ".experts." in name:
        return f"{kind} of experts"
    return f"{kind}, tied head" if tied and kind == KINDS["embed_tokens"] else kind


def kind_of(module: str, matrices: list[HeldMatrix]) -> HeldKind:
    """Matrices of one kind that are held in one way."""
    first = matrices[0]
    return HeldKind(
        module=module,
        format=first.format,
        group_size=first.group_size,
        matrices=len(matrices),
        parameters=sum(matrix.parameters for matrix in matrices),
        nbytes=sum(matrix.nbytes for matrix in matrices),
        kernel=first.kernel,
        prompt_kernel=first.prompt_kernel,
    )
