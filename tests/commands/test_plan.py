"""What `--dry-run` tells of each trial: one name for each engine, and the bytes of its weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from quantbench.commands.run import describe_plan
from quantbench.planning import build_plan
from quantbench.settings import RunSettings, read_settings
from tests.gguf_files import write_tiny
from tests.model_folders import tiny_config, tiny_tensors, write_folder

SHORT = {"tasks": "none", "prompt_tokens": "8", "new_tokens": 8, "device": "cpu", "floor": False, "rounds": 1}


def described(model: Path, **options: Any) -> list[dict[str, Any]]:
    """The plan's own trials, without those of later passes."""
    plan, source = build_plan(read_settings(RunSettings, {"model": str(model), **SHORT, **options}))
    return [found for found in describe_plan(plan, source) if "pass" not in found["label"]]


def test_every_model_of_several_has_its_weights_expected(tmp_path: Path) -> None:
    file, folder = write_tiny(tmp_path / "a.gguf"), write_folder(tmp_path / "m")
    found = described(file, models=(str(folder),), methods="fp16")
    assert len(found) == 2
    assert all(trial["weight_bytes"] for trial in found)


def test_a_folder_of_an_unknown_layout_is_counted_by_its_headers(tmp_path: Path) -> None:
    tensors = {"transformer.wte.weight": torch.zeros(64, 32).half(), "transformer.b": torch.zeros(7).half()}
    folder = write_folder(tmp_path / "m", tensors, tiny_config(model_type="gpt2"))
    (half,) = described(folder, methods="fp16")
    (single,) = described(folder, methods="fp32")
    assert (half["weight_bytes"], single["weight_bytes"]) == (2 * (64 * 32 + 7), 4 * (64 * 32 + 7))


def test_a_method_whose_bytes_no_header_tells_stays_unknown(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", tiny_tensors(), tiny_config(model_type="gpt2"))
    assert [trial["weight_bytes"] for trial in described(folder, methods="int8")] == [None]


@pytest.mark.parametrize("name", ["quantbench", "native"])
def test_our_engine_has_one_name_however_it_was_asked_for(name: str, tmp_path: Path) -> None:
    (trial,) = described(write_folder(tmp_path / "m"), methods="fp16", engine=name)
    assert trial["engine"] == "quantbench"
