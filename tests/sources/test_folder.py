import json
from pathlib import Path

import pytest
import torch

from quantbench.errors import ModelError
from quantbench.sources.folder import FolderSource, open_folder
from tests.model_folders import INDEX, tiny_config, tiny_tensors, write_folder, write_sharded_folder

UP = "model.layers.0.mlp.up_proj.weight"


def opened(folder: Path) -> FolderSource:
    return open_folder(folder, name="m")


def test_a_folder_gives_back_its_tensors(tmp_path: Path) -> None:
    source = opened(write_folder(tmp_path))
    saved = tiny_tensors()
    assert set(source.names()) == set(saved)
    assert all(torch.equal(source.tensor(name), tensor) for name, tensor in saved.items())


def test_shards_give_back_the_same_tensors(tmp_path: Path) -> None:
    source = opened(write_sharded_folder(tmp_path))
    assert all(torch.equal(source.tensor(name), tensor) for name, tensor in tiny_tensors().items())


def test_checkpoint_bytes_are_those_of_the_weight_files(tmp_path: Path) -> None:
    source = opened(write_sharded_folder(tmp_path))
    sizes = [path.stat().st_size for path in tmp_path.glob("*.safetensors")]
    assert len(sizes) == 2
    assert source.checkpoint_bytes == sum(sizes)


def test_a_stored_copy_of_a_tied_head_is_not_named(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    assert "lm_head.weight" not in opened(write_folder(tmp_path, tensors)).names()


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "config.json").unlink()
    with pytest.raises(ModelError, match=r"'m' has no config\.json"):
        opened(tmp_path)


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_configuration_that_is_no_json_object_is_refused(content: str, tmp_path: Path) -> None:
    (write_folder(tmp_path) / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json.* JSON"):
        opened(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no model\.safetensors; give a folder that holds weights"):
        opened(tmp_path)


def test_pickled_weights_are_to_be_converted(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="save_pretrained it as safetensors"):
        opened(tmp_path)


def test_gguf_weights_are_not_read(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "model.safetensors").rename(tmp_path / "model.gguf")
    with pytest.raises(ModelError, match="GGUF"):
        opened(tmp_path)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    del tensors[UP]
    with pytest.raises(ModelError, match=f"no tensor '{UP}'"):
        opened(write_folder(tmp_path, tensors))


def test_a_tensor_of_another_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    tensors[UP] = tensors[UP][:100].clone()
    with pytest.raises(ModelError, match=r"\[100, 64\].*\[128, 64\]"):
        opened(write_folder(tmp_path, tensors))


def test_a_configuration_that_lacks_a_size_is_refused(tmp_path: Path) -> None:
    config = tiny_config()
    del config["hidden_size"]
    with pytest.raises(ModelError, match="'hidden_size'"):
        opened(write_folder(tmp_path, config=config))


def test_an_unknown_family_is_opened_without_a_check_of_shapes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"w": torch.ones(2)}, {"model_type": "mamba"})
    assert opened(folder).names() == ["w"]


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    (write_sharded_folder(tmp_path) / "b.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks the shard 'b\.safetensors'"):
        opened(tmp_path)


def test_an_index_that_points_outside_the_folder_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "other")
    folder = write_sharded_folder(tmp_path / "model")
    weight_map = json.loads((folder / INDEX).read_text())["weight_map"]
    weight_map["x"] = "../other/model.safetensors"
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ModelError, match="lacks the shard"):
        opened(folder)


def test_a_tensor_that_only_the_index_knows_is_named(tmp_path: Path) -> None:
    folder = write_sharded_folder(tmp_path)
    weight_map = json.loads((folder / INDEX).read_text())["weight_map"]
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map | {"extra": "a.safetensors"}}))
    with pytest.raises(ModelError, match="lacks 'extra'"):
        opened(folder)


def test_an_index_without_a_map_is_refused(tmp_path: Path) -> None:
    (write_sharded_folder(tmp_path) / INDEX).write_text("{}")
    with pytest.raises(ModelError, match="no weight_map"):
        opened(tmp_path)


def test_the_same_content_has_the_same_revision_in_another_place(tmp_path: Path) -> None:
    first, second = write_folder(tmp_path / "a"), write_folder(tmp_path / "b")
    assert opened(first).revision == opened(second).revision


def test_changed_weights_have_another_revision(tmp_path: Path) -> None:
    first, second = write_folder(tmp_path / "a"), write_folder(tmp_path / "b")
    weights = bytearray((second / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (second / "model.safetensors").write_bytes(weights)
    assert opened(first).revision != opened(second).revision


def test_a_changed_configuration_has_another_revision(tmp_path: Path) -> None:
    first = write_folder(tmp_path / "a")
    second = write_folder(tmp_path / "b", config=tiny_config(rope_theta=5.0))
    assert opened(first).revision != opened(second).revision


def test_a_tensor_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no tensor 'nothing'"):
        opened(write_folder(tmp_path)).tensor("nothing")
