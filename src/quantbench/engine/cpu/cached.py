"""A layer's rotation and KV cache as the kernels take them: addresses that hold while the tensors do."""

import ctypes

from quantbench.engine.cpu.linear import address
from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.kv_format import codes_in
from quantbench.engine.operations import Rotation

FIELDS = ("cos", "sin", "keys", "values", "key_scales", "value_scales")


class Cached(ctypes.Structure):
    """As `kv_cells.hpp` declares it."""

    _fields_ = (*((name, ctypes.c_void_p) for name in FIELDS), ("kind", ctypes.c_int64))


def cached(kv: KeyValueCache, rotation: Rotation, layer: int) -> Cached:
    """Of one layer."""
    keys, values = kv.keys[layer], kv.values[layer]
    tensors = (*rotation.of(layer), keys.held, values.held, keys.scales, values.scales)
    codes = codes_in(keys.held.dtype)
    return Cached(*map(address, tensors), 0 if codes is None else codes.number)
