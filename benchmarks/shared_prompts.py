"""What it saves that several answers to a problem compute its prompt once: CPU seconds, both ways in turns.

    python benchmarks/shared_prompts.py --model random:qwen2.5-0.5b --method int8 --answers 20

CPU time, not wall time, so that a busy machine changes little. Answers must be equal both ways.
"""

import argparse
import random
import statistics
import time
from collections.abc import Sequence

from quantbench.decoding import Decoder, Generation, Request
from quantbench.decoding.prompt_rows import Prompt, PromptRows
from quantbench.methods import METHODS, LoadSettings
from quantbench.settings import Engine
from quantbench.sources import open_source


def main() -> None:
    """Print the CPU seconds of each turn and the ratio of their medians."""
    settings = arguments()
    load = LoadSettings(device="cpu", dtype="float32", engine=Engine.NATIVE)
    decoder = METHODS[settings.method].load(open_source(settings.model), load).decoder
    draw = random.Random(0)
    requests = [
        Request(prompt_ids=prompt, max_new_tokens=settings.new, temperature=0.2, seed=seed)
        for prompt in [draw_prompt(draw, decoder, settings.prompt) for _ in range(settings.problems)]
        for seed in range(settings.answers)
    ]
    shared, admit = {True: [], False: []}, PromptRows.admit
    answers = set()
    for _ in range(settings.rounds):
        for sharing, seconds in shared.items():
            PromptRows.admit = admit if sharing else computed_anew  # type: ignore[method-assign]
            spent, found = timed(decoder, requests, settings.batch)
            seconds.append(spent)
            answers.add(tuple(generation.token_ids for generation in found))
    for sharing, seconds in shared.items():
        print("shared" if sharing else "each anew", " ".join(f"{value:.2f}" for value in seconds))
    medians = [statistics.median(seconds) for seconds in shared.values()]
    print(f"saved {100 * (1 - medians[0] / medians[1]):.1f} %; equal answers: {len(answers) == 1}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--method", default="int8")
    counts = {"problems": 2, "answers": 20, "prompt": 200, "new": 64, "batch": 20, "rounds": 3}
    for name, value in counts.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


def draw_prompt(draw: random.Random, decoder: Decoder, tokens: int) -> Prompt:
    """A prompt of random tokens."""
    return tuple(draw.randrange(decoder.vocab_size) for _ in range(tokens))


def computed_anew(self: PromptRows, prompts: Sequence[Prompt], rows: Sequence[int]) -> list[int | None]:
    """In place of `PromptRows.admit`: nothing is shared."""
    return [None] * len(prompts)


def timed(decoder: Decoder, requests: Sequence[Request], batch: int) -> tuple[float, list[Generation]]:
    """CPU seconds of all threads, and the answers."""
    start = time.process_time()
    found = decoder.generate(requests, batch_size=batch)
    return time.process_time() - start, found


if __name__ == "__main__":
    main()
