"""The options of a load test; `groups.py` has those of everything else."""

from typing import Annotated

from pydantic import Field

from quantbench.settings.base import Settings
from quantbench.settings.groups import NO_LIMIT, RATES, SERVER
from quantbench.settings.option import Facts, option

Rates = Annotated[float, Field(gt=0, le=10**6)]


class ArrivalSettings(Settings):
    """A load test of a server: requests of the headline's lengths that arrive at random times."""

    request_rates: tuple[Rates, ...] = option(
        (),
        "Requests a second sent to a server, as 1,2.5.",
        facts=Facts(
            shown="none", needs=(SERVER,), before=(), must="be positive rates of requests a second, as 1,2.5"
        ),
    )
    requests: int = option(
        64, "Requests at each rate.", facts=Facts(needs=(RATES,), before=64), ge=2, le=10_000
    )
    goodput_ttft_s: float | None = option(
        None,
        "Goodput's limit of seconds to a first token.",
        facts=Facts(shown=NO_LIMIT, needs=(RATES,), before=None),
        gt=0,
        le=10**6,
    )
    goodput_tpot_s: float | None = option(
        None,
        "Goodput's limit of seconds for a later token.",
        facts=Facts(shown=NO_LIMIT, needs=(RATES,), before=None),
        gt=0,
        le=10**6,
    )
