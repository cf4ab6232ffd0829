"""Training rows: documents (prompt, solution, end of text) packed without crossing into one another.

A chunk depends on its number and the seed alone, so that worker processes can make chunks in any order
and the stream is still the same.
"""

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.examples import Part, draw_examples
from training.tokenizer import END

ROW_TOKENS = 512
CHUNK_EXAMPLES = 4096
OPEN_ROWS = 8  # rows that are being filled at a time
PADDING, PROMPT, SOLUTION = 0, 1, 2  # kinds of tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Arrays [rows, ROW_TOKENS]: token ids, the document's number in its row (0 is none), kinds."""

    ids: NDArray[np.uint16]
    documents: NDArray[np.uint8]
    kinds: NDArray[np.uint8]
    solution_tokens: int


def make_chunk(seed: int, number: int, tokenizer_file: str, examples: int = CHUNK_EXAMPLES) -> Chunk:
    """Chunk `number` of the training part."""
    tokenizer = Tokenizer.from_file(tokenizer_file)
    end = tokenizer.token_to_id(END)
    drawn = list(draw_examples(Part.TRAINING, seed=seed, chunk=number + 1, count=examples))
    prompts = tokenizer.encode_batch_fast([example.prompt for example in drawn])
    solutions = tokenizer.encode_batch_fast([example.solution for example in drawn])
    documents = [
        (prompt.ids, [*solution.ids, end]) for prompt, solution in zip(prompts, solutions, strict=True)
    ]
    return _pack([d for d in documents if len(d[0]) + len(d[1]) <= ROW_TOKENS], random.Random(number))


def _pack(documents: list[tuple[list[int], list[int]]], rng: random.Random) -> Chunk:
    closed: list[list[tuple[list[int], list[int]]]] = []
    opened: list[tuple[int, list[tuple[list[int], list[int]]]]] = []  # (free tokens, documents)
    for document in documents:
        size = len(document[0]) + len(document[1])
        place = next((i for i, (free, _) in enumerate(opened) if free >= size), None)
        if place is None:
            if len(opened) == OPEN_ROWS:
                fullest = min(range(OPEN_ROWS), key=lambda i: opened[i][0])
                closed.append(opened.pop(fullest)[1])
            opened.append((ROW_TOKENS - size, [document]))
        else:
            free, row = opened[place]
            opened[place] = (free - size, [*row, document])
    closed += [row for _, row in opened]
    rng.shuffle(closed)
    return _arrays(closed)


def _arrays(rows: list[list[tuple[list[int], list[int]]]]) -> Chunk:
    ids = np.zeros((len(rows), ROW_TOKENS), np.uint16)
    documents = np.zeros((len(rows), ROW_TOKENS), np.uint8)
    kinds = np.zeros((len(rows), ROW_TOKENS), np.uint8)
    for number, row in enumerate(rows):
        at = 0
        for count, (prompt, solution) in enumerate(row, start=1):
            middle, end = at + len(prompt), at + len(prompt) + len(solution)
            ids[number, at:middle], ids[number, middle:end] = prompt, solution
            documents[number, at:end] = count
            kinds[number, at:middle], kinds[number, middle:end] = PROMPT, SOLUTION
            at = end
    return Chunk(ids=ids, documents=documents, kinds=kinds, solution_tokens=int((kinds == SOLUTION).sum()))
