"""One trial's distance from the baseline: which texts are scored, and against whose predictions.

By default the texts are the tasks' prompts with their canonical solutions, one a problem; or a file of the
user's, cut into windows. The baseline runs first and leaves its predictions in the results folder; the
other trials, each in its own process, read them. Where they are missing the distance is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantbench.decoding import Decoder
from quantbench.errors import UsageError
from quantbench.evaluate import Progress, limit_task
from quantbench.measure.distance import (
    ReferenceMissing,
    ScoredText,
    is_readable,
    load_reference,
    save_reference,
    score_baseline,
    score_method,
)
from quantbench.plan import Trial
from quantbench.records import Distance
from quantbench.tasks import load_task
from quantbench.tasks.problem import Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WINDOW = 512  # tokens of a file that are one text
FLOOR_TAIL = 7  # tokens behind each text of the noise floor: other matrix shapes, the same predictions


def reference_path(folder: Path, baseline_id: str) -> Path:
    """Where the predictions of the trial with this id are kept."""
    return folder / "distance" / f"{baseline_id}.npz"


def has_predictions(folder: Path, baseline_id: str) -> bool:
    """Whether the predictions of the trial with this id are there and whole."""
    return is_readable(reference_path(folder, baseline_id))


def distance_of(
    trial: Trial, decoder: Decoder, tokenizer: "Tokenizer", *, folder: Path, progress: Progress
) -> tuple[Distance | None, str | None]:
    """The trial's distance from its baseline, or None and the reason; a baseline leaves its predictions."""
    tail = FLOOR_TAIL if trial.role == "floor" else 0
    corpus = corpus_of(trial, tokenizer, decoder.max_positions - FLOOR_TAIL)
    if not corpus.texts:
        return None, "no text of two tokens or more to score, so the distance from the baseline is not known"
    if trial.reference is None:
        distance, reference = score_baseline(decoder, corpus.texts, title=corpus.title, progress=progress)
        save_reference(reference_path(folder, trial.id), reference)
        return distance, None
    try:
        reference = load_reference(reference_path(folder, trial.reference), corpus.texts)
    except ReferenceMissing as missing:
        return None, str(missing)
    distance = score_method(
        decoder, corpus.texts, reference, title=corpus.title, progress=progress, tail=tail
    )
    return distance, None


def corpus_of(trial: Trial, tokenizer: "Tokenizer", max_tokens: int) -> "Corpus":
    """The trial's --text file, or its tasks' problems within its limit."""
    if trial.text is not None:
        return file_corpus(Path(trial.text), tokenizer, max_tokens)
    tasks = [limit_task(load_task(name, trial.task_data), trial.limit) for name in trial.tasks]
    return task_corpus(tasks, tokenizer, max_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Texts with at least two tokens each, and what they are."""

    title: str
    texts: tuple[ScoredText, ...]


def task_corpus(tasks: Sequence[Task], tokenizer: "Tokenizer", max_tokens: int) -> Corpus:
    """Prompt and canonical solution of every problem, cut at `max_tokens`; prompts are scored as such."""
    texts = []
    for task in tasks:
        for problem in task.problems:
            prompt = task.protocol.prompt(problem)
            ids = tokenizer.encode(prompt + problem.canonical_solution).ids
            texts.append((problem.task_id, ids, shared_tokens(ids, tokenizer.encode(prompt).ids)))
    names = " and ".join(task.name for task in tasks)
    return _corpus(f"prompts and canonical solutions of {names}", texts, max_tokens)


def shared_tokens(text: Sequence[int], prompt: Sequence[int]) -> int:
    """How many tokens a text shares with its prompt, whose last one may have merged with what follows."""
    pairs = enumerate(zip(text, prompt, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(text), len(prompt)))


def file_corpus(path: Path, tokenizer: "Tokenizer", max_tokens: int) -> Corpus:
    """A text file in windows of 512 tokens, scored as new tokens.

    UsageError when it cannot be read or is too short.
    """
    try:
        ids = tokenizer.encode(path.read_text()).ids
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the text '{path}' ({error}); give --text a file in UTF-8") from error
    step = min(WINDOW, max_tokens)
    windows = [(f"{path.name}:{start}", ids[start : start + step], 0) for start in range(0, len(ids), step)]
    corpus = _corpus(path.name, windows, max_tokens)
    if not corpus.texts:
        raise UsageError(f"'{path}' holds fewer than two tokens; give --text a longer file")
    return corpus


def _corpus(title: str, texts: Sequence[tuple[str, list[int], int]], max_tokens: int) -> Corpus:
    """Of (name, tokens, how many of them are a prompt)."""
    cut = sum(len(ids) > max_tokens for _, ids, _ in texts)
    kept = tuple(
        ScoredText(name=name, token_ids=tuple(ids[:max_tokens]), prompt_tokens=min(prompt, max_tokens))
        for name, ids, prompt in texts
        if len(ids) > 1
    )
    return Corpus(title=f"{title} ({cut} cut at {max_tokens} tokens)" if cut else title, texts=kept)
