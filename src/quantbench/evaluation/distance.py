"""One trial's distance from the baseline: which texts are scored, and against whose predictions.

By default the texts are the tasks' prompts with their canonical solutions, one a problem; or a file of the
user's, cut into windows. The baseline runs first and leaves its predictions in the results folder; the
other trials, each in its own process, read them. Where they are missing the distance is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantbench.decoding import Decoder, TellsMostLikely
from quantbench.errors import UsageError
from quantbench.measure import partial_distance
from quantbench.measure.distance import score_baseline, score_method
from quantbench.measure.predictions import (
    Reference,
    ReferenceMissing,
    ScoredText,
    is_readable,
    load_reference,
    save_reference,
)
from quantbench.plan import Role, Trial
from quantbench.progress import Progress
from quantbench.records import Distance
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
    trial: Trial,
    decoder: Decoder,
    tokenizer: "Tokenizer",
    tasks: Sequence[Task],
    *,
    folder: Path,
    progress: Progress,
) -> tuple[Distance | None, str | None]:
    """The trial's distance from its baseline, or None and the reason; a baseline leaves its predictions."""
    if isinstance(decoder, TellsMostLikely) and (reason := decoder.unscored_reason()):
        return None, f"the distance from the baseline is not known: {reason}"
    corpus = scored_corpus(trial, tokenizer, decoder, tasks)
    if not corpus.texts:
        return None, f"the distance from the baseline is not known: nothing to score in {corpus.title}"
    if trial.reference is None:
        distance, reference = baseline_of(decoder, corpus, progress)
        save_reference(reference_path(folder, trial.id), reference)
        return distance, None
    try:
        reference = load_reference(reference_path(folder, trial.reference), corpus.texts)
    except ReferenceMissing as missing:
        return None, str(missing)
    return method_of(decoder, corpus, reference, progress, floor=trial.role is Role.FLOOR), None


def baseline_of(decoder: Decoder, corpus: "Corpus", progress: Progress) -> tuple[Distance, Reference]:
    """What a baseline leaves, from its logits or from what its server tells."""
    if isinstance(decoder, TellsMostLikely):
        return partial_distance.score_baseline(decoder, corpus.texts, title=corpus.title, progress=progress)
    return score_baseline(decoder, corpus.texts, title=corpus.title, progress=progress)


def method_of(
    decoder: Decoder, corpus: "Corpus", reference: Reference, progress: Progress, *, floor: bool
) -> Distance:
    """The distance of a method, from its logits or from what its server tells."""
    title = corpus.title
    if isinstance(decoder, TellsMostLikely):
        return partial_distance.score_method(decoder, corpus.texts, reference, title=title, progress=progress)
    tail = FLOOR_TAIL if floor else 0
    return score_method(decoder, corpus.texts, reference, title=title, progress=progress, tail=tail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a model takes: so many tokens in one text, each of so many."""

    tokens: int
    vocabulary: int


def scored_corpus(trial: Trial, tokenizer: "Tokenizer", decoder: Decoder, tasks: Sequence[Task]) -> "Corpus":
    """The texts that the distance is measured on, with capacity for the floor's longer ones."""
    capacity = Capacity(tokens=decoder.max_positions - FLOOR_TAIL, vocabulary=decoder.vocab_size)
    return corpus_of(trial, tokenizer, capacity, tasks)


def scored_texts(
    trial: Trial, tokenizer: "Tokenizer", decoder: Decoder, tasks: Sequence[Task]
) -> tuple[ScoredText, ...]:
    """The texts of `scored_corpus`."""
    return scored_corpus(trial, tokenizer, decoder, tasks).texts


def corpus_of(trial: Trial, tokenizer: "Tokenizer", capacity: Capacity, tasks: Sequence[Task]) -> "Corpus":
    """The trial's --text file, or its tasks' problems."""
    if trial.distance.text is not None:
        return file_corpus(Path(trial.distance.text), tokenizer, capacity)
    return task_corpus(tasks, tokenizer, capacity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Texts with at least two tokens each, and what they are."""

    title: str
    texts: tuple[ScoredText, ...]


def task_corpus(tasks: Sequence[Task], tokenizer: "Tokenizer", capacity: Capacity) -> Corpus:
    """Prompt and canonical solution of every problem, cut to the capacity; prompts are scored as such."""
    texts = []
    for task in tasks:
        for problem in task.problems:
            prompt = task.protocol.prompt(problem)
            whole = prompt + task.protocol.solution(problem)
            special = not task.protocol.is_chat
            ids, asked = (tokenizer.encode(text, add_special_tokens=special).ids for text in (whole, prompt))
            texts.append((problem.task_id, ids, shared_tokens(ids, asked)))
    names = " and ".join(task.name for task in tasks)
    return _corpus(f"prompts and canonical solutions of {names}", texts, capacity)


def shared_tokens(text: Sequence[int], prompt: Sequence[int]) -> int:
    """How many tokens a text shares with its prompt, whose last one may have merged with what follows."""
    pairs = enumerate(zip(text, prompt, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(text), len(prompt)))


def file_corpus(path: Path, tokenizer: "Tokenizer", capacity: Capacity) -> Corpus:
    """A text file in windows of 512 tokens, scored as new tokens.

    UsageError when it cannot be read or is too short.
    """
    try:
        ids = tokenizer.encode(path.read_text()).ids
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the text '{path}' ({error}); give --text a file in UTF-8") from error
    step = max(1, min(WINDOW, capacity.tokens))
    windows = [(f"{path.name}:{start}", ids[start : start + step], 0) for start in range(0, len(ids), step)]
    if len(ids) < 2:
        raise UsageError(f"'{path}' holds fewer than two tokens; give --text a longer file")
    return _corpus(path.name, windows, capacity)


def _corpus(title: str, texts: Sequence[tuple[str, list[int], int]], capacity: Capacity) -> Corpus:
    """Of (name, tokens, how many of them are a prompt); what is cut or left out is counted in the title."""
    most = max(0, capacity.tokens)
    cut = sum(len(ids) > most for _, ids, _ in texts)
    known = [text for text in texts if max(text[1], default=0) < capacity.vocabulary]
    kept = tuple(
        ScoredText(name=name, token_ids=tuple(ids[:most]), prompt_tokens=min(prompt, most))
        for name, ids, prompt in known
        if min(len(ids), most) > 1
    )
    notes = [f"{cut} cut at {most} tokens"] if cut else []
    if unknown := len(texts) - len(known):
        notes.append(f"{unknown} left out for a token beyond the model's {capacity.vocabulary}")
    return Corpus(title=f"{title} ({', '.join(notes)})" if notes else title, texts=kept)
