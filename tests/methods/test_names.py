"""A method may be written in several ways; each leads to its own name, or to a sentence of what there is."""

import contextlib
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantbench.errors import UsageError
from quantbench.methods import METHODS
from quantbench.methods.names import OPTIONS, all_names, own_name, own_names
from quantbench.planning import build_plan
from quantbench.settings import RunSettings
from quantbench.settings.reading import read_settings, rejoined

NAMES = st.sampled_from([*METHODS])


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str]:
    """A method with some options in any order, and its own name."""
    method = draw(st.sampled_from([*OPTIONS]))
    chosen = {option.key: draw(st.sampled_from([None, *option.parts])) for option in OPTIONS[method]}
    own = method + "".join(option.parts.get(chosen[option.key] or "", "") for option in OPTIONS[method])
    pieces = draw(st.permutations([f"{key}={value}" for key, value in chosen.items() if value]))
    return method + (f":{','.join(pieces)}" if pieces else ""), own


@given(written())
def test_options_in_any_order_are_one_own_name(names: tuple[str, str]) -> None:
    given_name, own = names
    assert own_name(given_name, METHODS) == own


@pytest.mark.parametrize("method", OPTIONS)
def test_every_choice_of_options_is_a_method(method: str) -> None:
    assert set(all_names(method)) <= METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_an_own_name_is_written_as_it_is(name: str) -> None:
    assert own_name(name, METHODS) == name


@pytest.mark.parametrize("parts", [*permutations(("hq", "nocal", "head16"))])
def test_the_parts_of_a_name_may_stand_in_any_order(parts: tuple[str, ...]) -> None:
    assert own_name("-".join(("int4", *parts)), METHODS) == "int4-hq-nocal-head16"


@pytest.mark.parametrize(
    ("name", "own"),
    [("int4-g32", "int4-hq"), ("int4-g64-head16", "int4-head16"), ("int4-hq:head=16", "int4-hq-head16")],
)
def test_parts_may_be_options_too(name: str, own: str) -> None:
    assert own_name(name, METHODS) == own


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nf5", "unknown method 'nf5'; choose from: fp32"),
        ("int4-g48", "unknown method 'int4-g48'; did you mean"),
        ("int4-hq-g32", "unknown method 'int4-hq-g32'"),
        ("nf5:g=64", "unknown method 'nf5'"),
        ("int4:g=48", "'g=48' in 'int4:g=48' is no option of int4; it takes g=64|32, .* and head=4|8|16"),
        ("int4:", "'' in 'int4:' is no option of int4; it takes g=64|32"),
        ("int4:g", "'g' in 'int4:g' is no option of int4"),
        ("int4:group=64", "'group=64' in .* is no option of int4"),
        ("int4:g=64,g=32", "'int4:g=64,g=32' says g twice; say it once"),
        ("int4-hq:g=64", "'int4-hq:g=64' says g twice"),
        (
            "int8:cal=none",
            "'cal=none' in 'int8:cal=none' is no option of int8; it takes g=row|128|32 and head=8|16",
        ),
        ("fp16:head=16", "'fp16' takes no options, as in 'fp16:head=16'; int8, int4.* do"),
        ("q4_0:g=32", "'q4_0' takes no options"),
        ("int4-rtn:head=16", "'int4-rtn' takes no options"),
        ("bnb-nf4-dq:dq=off", "says dq twice"),
        ("head=16", "unknown method 'head=16'"),
        ("fp16,head=16", "unknown method 'fp16,head=16'"),
    ],
)  # fmt: skip
def test_what_is_no_name_is_told_in_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence.replace("|", r"\|")) as refusal:
        own_name(name, METHODS)
    assert "\n" not in str(refusal.value)


@given(st.text(max_size=30))
def test_any_text_is_a_name_or_a_users_error(text: str) -> None:
    for name in (text, f"int4:{text}", f"int4-{text}"):
        with contextlib.suppress(UsageError):
            assert own_name(name, METHODS) in METHODS


@given(st.lists(written().map(lambda names: names[0]) | NAMES, min_size=1, max_size=6, unique=True))
def test_a_list_is_split_between_names_and_not_within_one(names: list[str]) -> None:
    assert rejoined(",".join(names)) == names


def test_the_command_lines_list_holds_methods_with_options() -> None:
    settings = read_settings(RunSettings, {"methods": "fp16, int4:g=64,head=16 ,int8"})
    assert settings.methods == ("fp16", "int4:g=64,head=16", "int8")


def test_two_ways_of_writing_one_method_are_told() -> None:
    with pytest.raises(UsageError, match="names int4-head16 twice, as int4:head=16 and as int4-head16"):
        own_names(("int4:head=16", "int4-head16"), METHODS)


def test_a_plan_holds_own_names_so_that_both_are_one_trial() -> None:
    plans = [
        build_plan(RunSettings(methods=("fp16", name), baseline="fp16", tasks=("none",), device="cpu"))[0]
        for name in ("int4:head=16", "int4-head16")
    ]
    assert [trial.id for trial in plans[0].trials] == [trial.id for trial in plans[1].trials]


def test_a_baseline_may_have_options_too() -> None:
    settings = RunSettings(
        methods=("int8", "int4:cal=none"), baseline="int4-nocal", tasks=("none",), device="cpu"
    )
    assert build_plan(settings)[0].baseline == "int4-nocal"
