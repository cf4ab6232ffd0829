"""What lies beside the weights, what a card says, and that a failed export leaves nothing."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantbench
from quantbench.errors import ModelError, StoreError, UsageError
from quantbench.exporting import target
from quantbench.sources import eos_ids, load_tokenizer
from quantbench.sources.chat_template import load_chat_template
from quantbench.store import Store
from tests.exporting.models import TEMPLATE, opened, write_model
from tests.gguf_files import write_tiny
from tests.model_folders import write_folder
from tests.report_records import full_record, other_trial

FORMATS = [("int8-head16", "compressed-tensors"), ("int4-sym-head16", "gptq"), ("q8_0", "gguf")]
TEXT = "def f(x):\n    return x ** 2  # it's naïve, 123"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "m")


def export(
    model: Path | str,
    folder: Path,
    method: str = "int8-head16",
    form: str = "compressed-tensors",
    **more: Any,
) -> Path:
    return quantbench.export(str(model), method=method, format=form, output_dir=folder, device="cpu", **more)


@pytest.mark.parametrize(("method", "form"), FORMATS)
def test_text_is_read_as_by_the_model(method: str, form: str, model: Path, tmp_path: Path) -> None:
    back, source = opened(export(model, tmp_path / "out", method, form)), opened(model)
    ours, theirs = load_tokenizer(back), load_tokenizer(source)
    assert ours is not None and theirs is not None
    assert ours.encode(TEXT).ids == theirs.encode(TEXT).ids
    template = load_chat_template(back)
    assert template is not None and template.text == TEMPLATE
    assert eos_ids(back) == eos_ids(source)


@pytest.mark.parametrize("pre", ["qwen2", "llama-bpe", "smollm", "gpt-2"])
def test_a_gguf_file_names_how_the_models_tokenizer_splits_text(pre: str, tmp_path: Path) -> None:
    from quantbench.exporting.gguf_tokens import token_metadata

    assert token_metadata(opened(write_model(tmp_path, pre=pre)))["tokenizer.ggml.pre"] == pre


def test_a_tokenizer_that_gguf_cannot_say_is_refused(model: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    data = json.loads((folder / "tokenizer.json").read_text())
    data["normalizer"] = {"type": "Lowercase"}
    (folder / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(
        ModelError, match="its tokenizer splits text in a way that GGUF files have no name for"
    ):
        export(folder, tmp_path / "out", "q8_0", "gguf")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 8}, "windows"),
        ({"hidden_act": "gelu"}, "activation"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 2.0}}, "positions"),
    ],
)
def test_what_gguf_metadata_cannot_say_is_refused(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=f"cannot be written as GGUF: its .*{reason} cannot be said there"):
        export(write_model(tmp_path / "m", **changes), tmp_path / "out", "q8_0", "gguf")


def test_a_gguf_file_is_written_again_as_it_is(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "m.gguf", hidden_size=256, vocab_size=258)
    source = opened(path)
    back = opened(export(path, tmp_path / "out", "stored", "gguf"))
    assert back.metadata.items() >= source.metadata.items()  # type: ignore[attr-defined]
    for name in source.names():
        assert back.kind(name) == source.kind(name)  # type: ignore[attr-defined]
        assert back.tensor(name).equal(source.tensor(name))


def test_a_folder_made_of_a_gguf_file_has_its_tokenizer(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "m.gguf", hidden_size=256, vocab_size=258)
    back = opened(export(path, tmp_path / "out"))
    ours, theirs = load_tokenizer(back), load_tokenizer(opened(path))
    assert ours is not None and theirs is not None
    assert ours.encode(TEXT).ids == theirs.encode(TEXT).ids
    assert eos_ids(back) == eos_ids(opened(path))


def test_a_model_without_a_tokenizer_is_written_without_one(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    assert load_tokenizer(opened(export(folder, tmp_path / "out", "q8_0", "gguf"))) is None


def front_matter(folder: Path) -> dict[str, Any]:
    text = (folder / "README.md").read_text()
    found = yaml.safe_load(text.split("---")[1])
    assert isinstance(found, dict)
    return found


def results(folder: Path, model: Path, method: str, revision: str | None) -> Path:
    store = Store(folder)
    store.create()
    for record in (
        full_record("fp16", 1.0, 40.0, 1.2, range(57)),
        full_record("int8", 0.5, 50.0, 0.8, range(52)),
    ):
        named = record.method.replace("int8", method)
        store.append(other_trial(record, model=str(model), revision=revision, method=named))
    return folder


def test_a_card_without_results_has_no_figures(model: Path, tmp_path: Path) -> None:
    folder = export(model, tmp_path / "out")
    assert "model-index" not in front_matter(folder)
    assert "Measured" not in (folder / "README.md").read_text()


def test_a_card_has_the_figures_of_the_same_model_and_method(model: Path, tmp_path: Path) -> None:
    measured = results(tmp_path / "r", model, "int8-head16", opened(model).revision)
    folder = export(model, tmp_path / "out", results=measured)
    (entry,) = front_matter(folder)["model-index"]
    (result,) = entry["results"]
    assert result["dataset"] == {"type": "openai/openai_humaneval", "name": "HumanEval"}
    assert result["metrics"][0]["value"] == round(52 / 164, 4)
    text = (folder / "README.md").read_text()
    assert "| Decoding, tokens/s | 40.0 | 50.0 |" in text
    assert "0.317 (52/164)" in text and "Test GPU" in text


def test_the_hubs_own_reader_takes_the_card(model: Path, tmp_path: Path) -> None:
    import huggingface_hub

    measured = results(tmp_path / "r", model, "int8-head16", opened(model).revision)
    folder = export(model, tmp_path / "out", results=measured)
    data = huggingface_hub.ModelCard.load(folder / "README.md").data
    assert data.to_dict()["library_name"] == "transformers"
    assert [r.metric_value for r in data.eval_results or []] == [round(52 / 164, 4)]


@pytest.mark.parametrize(("method", "revision"), [("int8", None), ("int8-head16", "sha256:other")])
def test_figures_of_another_method_or_revision_are_not_taken(
    method: str, revision: str | None, model: Path, tmp_path: Path
) -> None:
    measured = results(tmp_path / "r", model, method, revision or opened(model).revision)
    with pytest.raises(UsageError, match=r"has no figures of .* under int8-head16; measure it with"):
        export(model, tmp_path / "out", results=measured)


def test_a_folder_that_holds_something_is_left_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(StoreError, match="is not empty; remove it or choose another --output-dir"):
        export(model, tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "kept"


def test_a_folder_below_a_file_is_said(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write .* choose another --output-dir"):
        export(model, tmp_path / "file" / "out")


@pytest.mark.parametrize(("method", "form"), FORMATS)
def test_a_full_disk_leaves_nothing(
    method: str, form: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(target, "sync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        export(model, tmp_path / "out", method, form)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "gguf"}, "is not quantized yet; name a --method: gguf holds fp32, bf16, fp16"),
        ({"method": "stored", "format": "gguf"}, "is not quantized yet; name a --method"),
        ({"method": "int8-head16"}, "no layout is named; add --format compressed-tensors, gguf, gptq"),
        ({"method": "bnb-nf4", "format": "gguf"}, "the weights of 'bnb-nf4' are not exported; gguf holds"),
        ({"method": "int8-hd16", "format": "gguf"}, "unknown method 'int8-hd16'; did you mean 'int8-head16'"),
        ({"method": "fp16", "format": "gptq"}, "it packs nothing there"),
        ({"method": "fp16", "format": "ggml"}, "unknown format 'ggml'"),
    ],
)
def test_a_mistake_is_one_sentence(
    options: dict[str, str], sentence: str, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(quantbench.QuantbenchError, match=sentence) as caught:
        quantbench.export(str(model), output_dir=tmp_path / "out", device="cpu", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
