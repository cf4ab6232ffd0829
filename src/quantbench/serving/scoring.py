"""Teacher-forced predictions from servers: of every token of a text, what the model held most likely there.

vLLM scores a whole prompt in one request. llama.cpp has no predictions of prompts: each token is one request
whose prompt is the text before it, with the true token favoured so far that it is chosen; the log-probability
that comes with it is the unchanged one (differences to all values at once are below 1e-4). Prompts are cached
between the requests of a text, so a token costs about one decode step.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from quantbench.decoding import MostLikely
from quantbench.errors import ServerError
from quantbench.serving.http import Server

FAVOUR = 10_000.0  # of a logit: nothing else can be chosen
VLLM_MOST = 128  # --max-logprobs of servers that are started here
UNASKED_MOST = 20  # vLLM's default
NEXT_MOST = 64  # tokens among which the other one is looked for


class Scorer(Protocol):
    """Predictions of every token but the first of each text, at most k a token."""

    def __call__(
        self, server: Server, model: str, sequences: Sequence[Sequence[int]], k: int
    ) -> Iterator[MostLikely]: ...


def score_llama_cpp(
    server: Server, model: str, sequences: Sequence[Sequence[int]], k: int
) -> Iterator[MostLikely]:
    """One request a token, all in one slot, which keeps the text so far."""
    for ids in sequences:
        rows = []
        for place in range(1, len(ids)):
            body = {
                "prompt": list(ids[:place]),
                "n_predict": 1,
                "temperature": 0,
                "n_probs": k,
                "logit_bias": [[ids[place], FAVOUR]],
                "cache_prompt": True,
                "id_slot": 0,
            }
            answer = server.request("/completion", body)
            rows.append((ids[place], read_llama_cpp(answer, ids[place])))
        yield gathered(rows, k)


def read_llama_cpp(answer: Any, token: int) -> dict[int, float]:
    """Log-probabilities by token id, the true token's included; ServerError where they are missing."""
    try:
        (found,) = answer["completion_probabilities"]
        if found["id"] != token:
            raise ValueError(f"it chose token {found['id']}")
        known = {int(entry["id"]): float(entry["logprob"]) for entry in found["top_logprobs"]}
        return {token: float(found["logprob"]), **known}
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(
            f"llama.cpp gave no log-probability of a forced token ({error}); use another version"
        ) from error


class VllmScorer:
    """`prompt_logprobs`, a text a request."""

    def __init__(self, most: int = UNASKED_MOST) -> None:
        self._most = most

    def __call__(
        self, server: Server, model: str, sequences: Sequence[Sequence[int]], k: int
    ) -> Iterator[MostLikely]:
        for ids in sequences:
            asked = min(k, self._most)
            body = {
                "model": model,
                "prompt": list(ids),
                "max_tokens": 1,
                "temperature": 0,
                "prompt_logprobs": asked,
            }
            answer = server.request("/v1/completions", body)
            yield gathered(list(read_vllm(answer, ids)), asked)


def read_vllm(answer: Any, ids: Sequence[int]) -> Iterator[tuple[int, dict[int, float]]]:
    """Each token but the first with log-probabilities by token id; ServerError where they are missing."""
    try:
        places: Sequence[Mapping[str, Any]] = answer["choices"][0]["prompt_logprobs"]
        if len(places) != len(ids):
            raise ValueError(f"{len(places)} of {len(ids)} tokens")
        for token, place in zip(ids[1:], places[1:], strict=True):
            known = {int(key): float(value["logprob"]) for key, value in place.items()}
            if token not in known:
                raise ValueError("the text's own token is missing")
            yield token, known
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ServerError(
            f"vLLM gave no log-probabilities of a prompt ({error}); use another version"
        ) from error


def next_llama_cpp(server: Server, prefix: Sequence[int]) -> dict[int, float]:
    """Log-probabilities of the most likely tokens behind a prefix."""
    body = {"prompt": list(prefix), "n_predict": 1, "temperature": 0, "n_probs": NEXT_MOST}
    answer = server.request("/completion", body)
    try:
        (found,) = answer["completion_probabilities"]
        return {int(entry["id"]): float(entry["logprob"]) for entry in found["top_logprobs"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(f"llama.cpp gave no log-probabilities ({error}); use another version") from error


def next_vllm(server: Server, model: str, prefix: Sequence[int], other: int) -> dict[int, float]:
    """The same, the token `other` always among them."""
    body = {"model": model, "prompt": [*prefix, other], "max_tokens": 1, "prompt_logprobs": UNASKED_MOST}
    *_, (_, known) = read_vllm(server.request("/v1/completions", body), [*prefix, other])
    return known


def gathered(rows: Sequence[tuple[int, Mapping[int, float]]], k: int) -> MostLikely:
    """(true token, log-probabilities by id) of each place -> arrays of the k most likely ones."""
    ids, log_p, true = [], [], []
    for token, known in rows:
        best = sorted(known.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
        best += [(best[0][0], float("-inf"))] * (k - len(best))
        ids.append([one for one, _ in best])
        log_p.append([value for _, value in best])
        true.append(known[token])
    return MostLikely(ids=ids, log_p=log_p, true_log_p=true)
