"""Formats of a KV cache that has fewer bits than the activations: as trials name them, and as users do."""

from enum import StrEnum


class KvFormat(StrEnum):
    """How cached keys and values are held; without one they have the activations' type."""

    INT8 = "int8"
    FP8 = "fp8"  # e4m3


class KvName(StrEnum):
    """The same for a run, whose rows may have several."""

    NONE = "none"
    INT8 = "int8"
    FP8 = "fp8"

    @property
    def kv(self) -> KvFormat | None:
        """What it stands for in a trial."""
        return None if self is KvName.NONE else KvFormat(self.value)
