"""The one way to run a model, and what every engine shares: the protocol, sequences and sampling."""

from quantbench.decoding.decoder import (
    NO_TOKEN,
    Decoder,
    FinishReason,
    Generation,
    Phase,
    Request,
    StopCheck,
    TimesStages,
    scheme_by_phase,
)

__all__ = [
    "NO_TOKEN",
    "Decoder",
    "FinishReason",
    "Generation",
    "Phase",
    "Request",
    "StopCheck",
    "TimesStages",
    "scheme_by_phase",
]
