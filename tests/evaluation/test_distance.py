from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from quantbench.errors import UsageError
from quantbench.evaluation.distance import (
    FLOOR_TAIL,
    Capacity,
    distance_of,
    file_corpus,
    reference_path,
    shared_tokens,
    task_corpus,
)
from quantbench.plan import Role
from quantbench.tasks import load_task
from tests.bigram import BigramDecoder, random_table
from tests.builders import make_trial

WORDS = [f"w{number}" for number in range(20)]


def make_tokenizer() -> Tokenizer:
    model = models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="w0")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def space(tokens: int, vocabulary: int = 1 << 20) -> Capacity:
    return Capacity(tokens=tokens, vocabulary=vocabulary)


def quiet(stage: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text(" ".join(WORDS * 4))
    return str(path)


def test_method_is_compared_with_what_its_baseline_left(tmp_path: Path, text: str) -> None:
    baseline = make_trial(text=text)
    method = make_trial(method="int4", text=text, reference=baseline.id)
    table = random_table(20, seed=1)
    distance_of(baseline, BigramDecoder(table), make_tokenizer(), [], folder=tmp_path, progress=quiet)
    distance, reason = distance_of(
        method, BigramDecoder(2 * table), make_tokenizer(), [], folder=tmp_path, progress=quiet
    )
    assert reason is None
    assert distance is not None
    assert min(kl for problem in distance.problems for kl in problem.kl) > 0


def test_baseline_has_losses_and_no_divergence(tmp_path: Path, text: str) -> None:
    decoder = BigramDecoder(random_table(20, seed=1))
    distance, _ = distance_of(
        make_trial(text=text), decoder, make_tokenizer(), [], folder=tmp_path, progress=quiet
    )
    assert distance is not None
    assert all(problem.kl == () and problem.nll > 0 for problem in distance.problems)


def test_distance_without_the_baselines_file_is_missing_with_a_reason(tmp_path: Path, text: str) -> None:
    trial = make_trial(text=text, reference="gone")
    decoder = BigramDecoder(random_table(20, seed=1))
    distance, reason = distance_of(trial, decoder, make_tokenizer(), [], folder=tmp_path, progress=quiet)
    assert distance is None
    assert reason is not None and "not in the results folder" in reason


def test_floor_scores_the_same_tokens_in_other_shapes(tmp_path: Path, text: str) -> None:
    baseline = make_trial(text=text)
    table = random_table(20, seed=1)
    distance_of(baseline, BigramDecoder(table), make_tokenizer(), [], folder=tmp_path, progress=quiet)
    decoder = BigramDecoder(table)
    floor = baseline.changed(role=Role.FLOOR, reference=baseline.id)
    distance, _ = distance_of(floor, decoder, make_tokenizer(), [], folder=tmp_path, progress=quiet)
    assert distance is not None
    assert len(decoder.scored[0]) == distance.problems[0].tokens + 1 + FLOOR_TAIL
    assert reference_path(tmp_path, baseline.id).exists()


def test_file_is_cut_into_windows_that_lose_no_token(tmp_path: Path, text: str) -> None:
    corpus = file_corpus(Path(text), make_tokenizer(), space(30))
    assert [len(t.token_ids) for t in corpus.texts] == [30, 30, 20]


def test_file_that_is_not_text_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        file_corpus(tmp_path / "x", make_tokenizer(), space(30))


def test_a_tasks_prompts_are_scored_as_prompts_and_their_solutions_as_answers(tmp_path: Path) -> None:
    task, tokenizer = load_task("quickeval", None), make_tokenizer()
    decoder = BigramDecoder(random_table(20, seed=1))
    trial = make_trial(tasks=("quickeval",))
    distance, _ = distance_of(trial, decoder, tokenizer, [task], folder=tmp_path, progress=quiet)
    capacity = decoder.max_positions - FLOOR_TAIL
    prompts = [
        min(capacity, len(tokenizer.encode(task.protocol.prompt(problem)).ids)) for problem in task.problems
    ]
    assert decoder.prompt_lengths == prompts
    assert distance is not None and [p.prompt_tokens for p in distance.problems] == prompts
    (first, *_) = task_corpus([task], tokenizer, space(prompts[0] - 1)).texts
    assert first.prompt_tokens == len(first.token_ids) == prompts[0] - 1


def test_a_prompts_last_token_that_merged_with_the_answer_is_the_answers() -> None:
    assert shared_tokens([1, 2, 3, 4], [1, 2]) == 2
    assert shared_tokens([1, 2, 7, 4], [1, 2, 3]) == 2
    assert shared_tokens([1, 2], [1, 2, 3]) == 2


def test_a_file_is_scored_as_new_tokens(text: str) -> None:
    corpus = file_corpus(Path(text), make_tokenizer(), space(30))
    assert {part.prompt_tokens for part in corpus.texts} == {0}


def test_a_text_with_a_token_beyond_the_vocabulary_is_left_out_and_counted(text: str) -> None:
    corpus = file_corpus(Path(text), make_tokenizer(), space(25, vocabulary=19))
    assert corpus.texts == ()
    assert corpus.title == "text.txt (4 left out for a token beyond the model's 19)"


def test_a_distance_of_which_no_text_fits_is_missing_with_the_reason(tmp_path: Path, text: str) -> None:
    decoder = BigramDecoder(random_table(18, seed=1))
    distance, reason = distance_of(
        make_trial(text=text), decoder, make_tokenizer(), [], folder=tmp_path, progress=quiet
    )
    assert distance is None
    assert reason is not None and "beyond the model's 18" in reason
