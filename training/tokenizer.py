"""Trains the built-in model's tokenizer: byte-level BPE over text of the training part.

    python -m training.tokenizer [FOLDER]

Every digit is a token of its own, and a line's indentation is one.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training.examples import Part, draw_examples

VOCABULARY = 1536
END = "<|endoftext|>"
EXAMPLES = 30_000
SEED = 1
FOLDER = Path(__file__).parents[1] / "src" / "quantbench" / "assets" / "quickcoder"
# A line's end and its indentation are apart, so that a prompt that ends with a line's end is cut into
# tokens as the same text inside a document is. Words have their leading space, digits stand alone.
SPLIT = r"\n| {2,}| ?[A-Za-z]+|_[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]{1,3}|\s"


def build_tokenizer(texts: Iterator[str]) -> Tokenizer:
    """A tokenizer of VOCABULARY entries, the end of text first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def training_texts() -> Iterator[str]:
    for example in draw_examples(Part.TRAINING, seed=SEED, chunk=0, count=EXAMPLES):
        yield example.prompt + example.solution


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    build_tokenizer(training_texts()).save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": END,
        "model_max_length": 1024,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
