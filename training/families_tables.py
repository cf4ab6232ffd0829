"""Families over dictionaries from strings to integers."""

# Templates of docstrings and bodies are kept whole, on one line each.
# ruff: noqa: E501

from training.arguments import MORE_SCORES, NUMBERS, SCORES, SENTENCE, STRINGS
from training.blocks import (
    CHARACTERS,
    MAPS,
    NUMBER_KEYS,
    PREDICATES,
    WORD_KEYS,
    WORD_MAPS,
    WORD_PREDICATES,
    Block,
    constants,
)
from training.families_lists import DEFAULTS, ORDERS
from training.family import Family

MERGES = (
    Block(name="sum", code="result[key] + value", words=("added",)),
    Block(name="largest", code="max(result[key], value)", words=("reduced to the larger one",)),
    Block(name="smallest", code="min(result[key], value)", words=("reduced to the smaller one",)),
    Block(name="product", code="result[key] * value", words=("multiplied",)),
    Block(name="difference", code="result[key] - value", words=("subtracted (first minus second)",)),
)
PICKS = (
    Block(name="highest", code="max", words=("highest", "largest")),
    Block(name="lowest", code="min", words=("lowest", "smallest")),
)

TABLE_FAMILIES: tuple[Family, ...] = (
    Family(
        name="filter_values",
        names=("keep_{p.name}", "filter_table", "entries_{p.name}"),
        takes=(SCORES,),
        returns="dict[str, int]",
        slots={"p": PREDICATES, "m": MAPS},
        docs=(
            "Return a dictionary with the entries of @a whose value is {p}, each value {m}.",
            "Keep the keys with a value that is {p}; store the value {m}.",
        ),
        body="return {{key: {m[value]} for key, value in @a.items() if {p[value]}}}",
        weight=1.5,
    ),
    Family(
        name="filter_keys",
        names=("keys_{w.name}", "filter_by_key", "select_keys"),
        takes=(SCORES,),
        returns="dict[str, int]",
        slots={"w": WORD_PREDICATES, "v": WORD_MAPS},
        docs=(
            "Return the entries of @a with keys {w}, the keys {v}.",
            "Keep only keys {w} and write each key {v}; the values stay.",
        ),
        body="return {{{v[key]}: value for key, value in @a.items() if {w[key]}}}",
    ),
    Family(
        name="keys_by_value",
        names=("names_{p.name}", "sorted_keys", "who_is_{p.name}"),
        takes=(SCORES,),
        returns="list[str]",
        slots={"p": PREDICATES, "o": ORDERS, "v": WORD_MAPS},
        docs=(
            "Return the keys of @a whose value is {p}, in {o} order, each {v}.",
            "Which keys have a value that is {p}? List them in {o} order and {v}.",
        ),
        body="found = [key for key, value in @a.items() if {p[value]}]\nreturn [{v[key]} for key in sorted(found{o.code})]",
    ),
    Family(
        name="sum_by_key",
        names=("total_{w.name}", "sum_for_keys", "weigh"),
        takes=(SCORES,),
        returns="int",
        slots={"w": WORD_PREDICATES, "m": MAPS, "p": PREDICATES},
        docs=(
            "Add up the values of @a that are {p}; where the key is one of those {w}, the value counts {m}.",
            "Sum the values that are {p}. Values of keys {w} are {m} before they are added.",
        ),
        body="total = 0\nfor key, value in @a.items():\n    if {p[value]}:\n        total += {m[value]} if {w[key]} else value\nreturn total",
        weight=1.5,
    ),
    Family(
        name="count_items",
        names=("count_by_{q.name}", "histogram", "frequencies"),
        takes=(NUMBERS,),
        returns="dict[int, int]",
        slots={"q": NUMBER_KEYS, "p": PREDICATES},
        docs=(
            "Count the numbers of @a that are {p} by {q}: a dictionary from {q} to how many have it.",
            "Return how often each {q} occurs among the elements that are {p}.",
        ),
        body="counts = {{}}\nfor x in @a:\n    if {p[x]}:\n        key = {q[x]}\n        counts[key] = counts.get(key, 0) + 1\nreturn counts",
    ),
    Family(
        name="count_characters",
        names=("letter_counts", "count_{c.name}", "character_table"),
        takes=(SENTENCE,),
        returns="dict[str, int]",
        slots={"c": CHARACTERS, "w": WORD_PREDICATES},
        docs=(
            "Count each of the {c} in the words {w} of @a.",
            "Look at the words {w} and return how often each of their {c} occurs.",
        ),
        body="counts = {{}}\nfor word in @a.split():\n    if {w[word]}:\n        for c in word:\n            if {c[c]}:\n                counts[c] = counts.get(c, 0) + 1\nreturn counts",
    ),
    Family(
        name="group_strings",
        names=("group_by_{q.name}", "group_strings", "collect"),
        takes=(STRINGS,),
        returns="dict[object, list[str]]",
        slots={"q": WORD_KEYS, "w": WORD_PREDICATES, "v": WORD_MAPS},
        docs=(
            "Group the strings of @a {w} by {q}: a dictionary from {q} to the list of strings, each {v}.",
            "Collect strings {w} under their {q}, every one {v}.",
        ),
        body="groups = {{}}\nfor s in @a:\n    if {w[s]}:\n        groups.setdefault({q[s]}, []).append({v[s]})\nreturn groups",
    ),
    Family(
        name="group_numbers",
        names=("group_by_{q.name}", "bucket", "group_numbers"),
        takes=(NUMBERS,),
        returns="dict[int, list[int]]",
        slots={"q": NUMBER_KEYS, "m": MAPS},
        docs=(
            "Group the numbers of @a by {q}; in each group every number is {m}.",
            "Return a dictionary from {q} to the elements that have it, each {m}.",
        ),
        body="groups = {{}}\nfor x in @a:\n    groups.setdefault({q[x]}, []).append({m[x]})\nreturn groups",
    ),
    Family(
        name="merge",
        names=("merge_{o.name}", "merge_tables", "combine"),
        takes=(SCORES, MORE_SCORES),
        returns="dict[str, int]",
        slots={"o": MERGES, "p": PREDICATES},
        docs=(
            "Merge @b into @a: values of common keys are {o}; other entries of @b are taken over if they are {p}.",
            "Combine two dictionaries. Where both have a key, the values are {o}. A new key of @b comes in only if its value is {p}.",
        ),
        body="result = dict(@a)\nfor key, value in @b.items():\n    if key in result:\n        result[key] = {o.code}\n    elif {p[value]}:\n        result[key] = value\nreturn result",
    ),
    Family(
        name="best_key",
        names=("{e.name}_key", "winner", "best_{w.name}"),
        takes=(SCORES,),
        returns="str | None",
        slots={"e": PICKS, "w": WORD_PREDICATES, "p": PREDICATES},
        docs=(
            "Return the key with the {e} value among the keys {w} whose value is {p}, or None if there is none.",
            "Of the keys {w}, which has the {e} value that is {p}? None if no key qualifies.",
        ),
        body="found = [key for key, value in @a.items() if {w[key]} and {p[value]}]\nreturn {e.code}(found, key=@a.get, default=None)",
    ),
    Family(
        name="top_keys",
        names=("top_{k}", "ranking", "first_keys"),
        takes=(SCORES,),
        returns="list[str]",
        slots={"k": constants(range(1, 6)), "o": ORDERS, "p": PREDICATES},
        docs=(
            "Sort the keys of @a whose value is {p} by value in {o} order and return the first {k}.",
            "List at most {k} keys with values that are {p}, ordered by value, {o}.",
        ),
        body="found = [key for key, value in @a.items() if {p[value]}]\nreturn sorted(found, key=@a.get{o.code})[:{k}]",
    ),
    Family(
        name="build_table",
        names=("table_of_{m.name}", "build_table", "index_numbers"),
        takes=(NUMBERS,),
        returns="dict[int, int]",
        slots={"p": PREDICATES, "m": MAPS, "o": MAPS},
        docs=(
            "Return a dictionary that takes each number of @a that is {p}, {m}, to the number {o}.",
            "For every element that is {p}, the key is the element {m} and the value the element {o}.",
        ),
        body="return {{{m[x]}: {o[x]} for x in @a if {p[x]}}}",
        allows=lambda c: c["m"] is not c["o"],
    ),
    Family(
        name="update_values",
        names=("update_table", "adjust_{p.name}", "revise"),
        takes=(SCORES,),
        returns="dict[str, int]",
        slots={"p": PREDICATES, "m": MAPS, "q": PREDICATES},
        docs=(
            "Return a copy of @a in which values that are {p} are {m} and, of the rest, entries that are {q} are left out.",
            "Values that are {p} become {m}. Other values are dropped when they are {q} and kept otherwise.",
        ),
        body="result = {{}}\nfor key, value in @a.items():\n    if {p[value]}:\n        result[key] = {m[value]}\n    elif not ({q[value]}):\n        result[key] = value\nreturn result",
        weight=1.5,
        allows=lambda c: c["p"] is not c["q"],
    ),
    Family(
        name="word_table",
        names=("word_table", "measure", "table_{w.name}"),
        takes=(STRINGS,),
        returns="dict[str, int]",
        slots={"v": WORD_MAPS, "q": WORD_KEYS[:1], "w": WORD_PREDICATES, "m": MAPS},
        docs=(
            "For each string of @a {w}, map the string {v} to its {q}, {m}.",
            "Return a dictionary: the keys are the strings {w}, each {v}; the values are their {q}, {m}.",
        ),
        body="result = {{}}\nfor s in @a:\n    if {w[s]}:\n        n = {q[s]}\n        result[{v[s]}] = {m[n]}\nreturn result",
    ),
    Family(
        name="value_lookup",
        names=("look_up", "get_{m.name}", "fetch"),
        takes=(SCORES, STRINGS),
        returns="list[int]",
        slots={"m": MAPS, "d": DEFAULTS[:6], "w": WORD_PREDICATES},
        docs=(
            "For each key in @b {w}, give its value in @a {m}; a missing key counts as {d} before that.",
            "Look up the strings of @b {w} in @a, with {d} for those that are missing. Return each value {m}.",
        ),
        body="values = [@a.get(key, {d}) for key in @b if {w[key]}]\nreturn [{m[value]} for value in values]",
    ),
)
