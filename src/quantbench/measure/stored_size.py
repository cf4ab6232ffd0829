"""What a GGUF file holds, tensor by tensor: size and storage of an engine that runs the file as it is."""

from quantbench.decoding import FLOAT_SCHEMES, HeldMatrix, held_scheme
from quantbench.measure.storage import REST, kind_of, module_of
from quantbench.records import HeldKind, Size
from quantbench.sources.gguf_source import GgufSource
from quantbench.sources.layout import count, is_tied, parameter_count
from quantbench.weights.formats.block_rows import code_scheme, scale_group

WIDTHS = {"F32": "W32", "F16": "W16", "BF16": "WBF16"}


def size_of_gguf(source: GgufSource, told: int) -> Size:
    """`told` is what the engine says that its tensors take, bytes."""
    schemes: dict[str, int] = {}
    kept: list[str] = []
    for name in matrices(source):
        kind = source.kind(name)
        scheme = scheme_of(kind.name)
        schemes[scheme] = schemes.get(scheme, 0) + count(source.shape(name))
        if scheme in FLOAT_SCHEMES:
            kept.append(name)
    quantized = sum(number for scheme, number in schemes.items() if scheme not in FLOAT_SCHEMES)
    return Size(
        weight_bytes=told,
        checkpoint_bytes=source.checkpoint_bytes,
        effective_bits=8 * told / max(1, parameter_count(source.config) or 1),
        quantized_parameters=quantized,
        kept_parameters=sum(count(source.shape(name)) for name in kept) if quantized else 0,
        kept_layers=tuple(kept) if quantized else (),
        schemes=schemes,
    )


def storage_of_gguf(source: GgufSource, engine: str) -> tuple[HeldKind, ...]:
    """Every matrix by kind and by how the file holds it, then what is no matrix."""
    tied = is_tied(source.config)
    found: dict[tuple[str, str], list[HeldMatrix]] = {}
    rest = [name for name in source.names() if name not in matrices(source)]
    for name in matrices(source):
        kind, values = source.kind(name), count(source.shape(name))
        held = HeldMatrix(
            name=name,
            format=WIDTHS.get(kind.name, kind.name),
            group_size=None if kind.name in WIDTHS else scale_group(kind.name),
            parameters=values,
            nbytes=values // kind.values * kind.nbytes,
            kernel=f"{engine}'s own",
            prompt_kernel=f"{engine}'s own",
        )
        found.setdefault((module_of(name, tied=tied), held.format), []).append(held)
    kinds = tuple(kind_of(module, held) for (module, _), held in found.items())
    if not rest:
        return kinds
    vectors = HeldKind(
        module=REST,
        format="floats",
        matrices=0,
        parameters=sum(count(source.shape(name)) for name in rest),
        nbytes=sum(count(source.shape(n)) // source.kind(n).values * source.kind(n).nbytes for n in rest),
        kernel="as activations",
        prompt_kernel="as activations",
    )
    return (*kinds, vectors)


def scheme_of(kind: str) -> str:
    """'W5' of Q5_0, 'W16' of F16."""
    return WIDTHS[kind] if kind in WIDTHS else code_scheme(kind)


def scheme_of_gguf(source: GgufSource) -> str:
    """How the file's quantized matrices are held: 'W4/5/6/8'. What they are multiplied with is not told."""
    kinds = {
        name: (scheme_of(source.kind(name).name), count(source.shape(name))) for name in matrices(source)
    }
    return held_scheme(kinds)


def matrices(source: GgufSource) -> list[str]:
    """Names of the tensors that have rows and columns."""
    return [name for name in source.names() if len(source.shape(name)) == 2]
