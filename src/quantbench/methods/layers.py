"""The layers of a transformers model that can be packed, and what a text tells of their inputs.

What goes into a layer is seen by hooks, so that any architecture will do whose layers are called as modules.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantbench.sources.layout import EMBEDDING, HEAD

if TYPE_CHECKING:
    from torch import Tensor, nn

    from quantbench.engine.sequential import QuantizeTogether
    from quantbench.weights.formats import Weight

MOMENT_BYTES = 1 << 29  # of second moments that are summed in one pass of the texts


@dataclass(frozen=True, slots=True)
class Layer:
    """One matrix: its name, for embedding and head that of our engine, and the modules that hold it."""

    name: str
    modules: "tuple[nn.Module, ...]"

    def matrix(self) -> "Tensor":
        """The values [out, in]."""
        from quantbench.decoding.packed_modules import CONV

        weight: Any = self.modules[0].weight
        values: Tensor = weight.data
        return values.T.contiguous() if type(self.modules[0]).__name__ == CONV else values

    @property
    def is_table(self) -> bool:
        """Whether its rows are looked up alone."""
        from torch import nn

        return all(isinstance(module, nn.Embedding) for module in self.modules)

    def put(self, values: "Tensor") -> None:
        """Other values [out, in]."""
        from quantbench.decoding.packed_modules import CONV

        weight: Any = self.modules[0].weight
        weight.data.copy_(values.T if type(self.modules[0]).__name__ == CONV else values)


class Layers:
    """The layers of a model that can be packed, each matrix once."""

    def __init__(self, model: Any) -> None:
        self.model = model
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        found: dict[int, list[tuple[str, nn.Module]]] = {}
        for name, module in packable(model):
            found.setdefault(id(module.weight), []).append((name, module))
        self.layers = [
            Layer(
                own_name(name, [module for _, module in shared], embedding, head),
                tuple(module for _, module in shared),
            )
            for shared in found.values()
            for name, _ in shared[:1]
        ]

    def mean_squares(self, texts: Sequence[Sequence[int]]) -> "dict[str, Tensor]":
        """Matrix name -> mean square of each input over all tokens of `texts`; tables looked up have none."""
        return self._means(texts, self.layers, lambda rows: rows.square().sum(dim=0))

    def quantize_in_turn(
        self, texts: Sequence[Sequence[int]], quantize: "QuantizeTogether"
    ) -> "tuple[Mapping[str, Tensor], dict[str, Weight]]":
        """Mean squares of all inputs behind it, and a weight for each linear layer, one after the other.

        The layers, head apart, take their turns as the model defines them, so many together as MOMENT_BYTES
        allow: the second moments of their inputs are those behind the ones quantized before. A layer then has
        its weight's values. Layers that no token reached have none.
        """
        import torch

        from quantbench.engine.sequential import Moments

        weights: dict[str, Weight] = {}
        for together in self._turns():
            found = self._means(texts, together, lambda rows: rows.T @ rows)
            for layer in together:
                if (hessian := found.pop(layer.name, None)) is None:
                    continue
                matrix = layer.matrix().float()
                (weight,) = quantize([layer.name], [matrix], Moments(hessian, torch.zeros_like(matrix)))
                if not weight.is_float:
                    layer.put(weight.dequantize())
                    weights[layer.name] = weight
        return self.mean_squares(texts), weights

    def _turns(self) -> "Iterator[list[Layer]]":
        """Linear layers, head apart, so many together as their second moments leave room for."""
        together: list[Layer] = []
        room = MOMENT_BYTES
        for layer in self.layers:
            if layer.name in (EMBEDDING, HEAD) or layer.is_table:
                continue
            size = 4 * layer.matrix().shape[1] ** 2
            if together and size > room:
                yield together
                together, room = [], MOMENT_BYTES
            together.append(layer)
            room -= size
        if together:
            yield together

    def _means(
        self, texts: Sequence[Sequence[int]], layers: "Sequence[Layer]", summed: "Callable[[Tensor], Tensor]"
    ) -> "dict[str, Tensor]":
        """Matrix name -> mean over all tokens of what `summed` makes of its inputs, float32 [tokens, in]."""
        import torch

        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = {}

        def note(name: str, x: "Tensor") -> None:
            rows = x.detach().reshape(-1, x.shape[-1]).float()
            sums[name] = sums.get(name, 0) + summed(rows)
            counts[name] = counts.get(name, 0) + len(rows)

        hooks = [
            module.register_forward_pre_hook(lambda _, given, name=layer.name: note(name, given[0]))
            for layer in layers
            for module in layer.modules
            if not isinstance(module, torch.nn.Embedding)
        ]
        with torch.inference_mode():
            for text in texts:
                self.model(torch.tensor([list(text)], device=self.model.device), use_cache=False)
        for hook in hooks:
            hook.remove()
        return {name: total / counts[name] for name, total in sums.items() if counts[name]}


def packable(model: Any) -> "Iterator[tuple[str, Any]]":
    """Linear layers and embeddings whose parameter is a float."""
    from quantbench.decoding.module_tensors import FLOAT_SCHEMES
    from quantbench.decoding.packed_modules import base_of

    for name, module in model.named_modules():
        parameter = module._parameters.get("weight")
        if base_of(module) is not None and parameter is not None and parameter.dtype in FLOAT_SCHEMES:
            yield name, module


def own_name(name: str, modules: "Sequence[nn.Module]", embedding: Any, head: Any) -> str:
    """A matrix's name, those of embedding and head as our engine calls them."""
    if any(module is embedding for module in modules):
        return EMBEDDING
    return HEAD if any(module is head for module in modules) else f"{name}.weight"
