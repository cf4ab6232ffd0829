"""The engines that run a model: as trials and records name them, and as users do."""

from enum import StrEnum


class Engine(StrEnum):
    """What runs a model; AUTO is resolved before there is a Trial."""

    AUTO = "auto"
    NATIVE = "native"
    TRANSFORMERS = "transformers"
    TRANSFORMERS_STATIC = "transformers-static"  # the same with a static cache and a compiled step
    LLAMA_CPP = "llama.cpp"
    VLLM = "vllm"
    SGLANG = "sglang"
    ENDPOINT = "endpoint"  # any OpenAI-compatible server

    @property
    def shown(self) -> str:
        """As users name it; trials and records keep the value, so that older ones are read."""
        return "quantbench" if self is Engine.NATIVE else self.value

    @property
    def loader(self) -> "Engine":
        """The engine that loads its model: a variant's own is that of which it is one."""
        return Engine.TRANSFORMERS if self is Engine.TRANSFORMERS_STATIC else self


IN_PROCESS = frozenset((Engine.AUTO, Engine.NATIVE, Engine.TRANSFORMERS, Engine.TRANSFORMERS_STATIC))
FORMER = "native"  # what QUANTBENCH was called


class EngineName(StrEnum):
    """An engine as a user names it."""

    AUTO = "auto"
    QUANTBENCH = "quantbench"
    TRANSFORMERS = "transformers"
    TRANSFORMERS_STATIC = "transformers-static"
    LLAMA_CPP = "llama.cpp"
    VLLM = "vllm"
    SGLANG = "sglang"

    @classmethod
    def _missing_(cls, value: object) -> "EngineName | None":
        """The engine of a name that older configurations have."""
        return cls.QUANTBENCH if value == FORMER else None

    @property
    def engine(self) -> Engine:
        """What it stands for in a trial."""
        return Engine.NATIVE if self is EngineName.QUANTBENCH else Engine(self.value)
