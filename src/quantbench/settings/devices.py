"""Which devices hold a model."""

from quantbench.settings.groups import PlaceSettings


def devices_of(load: PlaceSettings) -> tuple[str, ...]:
    """The resolved device, or as many GPUs as a model is spread over, from cuda:0 on."""
    return tuple(f"cuda:{number}" for number in range(load.spread)) if load.spread else (load.device,)
