"""Families over lists of integers."""

# Templates of docstrings and bodies are kept whole, on one line each.
# ruff: noqa: E501

from training.arguments import NATURALS, NUMBERS, OTHERS
from training.blocks import (
    COMPARISONS,
    MAPS,
    NUMBER_KEYS,
    PREDICATES,
    SMALL_PREDICATES,
    Block,
    constants,
)
from training.family import Family

DEFAULTS = (
    *constants((0, -1, 1, 10, 100, -100)),
    Block(name="none", code="None", words=("None",)),
)
ORDERS = (
    Block(name="ascending", code="", words=("ascending", "increasing")),
    Block(name="descending", code=", reverse=True", words=("descending", "decreasing")),
)
EXTREMES = (
    Block(name="largest", code="max", words=("largest", "biggest", "greatest")),
    Block(name="smallest", code="min", words=("smallest", "least")),
)
PAIR_MAPS = (
    Block(name="sum", code="x + y", words=("sum",)),
    Block(name="difference", code="x - y", words=("difference (first minus second)",)),
    Block(name="product", code="x * y", words=("product",)),
    Block(name="larger", code="max(x, y)", words=("larger", "maximum")),
    Block(name="smaller", code="min(x, y)", words=("smaller", "minimum")),
    Block(name="distance", code="abs(x - y)", words=("absolute difference",)),
)
RUNNING = (
    Block(name="sum", code="total + @x", words=("sum",)),
    Block(name="maximum", code="max(total, @x)", words=("maximum", "largest value")),
    Block(name="minimum", code="min(total, @x)", words=("minimum", "smallest value")),
)
WINDOW = (
    Block(name="sum", code="sum", words=("sum", "total")),
    Block(name="maximum", code="max", words=("maximum", "largest value")),
    Block(name="minimum", code="min", words=("minimum", "smallest value")),
)

LIST_FAMILIES: tuple[Family, ...] = (
    Family(
        name="filter_list",
        names=("keep_{p.name}", "filter_numbers", "select_values", "only_{p.name}"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"p": PREDICATES},
        docs=(
            "Return the numbers of @a that are {p}, in their original order.",
            "Keep only the elements of @a that are {p}.",
            "Given a list of integers, return a list of those that are {p}.",
        ),
        body="return [x for x in @a if {p[x]}]",
    ),
    Family(
        name="map_list",
        names=("map_{m.name}", "transform", "change_all", "apply_to_each"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"m": MAPS},
        docs=(
            "Return a list with each number of @a {m}.",
            "Given a list of integers, return the list of every element {m}.",
            "Every value of @a, {m}.",
        ),
        body="return [{m[x]} for x in @a]",
    ),
    Family(
        name="filter_map",
        names=("filter_and_map", "keep_{p.name}_{m.name}", "select_and_change", "process"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"p": PREDICATES, "m": MAPS},
        docs=(
            "Take the numbers of @a that are {p} and return each of them {m}.",
            "Ignore all elements that are not {p}. Return the others, each {m}.",
            "Return the list of the values in @a that are {p}, each {m}.",
        ),
        body="return [{m[x]} for x in @a if {p[x]}]",
        weight=2,
    ),
    Family(
        name="count_if",
        names=("count_{p.name}", "how_many", "count_matching"),
        takes=(NUMBERS,),
        returns="int",
        slots={"p": PREDICATES},
        docs=(
            "Count the numbers in @a that are {p}.",
            "How many elements of @a are {p}?",
            "Return the number of elements that are {p}.",
        ),
        body="return sum(1 for x in @a if {p[x]})",
    ),
    Family(
        name="sum_if_loop",
        names=("sum_{p.name}", "add_up", "total_of_selected"),
        takes=(NUMBERS,),
        returns="int",
        slots={"p": PREDICATES, "m": MAPS},
        docs=(
            "Add up the numbers of @a that are {p}, each {m}.",
            "Return the total of all elements that are {p}. Each of them is {m} before it is added.",
            "Sum over the values of @a that are {p}, where every one counts {m}.",
        ),
        body="total = 0\nfor x in @a:\n    if {p[x]}:\n        total += {m[x]}\nreturn total",
        weight=2,
    ),
    Family(
        name="extreme_of_filtered",
        names=("{e.name}_{p.name}", "find_{e.name}", "{e.name}_matching"),
        takes=(NUMBERS,),
        returns="int | None",
        slots={"e": EXTREMES, "p": PREDICATES, "d": DEFAULTS},
        docs=(
            "Return the {e} number of @a that is {p}, or {d} if there is none.",
            "Find the {e} element that is {p}. If no element is {p}, return {d}.",
            "Among the values of @a that are {p}, give the {e}; {d} when there are none.",
        ),
        body="return {e.code}((x for x in @a if {p[x]}), default={d})",
    ),
    Family(
        name="all_any",
        names=("{q.name}_{p.name}", "check_{q.name}", "{q.name}_match"),
        takes=(NUMBERS,),
        returns="bool",
        slots={
            "q": (
                Block(name="all", code="all", words=("all numbers", "every one of the numbers")),
                Block(name="any", code="any", words=("any of the numbers", "at least one of the numbers")),
                Block(
                    name="none",
                    code="not any",
                    words=("none of the numbers", "not a single one of the numbers"),
                ),
            ),
            "p": PREDICATES,
        },
        docs=(
            "Tell whether {q} in @a are {p}.",
            "Return True if {q} in @a are {p}, else False.",
            "Check that {q} in the list are {p}.",
        ),
        body="return {q.code}({p[x]} for x in @a)",
    ),
    Family(
        name="partition",
        names=("partition", "split_by_{p.name}", "separate"),
        takes=(NUMBERS,),
        returns="tuple[list[int], list[int]]",
        slots={"p": PREDICATES, "m": MAPS},
        docs=(
            "Split @a into two lists: the numbers that are {p}, and all others, those {m}.",
            "Return a pair of lists. The first has the elements that are {p}; the second has the rest, each {m}.",
        ),
        body="first = [x for x in @a if {p[x]}]\nsecond = [{m[x]} for x in @a if not ({p[x]})]\nreturn first, second",
    ),
    Family(
        name="first_index",
        names=("index_of_{p.name}", "first_position", "find_index"),
        takes=(NUMBERS,),
        returns="int",
        slots={"p": PREDICATES, "d": constants((-1, -2, 100, 999, 0))},
        docs=(
            "Return the index of the first number in @a that is {p}, or {d} if there is none.",
            "Find the position of the first element that is {p}; return {d} when no element is.",
        ),
        body="for i, x in enumerate(@a):\n    if {p[x]}:\n        return i\nreturn {d}",
    ),
    Family(
        name="indices",
        names=("positions_of_{p.name}", "indices", "where"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"p": PREDICATES, "s": constants((0, 1))},
        docs=(
            "Return the positions of the numbers in @a that are {p}, counting from {s}.",
            "List the indices, starting at {s}, of all elements that are {p}.",
        ),
        body="return [i for i, x in enumerate(@a, {s}) if {p[x]}]",
    ),
    Family(
        name="running",
        names=("running_{r.name}", "cumulative_{r.name}", "accumulate"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"r": RUNNING, "s": constants(range(21)), "m": MAPS},
        docs=(
            "Return the running {r} of @a, starting from {s}, with every number {m} first.",
            "For each position, give the {r} so far. Begin with {s}. Each element is taken {m}.",
        ),
        body="result = []\ntotal = {s}\nfor x in @a:\n    x = {m[x]}\n    total = {r[x]}\n    result.append(total)\nreturn result",
    ),
    Family(
        name="gap_pairs",
        names=("gap_{o.name}", "pairs_at_distance", "compare_neighbours", "lagged_{o.name}"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"o": PAIR_MAPS, "k": constants(range(1, 5)), "m": MAPS},
        docs=(
            "For every number in @a and the one {k} places after it, return their {o}, {m}.",
            "Return the list of the {o} of each element and the element {k} positions later, every result {m}.",
        ),
        body="found = [{o.code} for x, y in zip(@a, @a[{k}:])]\nreturn [{m[z]} for z in found]",
    ),
    Family(
        name="sort_take",
        names=("first_by_{q.name}", "sort_and_take", "top_{k}", "smallest_{k}_by_{q.name}"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"q": NUMBER_KEYS, "o": ORDERS, "k": constants(range(2, 7))},
        docs=(
            "Sort @a by {q} in {o} order and return the first {k} numbers.",
            "Return the first {k} elements after sorting by {q}, {o}.",
        ),
        body="return sorted(@a, key=lambda x: {q[x]}{o.code})[:{k}]",
    ),
    Family(
        name="sort_by",
        names=("sort_by_{q.name}", "order", "arrange_numbers"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"q": NUMBER_KEYS, "o": ORDERS, "p": PREDICATES},
        docs=(
            "Sort the numbers of @a that are {p} by {q} in {o} order.",
            "Drop what is not {p}, then sort the rest by {q}, {o}.",
        ),
        body="kept = [x for x in @a if {p[x]}]\nreturn sorted(kept, key=lambda x: {q[x]}{o.code})",
    ),
    Family(
        name="rotate",
        names=("rotate_{d.name}_{k}", "rotate", "shift_{d.name}"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={
            "k": constants(range(1, 10)),
            "d": (
                Block(name="left", code="k", words=("to the left", "leftwards")),
                Block(name="right", code="len(@a) - k", words=("to the right", "rightwards")),
            ),
            "m": MAPS,
        },
        docs=(
            "Rotate @a by {k} places {d}, then return every number {m}.",
            "Move the elements {k} steps {d}, wrapping around; each is {m} afterwards.",
        ),
        body="if not @a:\n    return []\nk = {k} % len(@a)\ncut = {d.code}\nrotated = @a[cut:] + @a[:cut]\nreturn [{m[x]} for x in rotated]",
    ),
    Family(
        name="every_kth",
        names=("every_{k}", "take_every", "sparse"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"k": constants(range(2, 6)), "s": constants(range(4)), "m": MAPS},
        docs=(
            "Starting at index {s} of @a, take one number in {k} and return each {m}.",
            "Return the elements at the indices {s}, {s} + {k}, {s} + 2 * {k} and so on, each {m}.",
        ),
        body="return [{m[x]} for x in @a[{s}::{k}]]",
    ),
    Family(
        name="chunks",
        names=("chunk_{g.name}", "group_by_{k}", "block_{g.name}"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"k": constants(range(2, 6)), "g": WINDOW, "m": MAPS},
        docs=(
            "Cut @a into blocks of {k} numbers (the last may be shorter) and return the {g} of each block, {m}.",
            "For each group of {k} consecutive elements, compute the {g}. Return these values, each {m}.",
        ),
        body="result = []\nfor i in range(0, len(@a), {k}):\n    x = {g.code}(@a[i : i + {k}])\n    result.append({m[x]})\nreturn result",
    ),
    Family(
        name="windows",
        names=("window_{g.name}", "sliding_{g.name}", "moving_{g.name}"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"k": constants(range(2, 6)), "g": WINDOW, "p": PREDICATES},
        docs=(
            "Return the {g} of each window of {k} neighbouring numbers in @a, but only those that are {p}.",
            "Slide a window of length {k} over @a and collect each {g} that is {p}.",
        ),
        body="found = [{g.code}(@a[i : i + {k}]) for i in range(len(@a) - {k} + 1)]\nreturn [x for x in found if {p[x]}]",
    ),
    Family(
        name="unique",
        names=("unique_by_{q.name}", "distinct", "remove_repeats"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"q": NUMBER_KEYS, "p": PREDICATES},
        docs=(
            "Return the numbers of @a that are {p}, without those whose {q} occurred before.",
            "Keep elements that are {p}. Of several with the same {q}, keep the first.",
        ),
        body="seen = set()\nresult = []\nfor x in @a:\n    key = {q[x]}\n    if {p[x]} and key not in seen:\n        seen.add(key)\n        result.append(x)\nreturn result",
    ),
    Family(
        name="zip_lists",
        names=("pairwise_{o.name}", "combine", "zip_{o.name}"),
        takes=(NUMBERS, OTHERS),
        returns="list[int]",
        slots={"o": PAIR_MAPS, "p": PREDICATES},
        docs=(
            "Return the {o} of each number in @a and the one at the same place in @b, if it is {p}.",
            "Combine @a and @b element by element into their {o}; keep the results that are {p}.",
        ),
        body="combined = [{o.code} for x, y in zip(@a, @b)]\nreturn [x for x in combined if {p[x]}]",
    ),
    Family(
        name="membership",
        names=("{w.name}_{p.name}", "compare_lists", "select_{w.name}"),
        takes=(NUMBERS, OTHERS),
        returns="list[int]",
        slots={
            "w": (
                Block(name="common", code="in", words=("also occur in", "are found in", "are members of")),
                Block(
                    name="missing",
                    code="not in",
                    words=("do not occur in", "are missing from", "are absent from"),
                ),
            ),
            "p": PREDICATES,
            "m": MAPS,
        },
        docs=(
            "Return the numbers of @a that {w} @b and are {p}, each {m}.",
            "Of the elements of @a that are {p}, keep those that {w} @b. Return them {m}.",
        ),
        body="return [{m[x]} for x in @a if x {w.code} @b and {p[x]}]",
    ),
    Family(
        name="longest_run",
        names=("longest_{p.name}_run", "longest_streak", "max_run"),
        takes=(NUMBERS,),
        returns="int",
        slots={"p": PREDICATES},
        docs=(
            "Return the length of the longest run of consecutive numbers in @a that are {p}.",
            "How long is the longest stretch of neighbouring elements that are all {p}?",
        ),
        body="best = 0\ncurrent = 0\nfor x in @a:\n    current = current + 1 if {p[x]} else 0\n    best = max(best, current)\nreturn best",
    ),
    Family(
        name="replace_if",
        names=("replace_{p.name}", "substitute", "overwrite"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"p": PREDICATES, "k": constants(range(-9, 21))},
        docs=(
            "Return @a with every number that is {p} replaced by {k}.",
            "Put {k} in the place of each element that is {p}; leave the others as they are.",
        ),
        body="return [{k} if {p[x]} else x for x in @a]",
    ),
    Family(
        name="two_way_map",
        names=("adjust", "two_way", "change_{p.name}"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"p": PREDICATES, "m": MAPS, "o": MAPS},
        docs=(
            "Return @a with numbers that are {p} {m}, and all others {o}.",
            "Each element that is {p} is {m}; each other one is {o}.",
            "Numbers that are {p} are to be {m}. The rest is to be {o}. Return the new list.",
        ),
        body="return [{m[x]} if {p[x]} else {o[x]} for x in @a]",
        weight=3,
        allows=lambda c: c["m"] is not c["o"],
    ),
    Family(
        name="take_while",
        names=("take_while_{p.name}", "leading_{p.name}", "prefix_of"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"p": PREDICATES, "m": MAPS},
        docs=(
            "Return the numbers at the start of @a, each {m}, up to the first one that is not {p}.",
            "Take elements from the front as long as they are {p} and return them {m}.",
        ),
        body="result = []\nfor x in @a:\n    if not ({p[x]}):\n        break\n    result.append({m[x]})\nreturn result",
    ),
    Family(
        name="until_total",
        names=("take_until_{k}", "fill_up", "budget"),
        takes=(NATURALS,),
        returns="list[int]",
        slots={"k": constants(range(10, 61)), "p": PREDICATES},
        docs=(
            "Take numbers that are {p} from the front of @a while their total stays at most {k}; stop at the first that does not fit.",
            "Collect the elements that are {p} in order, and stop before the sum would exceed {k}.",
        ),
        body="total = 0\nresult = []\nfor x in @a:\n    if {p[x]}:\n        if total + x > {k}:\n            break\n        total += x\n        result.append(x)\nreturn result",
    ),
    Family(
        name="index_parity",
        names=("sum_at_{r.name}", "index_sum", "position_total"),
        takes=(NUMBERS,),
        returns="int",
        slots={"r": SMALL_PREDICATES, "p": PREDICATES},
        docs=(
            "Return the sum of the numbers that are {p} and whose index in @a is {r}.",
            "Among the elements at indices that are {r}, add up those that are {p}.",
        ),
        body="return sum(x for i, x in enumerate(@a) if {r[i]} and {p[x]})",
    ),
    Family(
        name="count_pairs",
        names=("count_pairs", "pairs_with_{o.name}", "number_of_pairs"),
        takes=(NUMBERS,),
        returns="int",
        slots={"o": PAIR_MAPS, "p": PREDICATES},
        docs=(
            "Count the pairs of positions i < j in @a for which the {o} of the two numbers is {p}.",
            "How many pairs of elements have a {o} that is {p}?",
        ),
        body="count = 0\nfor i, x in enumerate(@a):\n    for y in @a[i + 1 :]:\n        z = {o.code}\n        if {p[z]}:\n            count += 1\nreturn count",
    ),
    Family(
        name="nth_distinct",
        names=("nth_{o.name}", "ranked", "order_statistic"),
        takes=(NUMBERS,),
        returns="int | None",
        slots={
            "n": constants(range(2, 6)),
            "o": (
                Block(name="largest", code=", reverse=True", words=("largest", "highest")),
                Block(name="smallest", code="", words=("smallest", "lowest")),
            ),
            "d": DEFAULTS,
            "p": PREDICATES,
        },
        docs=(
            "Return the {o} number of rank {n} among the distinct numbers of @a that are {p}, or {d} if there are too few.",
            "Of the different values that are {p}, return number {n} counted from the {o}. Return {d} if there are fewer than {n}.",
        ),
        body="found = sorted({{x for x in @a if {p[x]}}}{o.code})\nif len(found) < {n}:\n    return {d}\nreturn found[{n} - 1]",
    ),
    Family(
        name="spread",
        names=("spread", "range_of_{m.name}", "width"),
        takes=(NUMBERS,),
        returns="int",
        slots={"m": MAPS, "p": PREDICATES, "d": constants((0, -1, 1))},
        docs=(
            "Return the largest minus the smallest of the numbers in @a that are {p}, each {m}; {d} if there are none.",
            "Take the elements that are {p} and {m}, and return the distance between the greatest and the least. If there are none, return {d}.",
        ),
        body="found = [{m[x]} for x in @a if {p[x]}]\nif not found:\n    return {d}\nreturn max(found) - min(found)",
    ),
    Family(
        name="average",
        names=("average_{p.name}", "mean_of", "rounded_mean"),
        takes=(NUMBERS,),
        returns="int",
        slots={"p": PREDICATES, "d": constants(range(-3, 4)), "m": MAPS},
        docs=(
            "Return the mean, rounded down, of the numbers in @a that are {p}, each {m}. Without such numbers return {d}.",
            "Average of the elements that are {p} and then {m} (integer division); {d} if there are none.",
        ),
        body="found = [{m[x]} for x in @a if {p[x]}]\nif not found:\n    return {d}\nreturn sum(found) // len(found)",
    ),
    Family(
        name="signed_balance",
        names=("balance", "score_{p.name}", "tally"),
        takes=(NUMBERS,),
        returns="int",
        slots={"p": PREDICATES, "q": COMPARISONS, "m": MAPS},
        docs=(
            "Start at 0. Add each number of @a that is {p}; of the others, subtract those that are {q}, each {m}.",
            "Return a score: elements that are {p} are added, else elements that are {q} are subtracted {m}, and the rest is ignored.",
        ),
        body="score = 0\nfor x in @a:\n    if {p[x]}:\n        score += x\n    elif {q[x]}:\n        score -= {m[x]}\nreturn score",
        weight=1.5,
        allows=lambda c: c["p"] is not c["q"],
    ),
    Family(
        name="label",
        names=("label", "classify_numbers", "describe"),
        takes=(NUMBERS,),
        returns="list[str]",
        slots={
            "p": PREDICATES,
            "q": PREDICATES,
            "s": tuple(
                Block(name=f"{a}_{b}_{c}", code=f"{a} {b} {c}", words=(f"{a} {b} {c}",))
                for a, b, c in (
                    ("low", "high", "mid"),
                    ("yes", "maybe", "no"),
                    ("A", "B", "C"),
                    ("red", "green", "blue"),
                )
            ),
        },
        docs=(
            "Of the three labels '{s}', give each number of @a the first if it is {p}, the second if it is {q} but not {p}, else the third.",
            "Choose one of the words '{s}' for each element: the first where it is {p}, otherwise the second where it is {q}, otherwise the third.",
        ),
        body='first, second, third = "{s.code}".split()\nreturn [first if {p[x]} else second if {q[x]} else third for x in @a]',
        allows=lambda c: c["p"] is not c["q"],
    ),
)
