"""A GGUF file's weights as floats in a folder, for benchmarks/quality.py --blur.

    python benchmarks/quality_folder.py FILE.gguf FOLDER

Matrices become float32, their exact values; of a tied embedding that is stored twice the head's copy is left
out, as sources read it. The tokenizer is the file's own.
"""

import json
import sys
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from quantbench.sources import ModelSource, load_tokenizer, open_source
from quantbench.sources.layout import tensor_shapes
from quantbench.weights.readers.quantizing import floats_of


def main() -> None:
    """Read, dequantize, write."""
    file, folder = sys.argv[1], Path(sys.argv[2])
    source = open_source(file)
    tokenizer = load_tokenizer(source)
    if tokenizer is None:
        raise SystemExit(f"'{file}' has no tokenizer that can be read; take another file")
    folder.mkdir(parents=True, exist_ok=True)
    shapes = tensor_shapes(source.config) or {}
    tensors = {name: values(source, name, shape) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(source.config, indent=1))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


def values(source: ModelSource, name: str, shape: tuple[int, ...]) -> Tensor:
    """Float32, of matrices what their blocks stand for."""
    found = floats_of(source, name, (shape[0], shape[1])) if len(shape) == 2 else source.tensor(name)
    return found.float().contiguous()


if __name__ == "__main__":
    main()
