"""What a run shows without a terminal."""

import io

from rich.console import Console

from quantbench.terminal import RunDisplay
from tests.builders import make_trial


def test_a_pipe_gets_one_line_a_stage() -> None:
    file = io.StringIO()
    with RunDisplay(Console(file=file)) as display:
        for number in (1, 2):
            display.on_start(make_trial(), number, 2)
            for stage in ("loading", "speed", "speed", "answers"):
                display.progress(stage, 1, 4)
    lines = file.getvalue().splitlines()
    assert [line for line in lines if line] == [
        f"fp16 ({number}/2): {stage}"
        for number in (1, 2)
        for stage in ("starting", "loading", "speed", "answers")
    ]
