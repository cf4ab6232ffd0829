"""How far candidates for each matrix move a model's predictions: second-order divergence, one pass back.

To second order KL(model || changed model) over a text is half the expected square of what the change of a
matrix's outputs adds to the log-probability of tokens that the model itself draws (its Fisher information).
A text runs through the unquantized model, tokens are drawn from its predictions, and their gradients go back
layer by layer; of the model one layer is held at a time, beside the hidden states before every layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from quantbench.engine.calibration import Cast, Pass
from quantbench.engine.config import read_config
from quantbench.engine.linear import Linear
from quantbench.engine.load import ParameterLoader
from quantbench.engine.parameters import Matrix
from quantbench.engine.plain.linear import PlainLinear
from quantbench.engine.plain.operations import PlainOperations
from quantbench.engine.sequential import check_layers
from quantbench.sources import ModelSource
from quantbench.sources.layout import EMBEDDING, HEAD
from quantbench.weights.formats import Weight
from quantbench.weights.readers import Quantizing, floats_of

AT_ONCE = 256  # tokens whose logits are held together
SEED = 0  # of the tokens that are drawn

# names and values [out, in] of matrices that are held as one -> for each candidate a weight of each
Candidates = Callable[[Sequence[str], Sequence[Tensor]], Sequence[Sequence[Weight]]]


@dataclass(frozen=True, slots=True)
class Product:
    """One product of a pass: inputs [tokens, in], outputs [tokens, out] without residual, with gradient."""

    matrix: Matrix
    x: Tensor
    y: Tensor


class Traced(PlainLinear):
    """A product that keeps what went in and came out."""

    def __init__(self, matrix: Matrix, found: list[Product]) -> None:
        super().__init__(matrix)
        self._traced, self._found = matrix, found

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        y = super().__call__(x, prompt=prompt)
        self._found.append(Product(self._traced, x.detach(), y))
        return y if residual is None else y + residual


class Tracing(PlainOperations):
    """Plain operations in float32 that keep every product."""

    found: list[Product]

    def linear(self, matrix: Matrix) -> Linear:
        return Traced(matrix, self.found)


class Backward:
    """One pass there and back; `losses` is its result."""

    def __init__(
        self, source: ModelSource, texts: Sequence[Sequence[int]], candidates: Candidates, device: str
    ) -> None:
        """ModelError for layers that are not plain."""
        self._config = read_config(source.config)
        check_layers(source, self._config)
        self._source, self._candidates, self._device = source, candidates, torch.device(device)
        lengths = [len(text) for text in texts]
        self._run = Pass(self._config, lengths, self._device, torch.float32)
        cast = Quantizing(source, Cast(self._device, torch.float32))
        self._loader = ParameterLoader(source, self._config, cast, self._device, torch.float32)
        self._ids = torch.tensor([token for text in texts for token in text])
        places = torch.arange(len(texts)).repeat_interleave(torch.tensor(lengths))
        self._text_of, self._texts = places.to(self._device), len(texts)
        self._shared: list[Weight] = []  # candidates of a tied embedding
        self.losses: dict[str, list[float]] = {}  # first name of matrices held as one -> nats a token

    def run(self) -> None:
        """The head, all layers from the last on, and the embedding."""
        states = self._forward()
        tied = self._config.tied
        gradient, summed = self._head(states.pop(), EMBEDDING if tied else HEAD)
        if not tied:
            self._keep(HEAD, summed)
        for number in reversed(range(self._config.layers)):
            gradient = self._layer(number, states.pop(), gradient)
        self._embedding(gradient, summed if tied else [])

    def _forward(self) -> list[Tensor]:
        """States [tokens, hidden_size] before every layer, and behind the last."""
        config = self._config
        table = floats_of(self._source, EMBEDDING, (config.vocab_size, config.hidden_size))
        states = [table[self._ids].to(self._device, torch.float32)]
        with torch.no_grad():
            for number in range(config.layers):
                states.append(self._run.layer(number, self._loader.layer(number), states[-1]))
        return states

    def _head(self, states: Tensor, name: str) -> tuple[Tensor, list[Tensor]]:
        """Gradient of the drawn tokens' log-probability at the states, and what candidates add to it."""
        config = self._config
        table = floats_of(self._source, name, (config.vocab_size, config.hidden_size))
        table = table.to(self._device, torch.float32)
        weights = self._of_table(name, table)
        self._shared = weights if config.tied else []
        drawing = torch.Generator(self._device).manual_seed(SEED)
        x = states.requires_grad_()
        read = self._run.operations.norm(x, self._loader.final_norm())
        back, added = [], [[] for _ in weights]  # type: ignore[var-annotated]
        for part in torch.split(read.detach(), AT_ONCE):
            logits = F.linear(part, table)
            likely = logits.softmax(-1)
            drawn = torch.multinomial(likely, 1, generator=drawing)
            slope = likely.neg_().scatter_add_(1, drawn, torch.ones_like(likely[:, :1]))
            back.append(slope @ table)
            for weight, sums in zip(weights, added, strict=True):
                sums.append(((F.linear(part, weight.dequantize()) - logits) * slope).sum(-1))
        (gradient,) = torch.autograd.grad(read, x, torch.cat(back))
        return gradient, [self._by_text(torch.cat(sums)) for sums in added]

    def _layer(self, number: int, states: Tensor, gradient: Tensor) -> Tensor:
        """Candidates of one layer; the gradient before it."""
        operations = Tracing(self._config)
        operations.found = []
        self._run.operations = operations  # type: ignore[assignment]
        x = states.requires_grad_()
        out = self._run.layer(number, self._loader.layer(number), x)
        made = operations.found
        before, *at = torch.autograd.grad(out, [x, *(product.y for product in made)], gradient)
        for product, slope in zip(made, at, strict=True):
            self._product(product, slope)
        return before

    def _product(self, product: Product, slope: Tensor) -> None:
        """What the candidates of a matrix add to its outputs, along their gradient."""
        names = [name for name, _ in product.matrix.parts]
        ends = torch.tensor([0, *(rows for _, rows in product.matrix.parts)]).cumsum(0).tolist()
        whole = product.matrix.weight.as_dtype(torch.float32)
        values = [whole[start:end] for start, end in pairwise(ends)]
        added = []
        for weights in self._candidates(names, values):
            changed = torch.cat([weight.dequantize() for weight in weights]) - whole
            added.append(self._by_text((F.linear(product.x, changed) * slope).sum(-1)))
        self._keep(names[0], added)

    def _embedding(self, gradient: Tensor, head: list[Tensor]) -> None:
        """Of rows that are looked up, and with them of a tied head."""
        config = self._config
        table = floats_of(self._source, EMBEDDING, (config.vocab_size, config.hidden_size))
        table = table.to(self._device, torch.float32)
        ids, added = self._ids.to(self._device), []
        for weight in self._shared if head else self._of_table(EMBEDDING, table):
            added.append(self._by_text(((weight.dequantize(ids) - table[ids]) * gradient).sum(-1)))
        self._keep(EMBEDDING, [a + b for a, b in zip(added, head, strict=True)] if head else added)

    def _of_table(self, name: str, table: Tensor) -> list[Weight]:
        """Candidates of a matrix that is held alone."""
        return [weight for (weight,) in self._candidates((name,), (table,))]

    def _by_text(self, values: Tensor) -> Tensor:
        """Sums [texts] of values [tokens]."""
        return torch.zeros(self._texts, device=self._device).index_add_(0, self._text_of, values)

    def _keep(self, name: str, added: list[Tensor]) -> None:
        self.losses[name] = [float(sums.square().sum()) / 2 / len(self._ids) for sums in added]


def candidate_divergences(
    source: ModelSource, texts: Sequence[Sequence[int]], candidates: Candidates, *, device: str
) -> dict[str, list[float]]:
    """First name of matrices that are held as one -> KL in nats a token that each candidate costs by itself.

    A tied embedding is the head, too. ModelError for layers that are not plain, and as for loading the model.
    """
    found = Backward(source, texts, candidates, device)
    found.run()
    return found.losses
