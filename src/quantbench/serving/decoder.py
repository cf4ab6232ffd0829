"""A served engine as a Decoder: it generates and is timed at the client; it hands out no tensors.

Each row of a batch is a request of its own, so a batch is a concurrency. Rows end by the same checks as those
of other engines: the client reads every token and drops the connection. Draws with a temperature are the
server's own. Teacher-forced predictions come through `most_likely`, where a server has them.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quantbench.decoding import Generation, MostLikely, Phase, Request, TimedAnswer
from quantbench.decoding.sequence import check_requests
from quantbench.errors import ServerError
from quantbench.kernels import Kernel, named_kernels
from quantbench.serving.answers import Answer
from quantbench.serving.dialects import LLAMA_CPP, METERED, SGLANG, Dialect, Prompt
from quantbench.serving.http import Server
from quantbench.serving.metrics import Reading, read_metrics, timings_between
from quantbench.serving.scoring import NEXT_MOST, Scorer, next_llama_cpp, next_vllm
from quantbench.serving.sglang import next_sglang

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """What is known of the model behind a server."""

    name: str  # as the server calls it
    vocab_size: int
    max_positions: int
    slots: int  # requests that it answers at once; more of them wait
    takes_ids: bool = True  # prompts as token ids; else as text
    kernels: Mapping[str, str] = field(default_factory=dict)


class ServedDecoder:
    """See `decoding.Decoder` for what each method promises."""

    def __init__(
        self,
        server: Server,
        dialect: Dialect,
        model: ServedModel,
        *,
        device: str,
        tokenizer: "Tokenizer | None" = None,
        scorer: Scorer | None = None,
    ) -> None:
        """`tokenizer` reads and writes text for servers that take or give no token ids."""
        self.engine = dialect.name
        self.vocab_size, self.max_positions = model.vocab_size, model.max_positions
        self.most_at_once = model.slots
        self.device = device
        self._server, self._dialect, self._model = server, dialect, model
        self._tokenizer = tokenizer
        self._scorer = scorer
        self._pool = ThreadPoolExecutor(max_workers=max(1, model.slots), thread_name_prefix="request")
        self._before: Reading | None = None
        self.last: list[Answer] = []  # of the newest `generate`

    def generate(
        self,
        requests: Sequence[Request],
        *,
        batch_size: int,
        on_first_token: Callable[[], None] | None = None,
        on_finish: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        check_requests(requests, batch_size=batch_size, max_positions=self.max_positions)
        at_once = min(batch_size, self.most_at_once)
        answers = [Answer(index, request, self._tokenizer) for index, request in enumerate(requests)]
        prompts = [self._prompt(request) for request in requests]
        starts = Starts(min(batch_size, len(requests)), on_first_token)
        stop, lock = threading.Event(), threading.Lock()

        def ask(answer: Answer, prompt: Prompt) -> Generation:
            self._stream(answer, prompt, starts, stop)
            generation = answer.generation
            answer.check_forced()
            if on_finish is not None:
                with lock:
                    on_finish(answer.index, generation)
            return generation

        self.last = answers
        pool = self._pool if at_once == self.most_at_once else ThreadPoolExecutor(max_workers=at_once)
        try:
            futures = [
                pool.submit(ask, answer, prompt) for answer, prompt in zip(answers, prompts, strict=True)
            ]
            return gathered(futures, stop)
        finally:
            if pool is not self._pool:
                pool.shutdown()

    def _prompt(self, request: Request) -> Prompt:
        if self._model.takes_ids:
            return list(request.prompt_ids)
        if self._tokenizer is None:
            raise ServerError(
                "this server takes text alone, and the model has no tokenizer; use another server"
            )
        return str(self._tokenizer.decode(list(request.prompt_ids), skip_special_tokens=False))

    def _stream(self, answer: Answer, prompt: Prompt, starts: "Starts", stop: threading.Event) -> None:
        """Read one answer to its end; timed ones are not repeated where a server is busy."""
        if stop.is_set():
            return
        body = self._dialect.body(self._model.name, prompt, answer.request)
        answer.sent_s = time.perf_counter()
        stream = self._server.stream(self._dialect.path, body, retry=not starts.timed)
        told = False
        for event in stream:
            done = answer.take(self._dialect.read(event))
            if answer.started and not told:
                told = True
                starts.note(answer.index)
            if done or stop.is_set():
                stream.close()  # type: ignore[attr-defined]
                break

    def score(
        self, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int] | None = None
    ) -> "Iterator[torch.Tensor]":
        raise ServerError(
            f"{self.engine} hands out no logits; its predictions come as the most likely tokens"
        )

    def unscored_reason(self) -> str | None:
        """Why there are no teacher-forced predictions; None where there are."""
        if self._scorer is None:
            return f"{self.engine} gives no predictions of a prompt's own tokens"
        return None if self._model.takes_ids else "this server takes text alone"

    def most_likely(self, sequences: Sequence[Sequence[int]], k: int) -> Iterator[MostLikely]:
        """Of every token but the first of each sequence what the server holds most likely there."""
        assert self._scorer is not None
        return self._scorer(self._server, self._model.name, sequences, k)

    def answer_arrivals(self, requests: Sequence[Request], offsets: Sequence[float]) -> list[TimedAnswer]:
        """See `decoding.TakesArrivals`: a thread a request, so that none waits for another one's answer."""
        start = time.perf_counter()
        answers = [TimedAnswer(due_s=start + offset) for offset in offsets]

        def send(number: int) -> None:
            timed, answer = answers[number], Answer(number, requests[number], self._tokenizer)
            time.sleep(max(0.0, timed.due_s - time.perf_counter()))
            timed.sent_s = time.perf_counter()
            try:
                self._stream(answer, self._prompt(answer.request), Starts(0, lambda: None), threading.Event())
                answer.check_forced()
            except ServerError as error:
                timed.failure = str(error)
                return
            timed.first_s, timed.last_s = answer.token_times[0], answer.last_s

        with ThreadPoolExecutor(max_workers=len(requests)) as pool:
            list(pool.map(send, range(len(requests))))
        return answers

    def next_log_p(self, prefix: Sequence[int], other: int) -> Mapping[int, float] | None:
        """See `decoding.TellsNext`."""
        if self.unscored_reason():
            return None
        if self._dialect.name == LLAMA_CPP.name:
            return next_llama_cpp(self._server, prefix)
        if self._dialect.name == SGLANG.name:
            return next_sglang(self._server, prefix, other, NEXT_MOST)
        return next_vllm(self._server, self._model.name, prefix, other)

    def start_timing(self) -> None:
        """See `decoding.TimesItself`: vLLM tells sums over all requests, of which two readings are needed."""
        self._before = read_metrics(self._server) if self._dialect.name in METERED else None

    def own_timings(self) -> tuple[float, float] | None:
        """The newest batch as the server timed it: its slowest row, from vLLM the mean of its rows."""
        if self._dialect.name in METERED:
            new = max((answer.request.max_new_tokens for answer in self.last), default=1)
            found = timings_between(self._before, read_metrics(self._server), new)
            return None if found is None else (found.ttft_s, found.decode_s)
        known = [answer.timings for answer in self.last if answer.timings is not None]
        if not known or len(known) < len(self.last):
            return None
        return max(timing.ttft_s for timing in known), max(timing.decode_s for timing in known)

    def request_times(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """See `decoding.TimesRequests`."""
        found = [answer for answer in self.last if answer.started]
        return (
            tuple(answer.token_times[0] - answer.sent_s for answer in found),
            tuple(answer.last_s - answer.token_times[0] for answer in found),
        )

    def activation_bits(self) -> Mapping[Phase, int]:
        return {}

    def resident_tensors(self) -> "Iterable[tuple[str, torch.Tensor]]":
        return ()

    def schemes(self) -> Mapping[str, tuple[str, int]]:
        return {}

    def kernels(self) -> Sequence[Kernel]:
        return named_kernels(self._model.kernels)

    def step_bytes(self, batch_size: int, context: int) -> tuple[int, int]:
        return 0, 0

    def synchronize(self) -> None:
        pass


class Starts:
    """Says once when the first token of each of the first `count` rows is there."""

    def __init__(self, count: int, on_all: Callable[[], None] | None) -> None:
        self.timed = on_all is not None
        self._missing = set(range(count))
        self._on_all = on_all
        self._lock = threading.Lock()

    def note(self, index: int) -> None:
        """Row `index` has its first token."""
        with self._lock:
            waiting = index in self._missing
            self._missing.discard(index)
            if waiting and not self._missing and self._on_all is not None:
                self._on_all()


def gathered(futures: Sequence["Future[Generation]"], stop: threading.Event) -> list[Generation]:
    """All results in order; the first error ends the other requests and is raised."""
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    failed = next((future for future in futures if future in done and future.exception()), None)
    if failed is None:
        return [future.result() for future in futures]
    stop.set()
    for future in futures:
        future.cancel()
    wait(futures, timeout=30)
    error = failed.exception()
    assert error is not None
    raise error
