"""Who multiplies a step's matrices: the tiled kernel, or another one that takes some of them over.

What computes a product's inputs writes them in the order that the product wants, so a step asks for the
order, for the number of partial sums and for the tiles of a head before it allocates anything.
"""

from typing import Protocol

from torch import Tensor

from quantbench.engine.cuda.operations import StepOperations
from quantbench.engine.cuda.triton.interleave import NATURAL, interleave_of
from quantbench.engine.cuda.triton.linear import Epilogue, tiles_of
from quantbench.engine.cuda.triton.tiles import slices_for, tile_for
from quantbench.engine.parameters import Matrix


class Products(Protocol):
    """Products of a fixed number of tokens."""

    def order_of(self, matrix: Matrix) -> int:
        """The order in which a matrix wants its inputs: a run of interleave.py."""

    def slices_of(self, matrix: Matrix) -> int:
        """In how many partial sums a product into the residual stream comes."""

    def tiles_of(self, matrix: Matrix) -> int:
        """How many candidates a row of Epilogue.BEST has."""

    def __call__(
        self,
        matrix: Matrix,
        x: Tensor,
        out: Tensor,
        *,
        epilogue: Epilogue = Epilogue.STORE,
        ids: Tensor | None = None,
        order: int = NATURAL,
    ) -> None:
        """What `triton.linear.tiled_linear` says."""


class TiledProducts:
    """All by `StepOperations.linear`, with the tile that is best for the number of tokens."""

    def __init__(self, operations: StepOperations, tokens: int, activation: str) -> None:
        self._linear, self._tokens, self._activation = operations.linear, tokens, activation

    def order_of(self, matrix: Matrix) -> int:
        return interleave_of(matrix.weight)

    def slices_of(self, matrix: Matrix) -> int:
        return slices_for(matrix.weight)

    def tiles_of(self, matrix: Matrix) -> int:
        return tiles_of(matrix, tile_for(matrix.weight, self._tokens))

    def __call__(
        self,
        matrix: Matrix,
        x: Tensor,
        out: Tensor,
        *,
        epilogue: Epilogue = Epilogue.STORE,
        ids: Tensor | None = None,
        order: int = NATURAL,
    ) -> None:
        tile = tile_for(matrix.weight, len(x))
        self._linear(
            matrix, x, out, tile=tile, epilogue=epilogue, ids=ids, order=order, activation=self._activation
        )
