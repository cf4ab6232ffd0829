"""The one way to run a model, and what every engine shares: the protocol, sequences and sampling."""

from quantbench.decoding.decoder import (
    FLOAT_SCHEMES,
    NO_TOKEN,
    Audited,
    Decoder,
    FinishReason,
    Generation,
    HeldMatrix,
    Phase,
    Request,
    StopCheck,
    TimesStages,
    held_scheme,
    scheme_by_phase,
)

__all__ = [
    "FLOAT_SCHEMES",
    "NO_TOKEN",
    "Audited",
    "Decoder",
    "FinishReason",
    "Generation",
    "HeldMatrix",
    "Phase",
    "Request",
    "StopCheck",
    "TimesStages",
    "held_scheme",
    "scheme_by_phase",
]
