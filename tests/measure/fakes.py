"""A decoder that computes nothing and a clock that only it moves: measuring without waiting."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch

from quantbench.decoding import FinishReason, Generation, Phase, Request
from quantbench.kernels import Kernel


class FakeClock:
    """Seconds that pass only when someone says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class FakeDecoder:
    """Takes `prefill_s` for the prompts and `step_s[i]` for each later token of run i; the last repeats."""

    engine = "native"
    device = "cpu"
    vocab_size = 50
    max_positions = 1000

    def __init__(
        self,
        clock: FakeClock,
        *,
        prefill_s: float = 0.5,
        step_s: Sequence[float] = (0.01,),
        fails_at: int | None = None,
        error: Exception | None = None,
        tensors: Mapping[str, torch.Tensor] | None = None,
        schemes: Mapping[str, tuple[str, int]] | None = None,
    ) -> None:
        self.runs: list[Sequence[Request]] = []
        self._clock = clock
        self._prefill_s = prefill_s
        self._step_s = step_s
        self._fails_at = fails_at
        self._error = error
        self._tensors = tensors or {}
        self._schemes = schemes or {}

    def generate(
        self,
        requests: Sequence[Request],
        *,
        batch_size: int,
        on_first_token: Callable[[], None] | None = None,
        on_finish: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        if self._error is not None and batch_size == self._fails_at:
            raise self._error
        step_s = self._step_s[min(len(self.runs), len(self._step_s) - 1)]
        self.runs.append(requests)
        self._clock.pass_by(self._prefill_s)
        if on_first_token is not None:
            on_first_token()
        self._clock.pass_by(step_s * (requests[0].max_new_tokens - 1))
        return [Generation(token_ids=(), finish_reason=FinishReason.LENGTH) for _ in requests]

    def score(
        self, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int] | None = None
    ) -> Iterator[torch.Tensor]:
        return iter(())

    def resident_tensors(self) -> Iterable[tuple[str, torch.Tensor]]:
        return self._tensors.items()

    def schemes(self) -> Mapping[str, tuple[str, int]]:
        return self._schemes

    def kernels(self) -> Sequence[Kernel]:
        return ()

    def activation_bits(self) -> Mapping[Phase, int]:
        return dict.fromkeys(Phase, 32)

    def step_bytes(self, batch_size: int, context: int) -> tuple[int, int]:
        return 1000, batch_size * context

    def synchronize(self) -> None:
        pass
