"""From the text of an answer to a program that can be executed, by named protocols.

One piece of code for text that was just generated and for text that is read from a file. Nothing here parses
or compiles what a model wrote: a parser can be made to use up the stack or the memory of this process.
"""

from quantbench.evaluation.extraction.protocols import (
    AS_IS,
    CODE_FENCE,
    Extracted,
    Extractor,
    build_program,
    choose_extractor,
    extractor_of,
)

__all__ = [
    "AS_IS",
    "CODE_FENCE",
    "Extracted",
    "Extractor",
    "build_program",
    "choose_extractor",
    "extractor_of",
]
