"""A Decoder as a model of lm-eval: log-likelihoods of texts, and answers, by lm-eval's conventions.

- A continuation's log-likelihood is the sum over its tokens, its context cut from the left to the model's
  length; requests whose inputs are equal are computed once.
- Rolling log-likelihoods predict each token once, with as much context as the model has positions for.
- An answer is cut at its earliest stop, as its new tokens alone read.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from quantbench.decoding import Decoder
from quantbench.errors import UsageError
from quantbench.evaluation.harness.answering import cut_at_stops, request_of, settings_of
from quantbench.evaluation.harness.text import HarnessText
from quantbench.progress import Progress
from quantbench.weights.finite import check_logits

Encoded = tuple[Any, list[int], list[int]]  # what was asked, context, continuation
MAX_GEN_TOKS = 256  # of an answer whose task names no length, as in lm-eval's own models


class HarnessModel(TemplateLM):
    """What lm-eval asks, answered by one of our decoders."""

    def __init__(
        self,
        decoder: Decoder,
        text: HarnessText,
        *,
        batch_size: int,
        progress: Progress,
        max_length: int | None = None,
    ) -> None:
        """`max_length` are tokens, at most as many as the model has positions."""
        super().__init__()
        self.decoder, self.text = decoder, text
        self.batch_size = batch_size
        self.max_length = min(max_length or decoder.max_positions, decoder.max_positions)
        self._progress = progress

    @property
    def eot_token_id(self) -> int:
        return self.text.eos_id

    @property
    def prefix_token_id(self) -> int:
        return self.text.prefix_id

    @property
    def max_gen_toks(self) -> int:
        """New tokens of an answer whose task names no length."""
        return MAX_GEN_TOKS

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **unused: Any) -> list[int]:
        return self.text.encode(string, add_special_tokens)

    def tok_decode(self, tokens: Sequence[int]) -> str:
        """New tokens alone as text."""
        return self.text.decode(tokens)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        return self.text.chat(chat_history, add_generation_prompt=add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        return self.text.template.text if chat_template and self.text.template else None

    @property
    def tokenizer_name(self) -> str:
        return self.text.name.replace("/", "__")

    def _loglikelihood_tokens(self, requests: list[Encoded], **unused: Any) -> list[tuple[float, bool]]:
        """(log-likelihood, whether greedy decoding writes it) of each continuation, in order."""
        equal: dict[tuple[tuple[int, ...], int], list[int]] = defaultdict(list)
        for index, (_, context, continuation) in enumerate(requests):
            equal[self._input(context, continuation), len(continuation)].append(index)
        found: list[tuple[float, bool]] = [(0.0, True)] * len(requests)
        done = 0
        for (_, count), indices, logits in self._scored(equal):
            scores = logits[-count:].log_softmax(dim=-1)
            best = scores.argmax(dim=-1)
            for index in indices:
                asked, _, continuation = requests[index]
                tokens = torch.tensor(continuation, device=scores.device)
                total = scores.gather(1, tokens[:, None]).sum()
                found[index] = (float(total), bool((best == tokens).all()))
                if asked is not None:
                    self.cache_hook.add_partial("loglikelihood", asked, found[index])
            done += len(indices)
            self._progress("lm-eval: scoring texts", done, len(requests))
        return found

    def _input(self, context: list[int], continuation: list[int]) -> tuple[int, ...]:
        """What the model reads: all but the last token, cut from the left to its length."""
        if len(continuation) > self.max_length:
            raise UsageError(
                f"a continuation of lm-eval has {len(continuation)} tokens, but the model takes "
                f"{self.max_length}; leave the task out"
            )
        return tuple((context + continuation)[-(self.max_length + 1) : -1])

    def _scored(
        self, equal: dict[tuple[tuple[int, ...], int], list[int]]
    ) -> Iterator[tuple[tuple[tuple[int, ...], int], list[int], torch.Tensor]]:
        """Each distinct input with its logits [tokens, vocab]; contexts are computed as prompts."""
        keys = [key for key in equal if key[1]]  # an empty continuation has nothing to score
        prompts = [len(ids) - count + 1 for ids, count in keys]
        scores = self.decoder.score([ids for ids, _ in keys], prompts)
        for key, logits in zip(keys, scores, strict=True):
            check_logits(logits, "of a text of lm-eval")
            yield key, equal[key], logits

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        windows: list[Encoded] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            ids = self.tok_encode(request.args[0])
            for window in get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, 1):
                windows.append((None, *make_disjoint_window(window)))
                owners.append(number)
        totals = [0.0] * len(requests)
        for owner, (total, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[owner] += total
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        asked = [(*request.args, index) for index, request in enumerate(requests)]
        settings = [settings_of(wanted, self.text, MAX_GEN_TOKS) for _, wanted, _ in asked]
        rows = [
            request_of(context, one, self.text, self.max_length, index)
            for (context, _, index), one in zip(asked, settings, strict=True)
        ]
        finished = 0

        def on_finish(index: int, generation: Any) -> None:
            nonlocal finished
            finished += 1
            self._progress("lm-eval: generating", finished, len(rows))

        if not rows:
            return []
        answers = self.decoder.generate(rows, batch_size=self.batch_size, on_finish=on_finish)
        texts = [
            cut_at_stops(self.text.decode(answer.token_ids), one.stops)
            for answer, one in zip(answers, settings, strict=True)
        ]
        for request, text in zip(requests, texts, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, text)
        return texts
