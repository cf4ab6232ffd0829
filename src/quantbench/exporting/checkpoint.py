"""A transformers folder of packed weights: safetensors in shards, configuration, and what goes along."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.exporting.matrices import Parameter
from quantbench.exporting.packing import Packing
from quantbench.sources import ModelSource
from quantbench.sources.gguf_source import GgufSource
from quantbench.sources.tokenizer_files import tokenizer_files
from quantbench.weights.writers import Unfit

if TYPE_CHECKING:
    from torch import Tensor

SHARD_BYTES = 2_000_000_000  # also what is held in memory before a shard is written
ALONG = ("generation_config.json", "chat_template.jinja", "chat_template.json", "LICENSE*", "NOTICE*")
REPLACED = ("quantization_config", "transformers_weights", "dtype", "torch_dtype")


class Misfit(Exception):
    """A parameter that a layout cannot hold, and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"'{name}': {reason}" if name else reason)


def write_checkpoint(
    source: ModelSource,
    parameters: Iterable[Parameter],
    packing: type[Packing],
    folder: Path,
    *,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write all files; Misfit where the layout cannot hold a parameter, ModelError for a source that has no
    config.json to give."""
    check_config(source)
    shards = Shards(folder, shard_bytes)
    settings = pack_all(parameters, packing(shards.put))
    shards.finish()
    write_json(folder / "config.json", config_of(source, settings, shards.float_type))
    for path in folder.glob("*.safetensors"):  # the library's are readable by their owner alone
        shutil.copymode(folder / "config.json", path)
    copy_texts(source, folder)


def pack_all(parameters: Iterable[Parameter], packing: Packing) -> dict[str, Any]:
    """Hand all parameters to a packing; its quantization_config. Misfit where one does not fit."""
    name = ""
    try:
        for parameter in parameters:
            name = parameter.name
            packing.add(parameter)
        name = ""
        return packing.settings()
    except Unfit as error:
        raise Misfit(name, str(error)) from None


class Shards:
    """Collects tensors and writes a file whenever so many bytes are together."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.float_type = "float16"  # of the embedding, the first matrix
        self._folder, self._most = folder, most_bytes
        self._held: dict[str, Tensor] = {}
        self._bytes, self._total = 0, 0
        self._written: list[list[str]] = []  # names in each file

    def put(self, name: str, tensor: "Tensor") -> None:
        """Take a tensor; it is written with the shard that it belongs to."""
        if not self._total:
            self.float_type = str(tensor.dtype).removeprefix("torch.")
        if self._held and self._bytes + tensor.nbytes > self._most:
            self._write()
        self._held[name] = tensor.contiguous()
        self._bytes += tensor.nbytes
        self._total += tensor.nbytes

    def finish(self) -> None:
        """Write what is left, name the files, and write the index where there are several."""
        self._write()
        count = len(self._written)
        if count == 1:
            self._part(0).rename(self._folder / "model.safetensors")
            return
        weight_map: dict[str, str] = {}
        for number, names in enumerate(self._written):
            file = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
            self._part(number).rename(self._folder / file)
            weight_map |= dict.fromkeys(names, file)
        index = {"metadata": {"total_size": self._total}, "weight_map": weight_map}
        write_json(self._folder / "model.safetensors.index.json", index)

    def _write(self) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        try:
            save_file(self._held, self._part(len(self._written)), metadata={"format": "pt"})
        except SafetensorError as error:  # what the system said, in the library's own exception
            raise OSError(0, str(error)) from error
        self._written.append(list(self._held))
        self._held, self._bytes = {}, 0

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number}.safetensors"


def check_config(source: ModelSource) -> None:
    """ModelError for a GGUF file whose configuration transformers has no words for."""
    if (source.config.get("rope_scaling") or {}).get("rope_type") == "factors":
        raise ModelError(
            f"'{source.name}' has factors of positions that config.json cannot say; use --format gguf, or "
            "give the model's own folder"
        )


def config_of(source: ModelSource, settings: dict[str, Any], float_type: str) -> dict[str, Any]:
    """The source's configuration with this quantization."""
    kept = {key: value for key, value in source.config.items() if key not in REPLACED}
    return {**kept, "torch_dtype": float_type, "quantization_config": settings}


def copy_texts(source: ModelSource, folder: Path) -> None:
    """Tokenizer, chat template, generation settings and licence, as the source has them."""
    if isinstance(source, GgufSource):
        write_tokenizer(source, folder)
    elif source.folder is not None:
        along = [path for pattern in ALONG for path in sorted(source.folder.glob(pattern)) if path.is_file()]
        for path in (*tokenizer_files(source.folder), *along):
            shutil.copyfile(path, folder / path.name)


def write_tokenizer(source: GgufSource, folder: Path) -> None:
    """tokenizer.json and its configuration, made from a GGUF file's own vocabulary."""
    from quantbench.sources.chat_template import load_chat_template

    tokenizer = source.tokenizer()
    if tokenizer is None:
        return
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    tokens = source.metadata["tokenizer.ggml.tokens"]
    for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")):
        index = source.metadata.get(f"tokenizer.ggml.{key}_token_id")
        if isinstance(index, int) and 0 <= index < len(tokens):
            settings[f"{name}_token"] = tokens[index]
    write_json(folder / "tokenizer_config.json", settings)
    write_json(folder / "generation_config.json", {"eos_token_id": source.config["eos_token_id"]})
    if template := load_chat_template(source):
        (folder / "chat_template.jinja").write_text(template.text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """A file of indented JSON."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
