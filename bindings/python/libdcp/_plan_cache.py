"""What saves of one family of checkpoints keep from one to the next."""

from __future__ import annotations

from typing import Any

from . import dcp_raw as raw


class PlanCache:
    """For ``plan_cache=`` of :func:`save` and :func:`async_save`: one per family of checkpoints and
    per rank, on all ranks or on none. While the layout stays (names, shapes, parts, dtypes) plans
    travel as 32 bytes, are not made again, and ``.metadata`` is written over in memory; what
    changes is planned anew. The checkpoint is the same as without. Upstream's
    ``enable_plan_caching``, but dtypes count, and it is not shared between families.

    It serves saves one after another; a second one at the same time is InvalidArgumentError.
    UnsupportedError where the library was built without libcrypto."""

    __slots__ = ("_native",)

    def __init__(self) -> None:
        self._native = raw.dcp_plan_cache_new()


def native_plan_cache(cache: PlanCache | None) -> Any:
    if cache is None:
        return None
    if not isinstance(cache, PlanCache):
        raise TypeError(f"plan_cache is a libdcp.PlanCache, not {type(cache).__name__}")
    return cache._native
