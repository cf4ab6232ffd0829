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
        "Requests a second that arrive at a server at random, as 1,2.5,5.",
        facts=Facts(
            shown="none", needs=(SERVER,), before=(), must="be positive rates of requests a second, as 1,2.5"
        ),
    )
    requests: int = option(
        64, "Requests at each rate.", facts=Facts(needs=(RATES,), before=64), ge=2, le=10_000
    )
    goodput_ttft_s: float | None = option(
        None,
        "Seconds to the first token that a good request may take.",
        facts=Facts(shown=NO_LIMIT, needs=(RATES,), before=None),
        gt=0,
        le=10**6,
    )
    goodput_tpot_s: float | None = option(
        None,
        "Seconds for each later token that a good request may take.",
        facts=Facts(shown=NO_LIMIT, needs=(RATES,), before=None),
        gt=0,
        le=10**6,
    )
