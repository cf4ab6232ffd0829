"""Families over strings and lists of words."""

# Templates of docstrings and bodies are kept whole, on one line each.
# ruff: noqa: E501

from training.arguments import LOWER_TEXT, RUNS, SENTENCE, STRINGS, TEXT
from training.blocks import (
    CHARACTERS,
    LETTERS,
    MAPS,
    SMALL_PREDICATES,
    WORD_KEYS,
    WORD_MAPS,
    WORD_PREDICATES,
    Block,
    constants,
    literals,
)
from training.families_lists import ORDERS
from training.family import Family

SIGNS = literals(
    ("*", "-", "_", "#", ".", "+", "x", "?", "0"),
    ("star", "dash", "underscore", "hash", "dot", "plus", "x", "question", "zero"),
)
JOINERS = literals(
    (" ", "-", "_", ", ", "", "/", "+", " and ", "; "),
    ("space", "dash", "underscore", "comma", "nothing", "slash", "plus", "and", "semicolon"),
)
CHAR_MAPS = (
    Block(name="upper", code="@x.upper()", words=("in upper case", "capitalized")),
    Block(name="lower", code="@x.lower()", words=("in lower case", "small")),
    Block(name="swapped", code="@x.swapcase()", words=("with its case swapped",)),
    Block(name="twice", code="@x * 2", words=("written twice", "doubled")),
    Block(name="thrice", code="@x * 3", words=("written three times", "tripled")),
    *(
        Block(name=f"{where}_{i}", code=code, words=words)
        for i, s in enumerate("*-_#.+?")
        for where, code, words in (
            ("then", f'@x + "{s}"', (f"followed by '{s}'",)),
            ("after", f'"{s}" + @x', (f"preceded by '{s}'",)),
            ("as", f'"{s}"', (f"replaced by '{s}'",)),
        )
    ),
)
PICKS = (
    Block(name="longest", code="max", words=("longest",)),
    Block(name="shortest", code="min", words=("shortest",)),
)

TEXT_FAMILIES: tuple[Family, ...] = (
    Family(
        name="count_chars",
        names=("count_{c.name}", "count_characters", "how_many"),
        takes=(TEXT,),
        returns="int",
        slots={"c": CHARACTERS, "m": MAPS},
        docs=(
            "Return the number of {c} in @a, {m}.",
            "Count the {c} in the string. Return the count {m}.",
            "How many {c} does @a have? Give this number {m}.",
        ),
        body="count = sum(1 for c in @a if {c[c]})\nreturn {m[count]}",
    ),
    Family(
        name="keep_chars",
        names=("keep_{c.name}", "filter_text", "only_{c.name}"),
        takes=(TEXT,),
        returns="str",
        slots={"c": CHARACTERS, "m": CHAR_MAPS},
        docs=(
            "Return the {c} of @a in order, each {m}.",
            "Drop everything but the {c} of @a; write each {m}.",
        ),
        body='return "".join({m[c]} for c in @a if {c[c]})',
    ),
    Family(
        name="remove_chars",
        names=("remove_{c.name}", "strip_out", "without_{c.name}"),
        takes=(TEXT,),
        returns="str",
        slots={"c": CHARACTERS, "v": WORD_MAPS},
        docs=(
            "Return @a without its {c}, {v}.",
            "Remove all {c} from the string, and return the rest {v}.",
        ),
        body='kept = "".join(c for c in @a if not ({c[c]}))\nreturn {v[kept]}',
    ),
    Family(
        name="change_chars",
        names=("change_{c.name}", "mask", "mark_{c.name}"),
        takes=(TEXT,),
        returns="str",
        slots={"c": CHARACTERS, "m": CHAR_MAPS, "o": CHAR_MAPS},
        docs=(
            "Rewrite @a: the {c} {m}, every other character {o}.",
            "Return @a with the {c} {m} and all other characters {o}.",
        ),
        body='return "".join({m[c]} if {c[c]} else {o[c]} for c in @a)',
        weight=1.5,
        allows=lambda c: c["m"] is not c["o"],
    ),
    Family(
        name="char_positions",
        names=("positions_of_{c.name}", "find_{c.name}", "char_indices"),
        takes=(TEXT,),
        returns="list[int]",
        slots={"c": CHARACTERS, "s": constants((0, 1)), "r": SMALL_PREDICATES},
        docs=(
            "List the positions of the {c} in @a, counting from {s}, as far as the position is {r}.",
            "Return all indices (the first is {s}) that are {r} and at which @a has {c}.",
        ),
        body="return [i for i, c in enumerate(@a, {s}) if {c[c]} and {r[i]}]",
    ),
    Family(
        name="every_kth_char",
        names=("alternate", "style_by_index", "pattern"),
        takes=(TEXT,),
        returns="str",
        slots={"r": SMALL_PREDICATES, "m": CHAR_MAPS, "o": CHAR_MAPS},
        docs=(
            "Return @a with the characters at indices that are {r} {m}, and the others {o}.",
            "Go over the string by index: where the index is {r}, the character is {m}, elsewhere {o}.",
        ),
        body='result = ""\nfor i, c in enumerate(@a):\n    if {r[i]}:\n        result += {m[c]}\n    else:\n        result += {o[c]}\nreturn result',
        allows=lambda c: c["m"] is not c["o"],
    ),
    Family(
        name="map_words",
        names=("map_words", "words_{v.name}", "change_words"),
        takes=(SENTENCE,),
        returns="str",
        slots={"v": WORD_MAPS, "j": JOINERS},
        docs=(
            "Return the words of @a, each {v}, joined by {j}.",
            "Split @a at white space, take every word {v}, and join them with {j}.",
        ),
        body="return {j.code}.join({v[word]} for word in @a.split())",
    ),
    Family(
        name="filter_words",
        names=("words_{w.name}", "select_words", "pick_words"),
        takes=(SENTENCE,),
        returns="list[str]",
        slots={"w": WORD_PREDICATES, "v": WORD_MAPS},
        docs=(
            "Return the words of @a {w}, each {v}.",
            "List the words {w} of the sentence, every one {v}.",
        ),
        body="return [{v[word]} for word in @a.split() if {w[word]}]",
        weight=1.5,
    ),
    Family(
        name="count_words",
        names=("count_words_{w.name}", "count_words", "number_of_words"),
        takes=(SENTENCE,),
        returns="int",
        slots={"w": WORD_PREDICATES},
        docs=(
            "Count the words {w} in @a.",
            "How many words {w} does the sentence have?",
        ),
        body="return sum(1 for word in @a.split() if {w[word]})",
    ),
    Family(
        name="change_words",
        names=("edit_words", "rewrite", "treat_{w.name}"),
        takes=(SENTENCE,),
        returns="str",
        slots={"w": WORD_PREDICATES, "v": WORD_MAPS, "u": WORD_MAPS, "j": JOINERS[:4]},
        docs=(
            "Rewrite @a: words {w} {v}, all other words {u}, joined by {j}.",
            "Of the words in @a, those {w} are written {v}, the others {u}. Join the result with {j}.",
        ),
        body="words = [{v[word]} if {w[word]} else {u[word]} for word in @a.split()]\nreturn {j.code}.join(words)",
        weight=2,
        allows=lambda c: c["v"] is not c["u"],
    ),
    Family(
        name="pick_word",
        names=("{e.name}_word", "find_{e.name}", "{e.name}_{w.name}"),
        takes=(STRINGS,),
        returns="str",
        slots={"e": PICKS, "w": WORD_PREDICATES, "v": WORD_MAPS},
        docs=(
            "Return the {e} of the strings in @a {w}, {v} (the first of several, an empty string if there is none).",
            "Among the strings {w} find the {e}, the first if tied, and return it {v}. Return '' if there is none.",
        ),
        body='word = {e.code}((s for s in @a if {w[s]}), key=len, default="")\nreturn {v[word]}',
    ),
    Family(
        name="filter_strings",
        names=("keep_{w.name}", "filter_strings", "matching_strings"),
        takes=(STRINGS,),
        returns="list[str]",
        slots={
            "w": WORD_PREDICATES,
            "x": WORD_PREDICATES,
            "j": (
                Block(name="and", code="and", words=("and at the same time",)),
                Block(name="or", code="or", words=("or else",)),
                Block(name="and_not", code="and not", words=("but not",)),
            ),
        },
        docs=(
            "Return the strings in @a {w} {j} {x}.",
            "Keep the elements of @a {w} {j} {x}, in order.",
        ),
        body="return [s for s in @a if {w[s]} {j.code} {x[s]}]",
        weight=1.5,
        allows=lambda c: c["w"] is not c["x"],
    ),
    Family(
        name="sort_strings",
        names=("sort_by_{q.name}", "order_strings", "arrange"),
        takes=(STRINGS,),
        returns="list[str]",
        slots={"q": WORD_KEYS, "o": ORDERS, "v": WORD_MAPS},
        docs=(
            "Sort the strings in @a by {q} in {o} order and return them {v}.",
            "Order @a by the {q} of its elements, {o}; then take each {v}.",
        ),
        body="ordered = sorted(@a, key=lambda s: {q[s]}{o.code})\nreturn [{v[s]} for s in ordered]",
    ),
    Family(
        name="join_strings",
        names=("join_{w.name}", "join_selected", "concatenate"),
        takes=(STRINGS,),
        returns="str",
        slots={"w": WORD_PREDICATES, "j": JOINERS, "k": constants(range(1, 6))},
        docs=(
            "Join the first {k} strings of @a {w} with {j}.",
            "Take the strings {w}, at most {k} of them, and join them with {j}.",
        ),
        body="chosen = [s for s in @a if {w[s]}]\nreturn {j.code}.join(chosen[:{k}])",
    ),
    Family(
        name="caesar",
        names=("caesar_{k}", "shift_letters", "encode"),
        takes=(LOWER_TEXT,),
        returns="str",
        slots={"k": constants(range(1, 26)), "c": CHARACTERS},
        docs=(
            "Move each lowercase letter of @a {k} places on in the alphabet (after 'z' comes 'a'), except the {c}; keep everything else.",
            "Shift the lowercase letters by {k}, wrapping around; the {c} and all other characters stay.",
        ),
        body='result = ""\nfor c in @a:\n    if c.islower() and not ({c[c]}):\n        c = chr((ord(c) - 97 + {k}) % 26 + 97)\n    result += c\nreturn result',
    ),
    Family(
        name="run_lengths",
        names=("run_lengths", "compress", "encode_runs"),
        takes=(RUNS,),
        returns="str",
        slots={
            "o": (
                Block(
                    name="letter_first", code="@x + str(count)", words=("the character and then its length",)
                ),
                Block(
                    name="count_first", code="str(count) + @x", words=("its length and then the character",)
                ),
            ),
            "j": JOINERS,
            "k": constants(range(1, 4)),
        },
        docs=(
            "Describe each run of equal characters in @a by {o}, joined by {j}. Leave out runs shorter than {k}.",
            "Encode the runs of @a with at least {k} characters: for each write {o}. Join them with {j}.",
        ),
        body="parts = []\ncount = 0\nfor i, c in enumerate(@a):\n    count += 1\n    if i + 1 == len(@a) or @a[i + 1] != c:\n        if count >= {k}:\n            parts.append({o[c]})\n        count = 0\nreturn {j.code}.join(parts)",
    ),
    Family(
        name="palindrome",
        names=("is_palindrome", "same_backwards", "mirror_test"),
        takes=(LOWER_TEXT,),
        returns="bool",
        slots={"c": CHARACTERS, "k": constants(range(6))},
        docs=(
            "Tell whether @a without its {c} reads the same backwards and has more than {k} characters.",
            "Drop the {c}; return True if what is left is a palindrome longer than {k}.",
        ),
        body='kept = "".join(c for c in @a if not ({c[c]}))\nreturn len(kept) > {k} and kept == kept[::-1]',
    ),
    Family(
        name="pad",
        names=("pad_to_{k}", "align", "fill_{s.name}"),
        takes=(TEXT,),
        returns="str",
        slots={
            "k": constants(range(4, 16)),
            "s": SIGNS,
            "w": (
                Block(name="left", code="rjust", words=("on the left", "at the front")),
                Block(name="right", code="ljust", words=("on the right", "at the end")),
                Block(name="both", code="center", words=("on both sides",)),
            ),
            "v": WORD_MAPS,
        },
        docs=(
            "Take @a {v} and fill it up with {s} {w} to a width of {k}.",
            "Return @a, {v}, padded {w} with {s} to at least {k} characters.",
        ),
        body="result = {v[@a]}\nreturn result.{w.code}({k}, {s.code})",
    ),
    Family(
        name="replace_letter",
        names=("replace_{a.name}", "swap_letter", "substitute"),
        takes=(LOWER_TEXT,),
        returns="str",
        slots={
            "a": literals(tuple(LETTERS), tuple(LETTERS)),
            "s": SIGNS,
            "k": constants(range(1, 5)),
        },
        docs=(
            "Replace the first {k} occurrences of {a} in @a by {s}.",
            "Put {s} instead of {a} in @a, at most {k} times, from the left.",
        ),
        body="return @a.replace({a.code}, {s.code}, {k})",
    ),
    Family(
        name="most_common",
        names=("most_common", "favourite_character", "top_character"),
        takes=(RUNS,),
        returns="str",
        slots={
            "e": (
                Block(name="most", code="max", words=("most often",)),
                Block(name="least", code="min", words=("least often",)),
            ),
            "c": CHARACTERS,
            "s": SIGNS,
        },
        docs=(
            "Return the character that occurs {e} in @a, not counting the {c}; the first of several, {s} if there is none.",
            "Leave out the {c}. Which other character of @a occurs {e}? Take the first if tied, and {s} if nothing is left.",
        ),
        body="kept = [c for c in @a if not ({c[c]})]\nreturn {e.code}(kept, key=kept.count, default={s.code})",
    ),
    Family(
        name="word_lengths",
        names=("word_lengths", "lengths_{w.name}", "measure_words"),
        takes=(SENTENCE,),
        returns="list[int]",
        slots={"w": WORD_PREDICATES, "r": SMALL_PREDICATES},
        docs=(
            "Return the lengths of the words {w} in @a, only those lengths that are {r}.",
            "For the words {w}, list the number of characters where it is {r}.",
        ),
        body="lengths = [len(word) for word in @a.split() if {w[word]}]\nreturn [n for n in lengths if {r[n]}]",
    ),
)
