import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from quantbench.errors import ModelError
from quantbench.sources import eos_ids, load_tokenizer
from quantbench.sources.folder import open_folder
from tests.model_folders import tiny_config, tiny_source, write_folder


def write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(1)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))


def test_a_tokenizer_neither_truncates_nor_pads(tmp_path: Path) -> None:
    write_tokenizer(write_folder(tmp_path, config=tiny_config(model_type="mistral")))
    tokenizer = load_tokenizer(open_folder(tmp_path, name="m"))
    assert tokenizer is not None
    assert tokenizer.encode("a b a").ids == [0, 1, 0]


def test_a_folder_without_tokenizer_has_none(tmp_path: Path) -> None:
    assert load_tokenizer(open_folder(write_folder(tmp_path), name="m")) is None


def test_random_weights_have_no_tokenizer() -> None:
    assert load_tokenizer(tiny_source()) is None


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json' is damaged"):
        load_tokenizer(open_folder(tmp_path, name="m"))


def test_end_tokens_are_those_of_the_generation_config_where_there_is_one(tmp_path: Path) -> None:
    write_folder(tmp_path, config=tiny_config(eos_token_id=7))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 6]}))
    assert eos_ids(open_folder(tmp_path, name="m")) == {5, 6}


def test_a_model_without_an_end_token_has_none() -> None:
    assert eos_ids(tiny_source(eos_token_id=None)) == frozenset()
