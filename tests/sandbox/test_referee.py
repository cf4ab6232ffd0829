"""How tests see a program: by calls alone, with the official evaluator's meaning."""

import pytest

from quantbench.sandbox.program import Program
from tests.sandbox.arena import Arena


def verdict(arena: Arena, source: str, test: str, *, prompt: str = "") -> tuple[str, str]:
    program = Program(task_id="t", prompt=prompt, completion=source, test=test, entry_point="f")
    report = arena.run(program)
    return report["outcome"], report["detail"]


def test_a_failed_assertion_says_its_text(arena: Arena) -> None:
    found = verdict(arena, "def f(): return 1", "def check(c):\n    assert c() == 2, 'not two'\n")
    assert found == ("failed", "AssertionError: not two")


def test_the_programs_exception_reaches_the_test(arena: Arena) -> None:
    test = "def check(c):\n    try: c()\n    except ValueError as error:\n        assert str(error) == 'no'\n"
    assert verdict(arena, "def f(): raise ValueError('no')", test) == ("passed", "")


def test_a_test_that_never_calls_the_program_is_not_passed(arena: Arena) -> None:
    assert verdict(arena, "def f(): pass", "def check(c): pass\n")[0] == "failed"


def test_a_program_that_dies_between_calls_is_not_passed(arena: Arena) -> None:
    source = "import os, threading\ndef f():\n    threading.Timer(0, os._exit, (0,)).start()\n    return 1"
    test = "def check(c):\n    c()\n    try:\n        while True: c()\n    except BaseException: pass\n"
    assert verdict(arena, source, test)[0] == "crashed"


def test_the_function_is_known_by_its_own_name_too(arena: Arena) -> None:
    test = "def check(c):\n    assert f(2) == c(2) == 4\n"
    assert verdict(arena, "def f(x): return x * x", test) == ("passed", "")


def test_helpers_come_from_the_prompt_not_from_the_completion(arena: Arena) -> None:
    prompt = "def expected(): return 5\ndef f():\n"
    source = "    return 6\ndef expected(): return 6\n"
    assert (
        verdict(arena, source, "def check(c):\n    assert c() == expected()\n", prompt=prompt)[0] == "failed"
    )


def test_a_program_cannot_replay_what_the_test_draws(arena: Arena) -> None:
    test = "import random\ndef check(c):\n    assert c() == random.random()\n"
    for seed in ("", "random.seed(0)\n"):
        source = f"import random\n{seed}def f(): return random.random()"
        assert verdict(arena, source, test)[0] == "failed"


def test_what_a_prompt_draws_is_the_same_in_the_program_and_in_the_test(arena: Arena) -> None:
    prompt = "import random\nSECRET = random.random()\ndef f():\n"
    test = "def check(c):\n    assert c() == SECRET\n"
    assert verdict(arena, "    return SECRET\n", test, prompt=prompt) == ("passed", "")


def test_a_program_draws_the_same_random_numbers_each_time(arena: Arena) -> None:
    source = "import random\ndef f(): return random.random()"
    test = "def check(c):\n    assert c() == 0.8444218515250481\n"
    for _ in range(2):
        assert verdict(arena, source, test) == ("passed", "")


def test_sets_have_the_same_order_each_time(arena: Arena) -> None:
    test = "def check(c):\n    assert c() == list({'a', 'b', 'c', 'd'})\n"
    assert verdict(arena, "def f(): return list({'a', 'b', 'c', 'd'})", test) == ("passed", "")


def test_a_program_may_use_the_standard_library_and_threads(arena: Arena) -> None:
    source = """
import concurrent.futures, html.parser, sqlite3, lzma, ssl, unicodedata, zoneinfo
def f(x):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return sum(pool.map(abs, x)), sqlite3.connect(":memory:").execute("select 1").fetchone()
"""
    test = "def check(c):\n    assert c([-1, 2]) == (3, (1,))\n"
    assert verdict(arena, source, test) == ("passed", "")


def test_what_is_printed_goes_nowhere(arena: Arena) -> None:
    source = "def f():\n    print('x', flush=True)\n    return 1"
    assert verdict(arena, source, "def check(c):\n    assert c() == 1\n") == ("passed", "")


def test_the_main_block_of_a_program_does_not_run(arena: Arena) -> None:
    source = "def f(): return 1\nif __name__ == '__main__':\n    raise SystemExit"
    assert verdict(arena, source, "def check(c):\n    assert c() == 1\n") == ("passed", "")


def test_dataclasses_of_a_program_work(arena: Arena) -> None:
    source = "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(): return P(3).x"
    assert verdict(arena, source, "def check(c):\n    assert c() == 3\n") == ("passed", "")


def test_many_programs_pass_through_one_lane(arena: Arena) -> None:
    """More than the zygote's socket holds reports."""
    program = Program(
        task_id="t",
        prompt="",
        completion="def f(): return 1",
        test="def check(c):\n    assert c() == 1\n",
        entry_point="f",
    )
    for _ in range(350):
        arena.lane.submit(program, wall_s=5)
        report = arena.lane.verdict()
        assert report is not None and report["outcome"] == "passed"


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("def f(): return [0] * 10 ** 10", "out_of_memory"),
        ("def f():\n    while True: pass", "timed_out"),
        ("import socket\ndef f(): socket.socket()", "forbidden"),
        ("import os\ndef f(): os._exit(3)", "crashed"),
        ("def f(): return 2", "failed"),
    ],
)
def test_each_end_has_its_outcome(arena: Arena, source: str, outcome: str) -> None:
    found, detail = verdict(arena, source, "def check(c):\n    assert c() == 1\n")
    assert found == outcome, detail
