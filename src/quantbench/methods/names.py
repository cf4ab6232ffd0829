"""Names of methods with options: `int4:g=32,head=16` is `int4-hq-head16`, and both are one trial.

A method is written by its own name, as METHODS and every report have it, or with options behind a colon, in
any order. An option's value stands for a part of the own name, often for none: `int4:g=64` is `int4`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from quantbench.errors import UsageError, unknown
from quantbench.units import listed

MARK, NEXT, IS = ":", ",", "="


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodOption:
    """One option of a method; its default is the value whose part of the name is empty."""

    key: str
    what: str  # of `quantbench methods`
    parts: Mapping[str, str]  # value -> the part of the method's own name, '' or '-head16'

    @property
    def usage(self) -> str:
        """'g=64|32'."""
        return f"{self.key}={'|'.join(self.parts)}"


def head_option(bits: str, *others: str) -> MethodOption:
    """Bits of embedding and head of a method that has `bits` everywhere, or `others` or 16 there."""
    more = {other: f"-head{other}" for other in (*others, "16")}
    return MethodOption(key="head", what="bits of embedding and head", parts={bits: "", **more})


GROUPS = MethodOption(key="g", what="weights that share a scale", parts={"64": "", "32": "-hq"})
GROUPS_OF_8 = MethodOption(
    key="g", what="weights that share a scale", parts={"row": "", "128": "-g128", "32": "-g32"}
)
CALIBRATION = MethodOption(
    key="cal",
    what="what a text is for: scales, nothing or GPTQ",
    parts={"text": "", "none": "-nocal", "gptq": "-gptq"},
)

BUDGETS = MethodOption(
    key="bits",
    what="bits a weight in all",
    parts={"4.5": "", "4.75": "-4.75", "5": "-5", "6": "-6"},
)
ROUNDING = MethodOption(
    key="cal", what="what a text is for: scales or GPTQ", parts={"text": "", "gptq": "-gptq"}
)

OPTIONS: dict[str, tuple[MethodOption, ...]] = {  # in the order in which an own name has their parts
    "int8": (GROUPS_OF_8, head_option("8")),
    "int4": (GROUPS, CALIBRATION, head_option("4", "8")),
    "mixed": (BUDGETS, ROUNDING, head_option("mixed")),
    "fp8": (MethodOption(key="a", what="bits of activations", parts={"8": "", "16": "-a16"}),),
    "int4-sym": (head_option("4"),),
    "int4-asym": (head_option("4"),),
    "bnb-nf4": (MethodOption(key="dq", what="scales quantized once more", parts={"off": "", "on": "-dq"}),),
}


def own_name(written: str, methods: Mapping[str, object]) -> str:
    """The name in `methods` of what a user wrote; UsageError says what there is, or what a method takes."""
    name, mark, text = written.partition(MARK)
    if not mark:
        return name if name in methods else spelled_out(name, methods)
    method, chosen = parts_of(name, methods)
    for piece in text.split(NEXT):
        option, value = read_option(method, written, piece)
        if option.key in chosen:
            raise UsageError(f"'{written}' says {option.key} twice; say it once")
        chosen[option.key] = value
    return joined(method, chosen)


def spelled_out(name: str, methods: Mapping[str, object]) -> str:
    """The own name of one whose parts stand in another order, or are options: 'int4-head16-g32'."""
    method, chosen = parts_of(name, methods)
    return joined(method, chosen)


def parts_of(name: str, methods: Mapping[str, object]) -> tuple[str, dict[str, str]]:
    """A method that takes options, and those that the parts of a name stand for."""
    stems = [stem for stem in OPTIONS if name.startswith(f"{stem}-")]
    method = max(stems, key=len, default=name)
    parts = name.removeprefix(f"{method}-").split("-") if stems else []
    chosen: dict[str, str] = {}
    for part in parts:
        found = value_of(method, part)
        if name in methods and found is None:
            return name, {}
        if found is None or found[0] in chosen:
            raise UsageError(unknown("method", name, methods))
        chosen[found[0]] = found[1]
    if method not in methods:
        raise UsageError(unknown("method", name, methods))
    return method, chosen


def value_of(method: str, part: str) -> tuple[str, str] | None:
    """Key and value that a part of a name stands for: 'hq' and 'g32' are both ('g', '32')."""
    for option in OPTIONS[method]:
        for value, suffix in option.parts.items():
            if part in (suffix.removeprefix("-") or None, f"{option.key}{value}"):
                return option.key, value
    return None


def read_option(method: str, written: str, piece: str) -> tuple[MethodOption, str]:
    """One `key=value` of what was written; UsageError lists what the method takes."""
    key, _, value = (word.strip() for word in piece.partition(IS))
    options = OPTIONS.get(method, ())
    if not options:
        raise UsageError(f"'{method}' takes no options, as in '{written}'; {listed(list(OPTIONS))} do")
    for option in options:
        if key == option.key and value in option.parts:
            return option, value
    raise UsageError(f"'{piece.strip()}' in '{written}' is no option of {method}; it takes {usage(method)}")


def usage(method: str) -> str:
    """'g=64|32, cal=text|none and head=4|16'."""
    return listed([option.usage for option in OPTIONS[method]])


def joined(method: str, chosen: Mapping[str, str]) -> str:
    """The own name of a method under options."""
    return method + "".join(
        option.parts[chosen[option.key]] for option in OPTIONS.get(method, ()) if option.key in chosen
    )


def all_names(method: str) -> Iterator[str]:
    """The own names of a method under all its options."""
    for suffixes in product(*(option.parts.values() for option in OPTIONS[method])):
        yield method + "".join(suffixes)


def own_names(written: Sequence[str], methods: Mapping[str, object]) -> tuple[str, ...]:
    """All own names; UsageError where two were written that are the same."""
    names = tuple(own_name(name, methods) for name in written)
    for name in names:
        if names.count(name) > 1:
            twice = [given for given, own in zip(written, names, strict=True) if own == name]
            raise UsageError(f"--methods names {name} twice, as {' and as '.join(twice)}; name it once")
    return names
