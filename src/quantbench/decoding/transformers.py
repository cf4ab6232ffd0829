"""A loaded transformers model as a Decoder: for architectures our engine does not know, and as a peer.

It runs `model.generate` as its users do, with eager Python steps, and takes any model that has been loaded,
so that quantizers of other libraries can hand in theirs. Requests run in batches of fixed composition, left
padded: a batch ends with its longest row, and only then the next one starts. Everything of a checkpoint that
would change sampling is cleared; stopping and drawing are our own, the same as in our engine.

Importing this file imports no transformers; making a decoder does.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from quantbench.decoding.account import Account
from quantbench.decoding.decoder import NO_TOKEN, Generation, HeldMatrix, Phase, Request
from quantbench.decoding.module_tensors import FormOf, float_form, matrix_of
from quantbench.decoding.packed_modules import PackedLinear, PackedTransposed
from quantbench.decoding.sampler import Sampler
from quantbench.decoding.sequence import BatchRow, check_requests
from quantbench.decoding.spreading import mapped_devices
from quantbench.decoding.static_cache import StaticCaches
from quantbench.kernels import Kernel, named_kernels
from quantbench.units import listed

UNLIMITED_POSITIONS = 1 << 20  # for architectures without a fixed number
ONE_LENGTH = "only prompts of one length together: the model's state would take in padding"
ONE_ROW = "one row at a time: transformers mixes the states of this model's rows"


class TransformersDecoder:
    """See `decoding.Decoder` for what each method promises."""

    engine = "transformers"
    static: StaticCaches | None = None  # of the variant with a static cache and a compiled step

    def __init__(
        self, model: Any, *, device: str, form_of: FormOf | None = None, activation_bits: int | None = None
    ) -> None:
        """`form_of(name, module)` tells how a quantizer's module holds its matrix.

        `activation_bits` are those that a quantizer multiplies with; None where activations keep theirs.
        """
        from transformers import GenerationConfig

        self._model = model.eval()
        self._model.generation_config = GenerationConfig()
        self._form_of = form_of or float_form
        self._activation_bits = activation_bits
        self._text = model.config.get_text_config()
        self._batches = batches_of(model)
        self.cache_bytes: int | None = None
        self.device = device
        self.devices = mapped_devices(model)
        self.vocab_size = int(self._text.vocab_size)
        self.max_positions = int(getattr(self._text, "max_position_embeddings", UNLIMITED_POSITIONS))

    def make_static(self) -> None:
        """Decode with static caches and compiled steps from now on; ModelError where that cannot be."""
        self.static = StaticCaches(self._model, self.device)
        self.engine = "transformers-static"

    def compile_seconds(self) -> float | None:
        """See `decoding.CompilesShapes`."""
        return self.static.seconds if self.static else None

    def generate(
        self,
        requests: Sequence[Request],
        *,
        batch_size: int,
        on_first_token: Callable[[], None] | None = None,
        on_finish: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        check_requests(requests, batch_size=batch_size, max_positions=self.max_positions)
        rows = [BatchRow(index, request) for index, request in enumerate(requests)]
        results: list[Generation] = []
        for start in range(0, len(rows), batch_size):
            ended: dict[int, Generation] = {}
            groups = self._groups(rows[start : start + batch_size])
            for number, group in enumerate(groups, start=1):
                first = start == 0 and number == len(groups)
                news = BatchNews(group, on_finish, on_first_token if first else None)
                self._generate_batch(news)
                ended |= {row.index: end for row, end in zip(group, news.results(), strict=True)}
            results += [ended[index] for index in sorted(ended)]
        return results

    def _groups(self, rows: Sequence[BatchRow]) -> list[list[BatchRow]]:
        """Rows that run together without changing each other's answers."""
        if self._batches is None:
            return [list(rows)]
        if self._batches == ONE_ROW:
            return [[row] for row in rows]
        lengths = sorted({len(row.request.prompt_ids) for row in rows})
        return [[row for row in rows if len(row.request.prompt_ids) == length] for length in lengths]

    def _generate_batch(self, news: "BatchNews") -> None:
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        requests = [row.request for row in news.rows]
        ids, mask = left_padded([request.prompt_ids for request in requests], self.device)
        sampler = Sampler(requests, torch.device(self.device))
        new = max(request.max_new_tokens for request in requests)
        settings = GenerationConfig(
            max_new_tokens=new,
            do_sample=False,
            pad_token_id=0,
            return_dict_in_generate=True,  # for the cache, whose size is asked
            compile_config=self.static.settings() if self.static else None,
        )
        drawn = any(request.temperature > 0 for request in requests)
        chooser = [Chooser(sampler, ids.shape[1])] if drawn else []
        with torch.inference_mode():
            cache = self.static.cache_of(len(requests), ids.shape[1] + new) if self.static else None
            made = self._model.generate(
                ids,
                attention_mask=mask,
                generation_config=settings,
                stopping_criteria=StoppingCriteriaList([news]),
                logits_processor=LogitsProcessorList([news.look_at, *chooser]),
                **({} if cache is None else {"past_key_values": cache}),
            )
        if (size := bytes_of_cache(getattr(made, "past_key_values", None))) is not None:
            self.cache_bytes = max(self.cache_bytes or 0, size)

    def score(
        self, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int] | None = None
    ) -> Iterator[Tensor]:
        for sequence in sequences:
            with torch.inference_mode():
                ids = torch.tensor([list(sequence)], device=self.device)
                logits = self._model(ids, use_cache=False).logits[0]
            yield logits.float()

    def activation_bits(self) -> Mapping[Phase, int]:
        whole = self._activation_bits or torch.finfo(self._model.dtype).bits
        packed = [
            m.product.bits for m in self._model.modules() if isinstance(m, PackedLinear | PackedTransposed)
        ]
        return dict.fromkeys(Phase, min([whole, *filter(None, packed)]))

    def resident_tensors(self) -> Iterable[tuple[str, Tensor]]:
        return self._account().tensors()

    def schemes(self) -> Mapping[str, tuple[str, int]]:
        return {name: (form.scheme, form.parameters) for name, form, _ in self._account().matrices()}

    def kernels(self) -> Sequence[Kernel]:
        import transformers

        names = {
            "engine": f"transformers {transformers.__version__} generate",
            "attention": str(getattr(self._model.config, "_attn_implementation", "unknown")),
            "linear": "; ".join(self._account().linear_kernels()),
            "activations": str(self._model.dtype).removeprefix("torch."),
            **({"batches": self._batches} if self._batches else {}),
            **({"placement": f"layer after layer on {listed(self.devices)}"} if self.devices[1:] else {}),
            **({"decode step": self.static.words} if self.static else {}),
            "teacher forcing": "whole texts at once, without a cache: other shapes than while answering",
        }
        return named_kernels(names)

    def held(self) -> Iterator[HeldMatrix]:
        return self._account().held()

    def _account(self) -> Account:
        return Account(self._model, self._form_of)

    def step_bytes(self, batch_size: int, context: int) -> tuple[int, int]:
        weights = sum(tensor.nbytes for _, tensor in self.resident_tensors())
        embedding, head = self._model.get_input_embeddings(), self._model.get_output_embeddings()
        if head is not None and matrix_of(embedding) is not matrix_of(head):
            table = matrix_of(embedding).nbytes
            weights += table * batch_size // self.vocab_size - table
        text = self._text
        heads = getattr(text, "num_attention_heads", 0)
        kv_heads = getattr(text, "num_key_value_heads", None) or heads
        head_dim = getattr(text, "head_dim", None) or (text.hidden_size // heads if heads else 0)
        width = 2 * kv_heads * head_dim * torch.empty(0, dtype=self._model.dtype).element_size()
        return weights, batch_size * context * width * int(getattr(text, "num_hidden_layers", 0))

    def synchronize(self) -> None:
        for device in self.devices:
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)


def bytes_of_cache(cache: Any) -> int | None:
    """Keys, values and states of a cache of transformers; None for a kind that is not known."""
    layers = getattr(cache, "layers", None)
    if not layers:
        return None
    tensors = [value for layer in layers for value in vars(layer).values() if isinstance(value, Tensor)]
    return sum(tensor.nbytes for tensor in tensors) or None


def batches_of(model: Any) -> str | None:
    """How rows of a model that carries a state are put together; None for one that attends to its text."""
    if "state" in inspect.signature(model.forward).parameters:
        return ONE_ROW
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    attends = all("attention" in str(kind) and "linear" not in str(kind) for kind in kinds)
    return None if attends and not getattr(model, "_is_stateful", False) else ONE_LENGTH


class BatchNews:
    """A stopping criterion of transformers: told every token, it keeps the rows and says which are done."""

    def __init__(
        self,
        rows: Sequence[BatchRow],
        on_finish: Callable[[int, Generation], None] | None,
        on_first_token: Callable[[], None] | None,
    ) -> None:
        self.rows = rows
        self._on_finish = on_finish
        self._on_first_token = on_first_token
        self._ended: dict[int, Generation] = {}
        self._finite: Tensor | None = None

    def look_at(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """A logits processor that notes in which rows the greatest logit is finite, and changes nothing."""
        self._finite = scores.amax(dim=-1).isfinite()
        return scores

    def __call__(self, input_ids: Tensor, scores: object, **unused: object) -> Tensor:
        """bool [rows] from the ids so far [rows, length]; the newest column is new."""
        newest = input_ids[:, -1]
        tokens = (newest if self._finite is None else torch.where(self._finite, newest, NO_TOKEN)).tolist()
        if self._on_first_token is not None:
            self._on_first_token()
            self._on_first_token = None
        for place, (row, token) in enumerate(zip(self.rows, tokens, strict=True)):
            if place not in self._ended and (reason := row.take(token)):
                self._ended[place] = row.finish(reason)
                if self._on_finish is not None:
                    self._on_finish(row.index, self._ended[place])
        done = [place in self._ended for place in range(len(self.rows))]
        return torch.tensor(done, device=input_ids.device)

    def results(self) -> list[Generation]:
        return [self._ended[place] for place in range(len(self.rows))]


class Chooser:
    """A logits processor of transformers that leaves only the token our sampler drew."""

    def __init__(self, sampler: Sampler, prompt_length: int) -> None:
        self._sampler = sampler
        self._prompt_length = prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        rows, length = input_ids.shape
        counts = torch.full((rows,), length - self._prompt_length, device=scores.device)
        chosen = self._sampler(scores.float(), counts).clamp(min=0)  # `BatchNews` knows where none is
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)


def left_padded(prompts: Sequence[Sequence[int]], device: str) -> tuple[Tensor, Tensor]:
    """Ids and attention mask [rows, longest], int64, zeros on the left."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    return ids, mask
