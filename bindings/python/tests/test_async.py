"""async_save, its future, progress, logging and contexts."""

import asyncio
import concurrent.futures
import io
import logging
import threading
import time

import numpy as np
import pytest
from compare import same
from python_stores import DictStorage

import libdcp


class Gate(DictStorage):
    """A store whose writes wait for a go."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()
        self.reached = threading.Event()

    def write(self, file, offset, data):
        self.reached.set()
        if not self.go.wait(30):
            raise RuntimeError("nobody opened the gate")
        super().write(file, offset, data)


def test_the_tree_may_change_at_once(tree):
    store = Gate()
    before = tree["model"]["weight"].copy()
    inside = np.arange(3)
    tree["tuple"] = (1, inside)
    future = libdcp.async_save(tree, store)
    tree["model"]["weight"][:] = -1
    inside[:] = -1
    del tree
    assert store.reached.wait(30)
    assert not future.done() and future.running() and not future.cancelled()
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.01)
    store.go.set()
    report = future.result(30)
    assert report.files == 1 and report is future.result() and future.exception() is None
    assert future.done() and not future.running()
    loaded = libdcp.load(store)
    same(loaded["model"]["weight"], before)
    same(loaded["tuple"][1], np.arange(3))


def test_concurrent_futures_and_asyncio(tree, tmp_path):
    futures = [libdcp.async_save(tree, tmp_path / str(i)) for i in range(4)]
    done, pending = concurrent.futures.wait(futures, 30)
    assert done == set(futures) and not pending
    assert set(concurrent.futures.as_completed(futures)) == set(futures)

    async def main():
        return await asyncio.wrap_future(libdcp.async_save(tree, tmp_path / "a"))

    assert asyncio.run(main()).items == 7
    called = []
    futures[0].add_done_callback(called.append)
    assert called == [futures[0]]


def test_done_callbacks_run_when_it_ends(tree):
    store = Gate()
    future = libdcp.async_save(tree, store)
    called = threading.Event()
    future.add_done_callback(lambda _: called.set())
    assert not called.is_set()
    store.go.set()
    assert called.wait(30) and future.done()


def test_cancel(tree):
    store = Gate()
    store.go.set()
    libdcp.save(tree, store)
    store.go.clear()
    store.reached.clear()
    future = libdcp.async_save({"new": np.ones(5)}, store)
    assert store.reached.wait(30)
    assert future.cancel() is True
    store.go.set()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(30)
    assert future.cancelled() and future.done() and future.cancel() is True
    same(libdcp.load(store), tree)
    finished = libdcp.async_save(tree, store)
    finished.result(30)
    assert finished.cancel() is False and not finished.cancelled()


def test_drain(tree):
    store = Gate()
    context = libdcp.Context()
    future = libdcp.async_save(tree, store, context=context)
    with pytest.raises(libdcp.TimeoutError) as caught:
        context.drain(0.05)
    assert isinstance(caught.value, TimeoutError)
    store.go.set()
    context.drain(30)
    assert future.result(30)


def test_progress(tmp_path, rng):
    tree = {str(i): rng.standard_normal(50000) for i in range(20)}
    events = []
    libdcp.save(tree, tmp_path, progress=events.append)
    phases = {event.phase for event in events}
    assert "write" in phases
    last = [event for event in events if event.phase == "write"][-1]
    assert last.bytes_done == last.bytes_total >= 20 * 50000 * 8
    events.clear()
    libdcp.load(tmp_path, progress=events.append)
    assert {event.phase for event in events} >= {"read"}
    for event in events:
        assert 0 <= event.bytes_done <= event.bytes_total
        assert 0 <= event.items_done <= event.items_total


def test_progress_that_raises_stops_the_save(tmp_path, tree):
    libdcp.save(tree, tmp_path)
    stop = KeyError("enough")

    def update(event):
        raise stop

    with pytest.raises(libdcp.CallbackError) as caught:
        libdcp.save({"n": np.ones(4)}, tmp_path, progress=update)
    assert caught.value.__cause__ is stop
    same(libdcp.load(tmp_path), tree)
    with pytest.raises(TypeError, match="context"):
        libdcp.save(tree, tmp_path, progress=update, context=libdcp.Context())


class FakeTqdm:
    made = []

    def __init__(self, total, desc, unit, unit_scale):
        self.total, self.desc, self.n, self.closed = total, desc, 0, False
        self.made.append(self)

    def update(self, n):
        self.n += n

    def close(self):
        self.closed = True


def test_progress_bars(tmp_path, tree):
    FakeTqdm.made.clear()
    bar = libdcp.progress_bar("ckpt", tqdm=FakeTqdm)
    libdcp.save(tree, tmp_path, progress=bar)
    bar.close()
    written = [made for made in FakeTqdm.made if made.desc == "ckpt write"]
    assert written and written[-1].n == written[-1].total > 0
    assert all(made.closed for made in FakeTqdm.made)
    stream = io.StringIO()
    plain = libdcp.progress_bar("ckpt", stream=stream)
    libdcp.save(tree, tmp_path, progress=plain)
    plain.close()
    assert "ckpt write" in stream.getvalue() and "100%" in stream.getvalue()


def test_log(tmp_path, tree, caplog):
    lines = []
    context = libdcp.Context(log=lambda level, message: lines.append((level, message)))
    libdcp.save(tree, tmp_path, context=context)
    assert all(isinstance(level, int) and isinstance(text, str) for level, text in lines)
    logger = logging.getLogger("libdcp.test")
    libdcp.save(tree, tmp_path, context=libdcp.Context(log=logger))


def test_context_options():
    with pytest.raises(libdcp.InvalidArgumentError):
        libdcp.Context(threads=-1)
    small = libdcp.Context(threads=1, memory_budget=4 << 20)
    store = libdcp.MemoryStorage()
    tree = {"x": np.arange(1 << 20)}
    libdcp.save(tree, store, context=small)
    same(libdcp.load(store, context=small), tree)


def test_saves_one_after_another_do_not_leak_threads(tree):
    store = libdcp.MemoryStorage()
    before = threading.active_count()
    for _ in range(20):
        libdcp.save(tree, store)
    time.sleep(0.1)
    assert threading.active_count() <= before + 1
