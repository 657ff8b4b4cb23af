"""Saves of one layout after another, with a plan cache."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import libdcp



@pytest.fixture(autouse=True)
def _built_with_libcrypto() -> None:
    try:
        libdcp.PlanCache()
    except libdcp.UnsupportedError as error:
        pytest.skip(str(error))


def tree(rank: int, step: int, dtype: Any = np.float32) -> dict[str, Any]:
    rows = np.arange(rank * 6, rank * 6 + 6, dtype=np.float32).reshape(2, 3) + step
    return {
        "w": libdcp.Sharded((4, 3), [((0 + 2 * rank, 0), rows)]),
        "own": {f"rank{rank}": np.full(5, step, dtype)},
        "step": step,
    }


def save_on_two(
    where: Path, step: int, caches: list[libdcp.PlanCache], dtype: Any = np.float32
) -> list[libdcp.SaveReport]:
    communicators = libdcp.local_communicators(2)
    reports: list[Any] = [None, None]

    def run(rank: int) -> None:
        last = dtype if rank == 1 else np.float32
        reports[rank] = libdcp.save(
            tree(rank, step, last), where, communicator=communicators[rank], plan_cache=caches[rank]
        )

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(report, libdcp.SaveReport) for report in reports)
    return reports


def test_the_same_layout_is_reused_and_a_change_is_planned(tmp_path: Path) -> None:
    caches = [libdcp.PlanCache(), libdcp.PlanCache()]
    for step, dtype, reused in [
        (1, np.float32, [False, False]),
        (2, np.float32, [True, True]),
        (3, np.float32, [True, True]),
        (4, np.int64, [False, False]),
        (5, np.int64, [True, True]),
    ]:
        reports = save_on_two(tmp_path / f"step_{step}", step, caches, dtype)
        assert [report.plan_reused for report in reports] == reused, step
        loaded = libdcp.load(tmp_path / f"step_{step}")
        whole = np.arange(12, dtype=np.float32).reshape(4, 3) + step
        assert np.array_equal(loaded["w"], whole)
        assert loaded["own"]["rank0"].dtype == np.float32
        assert loaded["own"]["rank1"].dtype == dtype
        assert np.array_equal(loaded["own"]["rank1"], np.full(5, step, dtype))
        assert loaded["step"] == step
        assert libdcp.verify(tmp_path / f"step_{step}")


def test_in_the_background(tmp_path: Path) -> None:
    cache = libdcp.PlanCache()
    for step in range(3):
        future = libdcp.async_save({"a": np.full(9, step)}, tmp_path / str(step), plan_cache=cache)
        assert future.result().plan_reused == (step > 0)
        assert np.array_equal(libdcp.load(tmp_path / str(step))["a"], np.full(9, step))


def test_one_save_at_a_time(tmp_path: Path) -> None:
    cache = libdcp.PlanCache()

    def again(_: libdcp.ProgressEvent) -> None:
        with pytest.raises(libdcp.InvalidArgumentError, match="in use by another save"):
            libdcp.save({"a": 2}, tmp_path / "second", plan_cache=cache)
        tried.append(True)

    tried: list[bool] = []
    libdcp.save({"a": 1}, tmp_path / "first", plan_cache=cache, progress=again)
    assert tried
    assert libdcp.load(tmp_path / "first") == {"a": 1}
    assert not (tmp_path / "second" / ".metadata").exists()


def test_refusals(tmp_path: Path) -> None:
    cache = libdcp.PlanCache()
    with pytest.raises(libdcp.UnsupportedError, match="planner"):
        libdcp.save({"a": 1}, tmp_path, plan_cache=cache, planner=libdcp.SavePlanner())
    with pytest.raises(libdcp.UnsupportedError, match="collectives"):
        libdcp.save({"a": 1}, tmp_path, plan_cache=cache, use_collectives=False)
    with pytest.raises(TypeError, match="PlanCache"):
        libdcp.save({"a": 1}, tmp_path, plan_cache={})  # type: ignore[arg-type]
    assert not libdcp.save({"a": 1}, tmp_path).plan_reused
