"""Versions of our own quantizers, of weights and of the KV cache, which are part of a trial's identity.

A quantizer whose codes change, be it by a bit, gets the next version here, so that no record of the old
ones passes for the new ones. `tests/methods/test_versions.py` holds what each makes of fixed small matrices.
"""

CHANGED = {  # a quantizer, or what it goes by -> its version; those that are not here have their first
    "int4": 2,
    "text": 2,  # what is read, in which windows, and what a pass of it sums
    "drawn": 2,  # token ids in place of a text
    "feedback": 2,
    "sharing": 2,  # which matrix gets which format
    "cache": 2,  # keys and values in 8 bits
}


def version_of(part: str) -> int:
    """From 1 on."""
    return CHANGED.get(part, 1)


def versions_of(method: object, *, coded: bool = False) -> tuple[str, ...]:
    """'int4 2' for each of a method's `parts` that has changed; nothing for what others quantize.

    `coded` says that keys and values are held in 8 bits.
    """
    parts: tuple[str, ...] = getattr(method, "parts", ()) + (("cache",) if coded else ())
    return tuple(f"{part} {version_of(part)}" for part in parts if part in CHANGED)
