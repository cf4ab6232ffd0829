"""A model that lies on two real GPUs: both hold a part, it answers as on one, and its record says so."""

from pathlib import Path

import pytest
import torch

from quantbench.decoding import Decoder, Request
from quantbench.measure.places import places_of
from quantbench.methods import METHODS
from quantbench.plan import Trial
from quantbench.records import Record
from quantbench.sources import open_source
from quantbench.trial import run_trial
from tests.builders import make_trial
from tests.engine.models import prompts

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices"),
]
MODEL = "random:smollm2-135m"


def trial_of(**changes: object) -> Trial:
    asked = {"model": MODEL, "engine": "transformers", "dtype": "float16", "device": "cuda:0"}
    return make_trial(**asked | {"speed_budget_s": 0.5, "new_tokens": 16} | changes)


def loaded(trial: Trial) -> Decoder:
    return METHODS[trial.method].load(open_source(MODEL), trial.load).decoder


def test_a_model_on_two_gpus_answers_as_on_one() -> None:
    spread, alone = loaded(trial_of(spread=2)), loaded(trial_of())
    requests = [Request(prompt_ids=prompt, max_new_tokens=16) for prompt in prompts((5, 40))]
    assert spread.generate(requests, batch_size=2) == alone.generate(requests, batch_size=2)
    places = places_of(spread)
    assert [place.device for place in places] == ["cuda:0", "cuda:1"]
    assert all(place.nbytes > 5e7 for place in places)
    assert sum(place.nbytes for place in places) == sum(place.nbytes for place in places_of(alone))


def measured(folder: Path, method: str) -> Record:
    return run_trial(
        trial_of(spread=2, method=method),
        folder=folder,
        progress=lambda *news: None,
        checkpoint=lambda record: None,
    )


@pytest.mark.skipif(METHODS["bnb-nf4"].unavailable("cuda:0") is not None, reason="needs bitsandbytes")
def test_a_model_too_small_to_be_split_lies_on_one_and_says_so(tmp_path: Path) -> None:
    """In 4 bits its table of tokens is most of it, and accelerate keeps room for one of those on each GPU."""
    record = measured(tmp_path, "bnb-nf4")
    assert record.failure is None
    assert [place.device for place in record.places] == ["cuda:0"]
    assert "2 GPUs were asked for" in " ".join(record.warnings)


def test_its_record_has_both_gpus_and_the_sum_of_their_memory(tmp_path: Path) -> None:
    record = measured(tmp_path, "fp16")
    assert record.failure is None
    assert [place.device for place in record.places] == ["cuda:0", "cuda:1"]
    assert record.size is not None and record.memory is not None
    assert record.size.weight_bytes == sum(place.nbytes for place in record.places)
    assert (record.memory.peak_allocated_bytes or 0) > record.size.weight_bytes
    assert record.speed[0].decode_s
