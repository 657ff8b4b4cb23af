"""Storage and transforms written in Python: what they see, and what comes out of what they raise."""

import gc
import threading
import weakref

import numpy as np
import pytest
from compare import same
from python_stores import CaseSwap, DictStorage, Held

import libdcp


class Boom(Exception):
    pass


METHODS = ["make_root", "create", "write", "finish", "rename", "sync_folder"]


@pytest.mark.parametrize("method", METHODS)
def test_an_exception_comes_out_as_the_same_object(method, tree):
    store = DictStorage()
    libdcp.save(tree, store)
    boom = Boom(method)

    def fail(*_):
        raise boom

    setattr(store, method, fail)
    with pytest.raises(libdcp.CallbackError, match=f"{method}.*Boom") as caught:
        libdcp.save({"new": np.ones(3)}, store)
    assert caught.value.__cause__ is boom and caught.value.status == 8
    assert boom.__traceback__ is not None
    delattr(store, method)
    same(libdcp.load(store), tree)
    assert libdcp.verify(store).ok
    names = [name for name in store.files if name != ".metadata"]
    with libdcp.open(store) as checkpoint:
        used = {chunk.file for entry in checkpoint.values() for chunk in entry.chunks}
    assert set(names) == used


@pytest.mark.parametrize("method", ["open", "read"])
def test_reading_errors_are_the_same_object_too(method, tree):
    store = DictStorage()
    libdcp.save(tree, store)
    boom = Boom(method)

    def fail(*_):
        raise boom

    setattr(store, method, fail)
    with pytest.raises(libdcp.CallbackError) as caught:
        libdcp.load(store)
    assert caught.value.__cause__ is boom


def test_async_errors_are_the_same_object_for_every_waiter(tree):
    store = DictStorage()
    boom = Boom("late")

    def fail(*_):
        raise boom

    store.write = fail
    future = libdcp.async_save(tree, store)
    for _ in range(2):
        with pytest.raises(libdcp.CallbackError) as caught:
            future.result(30)
        assert caught.value.__cause__ is boom
    assert future.exception() is caught.value


def test_files_may_be_tuples(tree):
    """What open and create return is handed on as it is."""

    class Tuples(DictStorage):
        def create(self, path, expected_size):
            return (super().create(path, expected_size), "new")

        def write(self, file, offset, data):
            super().write(file[0], offset, data)

        def finish(self, file, size, durable):
            super().finish(file[0], size, durable)

        def abort(self, file):
            super().abort(file)

        def open(self, path):
            content, size = super().open(path)
            return (content, path, "open"), size

        def read(self, file, offset, buffer):
            return super().read(file[0], offset, buffer)

        def close(self, file):
            self.note("close", file)

    store = Tuples()
    libdcp.save(tree, store)
    same(libdcp.load(store), tree)
    closed = [call[1] for call in store.calls if call[0] == "close"]
    assert closed and all(len(file) == 3 and file[2] == "open" for file in closed)

    def fail(*_):
        raise Boom("full")

    store.write = fail
    with pytest.raises(libdcp.CallbackError):
        libdcp.save(tree, store)
    aborted = [call[1] for call in store.calls if call[0] == "abort"]
    assert aborted and all(len(file) == 2 and file[1] == "new" for file in aborted)


def test_details_of_ones_own_errors_come_out(tree):
    store = DictStorage()
    libdcp.save(tree, store)

    def corrupt(*_):
        raise libdcp.CorruptError("short object", details={"object": "a/b", "part": "3"})

    store.read = corrupt
    with pytest.raises(libdcp.CorruptError) as caught:
        libdcp.load(store)
    assert caught.value.details["object"] == "a/b" and caught.value.details["part"] == "3"


def test_statuses_of_ones_own(tree):
    store = DictStorage()
    libdcp.save(tree, store)

    def corrupt(*_):
        raise libdcp.CorruptError("short object")

    store.read = corrupt
    with pytest.raises(libdcp.CorruptError, match="short object") as caught:
        libdcp.load(store)
    assert isinstance(caught.value.__cause__, libdcp.CorruptError)
    store.read = lambda file, offset, buffer: len(buffer) - 1
    with pytest.raises(libdcp.CorruptError, match="bytes"):
        libdcp.load(store)
    store.read = lambda file, offset, buffer: "nonsense"
    with pytest.raises(libdcp.CallbackError) as caught:
        libdcp.load(store)
    assert isinstance(caught.value.__cause__, TypeError)
    store.open = lambda path: 5
    with pytest.raises(libdcp.CallbackError):
        libdcp.load(store)


def test_order_of_calls(tree):
    store = DictStorage()
    libdcp.save(tree, store)
    names = [call[0] for call in store.calls]
    last_rename = max(i for i, name in enumerate(names) if name == "rename")
    assert store.calls[last_rename][2] == ".metadata"
    finishes = [i for i, call in enumerate(store.calls) if call[0] == "finish"]
    assert max(finishes) < last_rename and names[last_rename:].count("sync_folder") >= 1
    assert all(call[3] for call in store.calls if call[0] == "finish")
    store.calls.clear()
    libdcp.save(tree, store, durable=False)
    assert not any(call[3] for call in store.calls if call[0] == "finish")


def test_a_kept_buffer_is_refused(tree):
    store = DictStorage()
    kept = []
    store.write = lambda file, offset, data: kept.append(data[:1])
    with pytest.raises(libdcp.CallbackError) as caught:
        libdcp.save(tree, store)
    assert isinstance(caught.value.__cause__, BufferError)
    kept.clear()


def test_a_store_is_let_go(tree):
    store = DictStorage()
    libdcp.save(tree, store)
    with libdcp.open(store) as checkpoint:
        checkpoint["step"].read()
    gone = weakref.ref(store)
    del store, checkpoint
    gc.collect()
    assert gone() is None


def test_an_incomplete_store_says_what_is_missing(tree):
    with pytest.raises(libdcp.CallbackError) as caught:
        libdcp.save(tree, libdcp.Storage())
    assert isinstance(caught.value.__cause__, NotImplementedError)


@pytest.mark.parametrize("transform", [CaseSwap, Held])
def test_transforms(transform, tree, tmp_path):
    libdcp.save(tree, tmp_path, transforms=[transform()])
    with libdcp.open(tmp_path, transforms=[transform()]) as checkpoint:
        assert checkpoint["step"].chunks[0].transforms == f"{transform.name}/1"
        assert checkpoint["step"].read() == 1000
        same(checkpoint["model.weight"][3:5], tree["model"]["weight"][3:5])
    same(libdcp.load(tmp_path, transforms=[transform()]), tree)
    context = libdcp.Context(transforms=[transform()])
    same(libdcp.load(tmp_path, context=context), tree)
    assert libdcp.verify(tmp_path, context=context).ok
    with pytest.raises(libdcp.Error, match=transform.name):
        libdcp.load(tmp_path)


def test_transforms_stack(tree, tmp_path):
    libdcp.save(tree, tmp_path, transforms=["stream.zstd", CaseSwap()])
    same(libdcp.load(tmp_path, transforms=[CaseSwap()]), tree)
    libdcp.copy(tmp_path, tmp_path / "plain", context=libdcp.Context(transforms=[CaseSwap()]))
    same(libdcp.load(tmp_path / "plain"), tree)


def test_transforms_that_fail(tree, tmp_path):
    boom = Boom()

    class Bad(CaseSwap):
        class Swap:
            def push(self, data):
                raise boom

            def finish(self):
                return None

    with pytest.raises(libdcp.CallbackError) as caught:
        libdcp.save(tree, tmp_path, transforms=[Bad()])
    assert caught.value.__cause__ is boom and not (tmp_path / ".metadata").exists()

    class Text(CaseSwap):
        class Swap:
            def push(self, data):
                return "text"

            def finish(self):
                return None

    with pytest.raises(libdcp.CallbackError) as caught:
        libdcp.save(tree, tmp_path, transforms=[Text()])
    assert isinstance(caught.value.__cause__, TypeError)

    class Same(CaseSwap):
        class Swap:
            def push(self, data):
                return data

            def finish(self):
                return None

    libdcp.save(tree, tmp_path, transforms=[Same()])
    same(libdcp.load(tmp_path, transforms=[Same()]), tree)
    with pytest.raises(libdcp.AlreadyExistsError):
        context = libdcp.Context(transforms=[CaseSwap()])
        context.add_transform(CaseSwap())
    with pytest.raises(TypeError, match="Transform"):
        libdcp.Context(transforms=["stream.zstd"])


def test_one_store_from_many_threads(tree):
    failures = []

    def work():
        store = DictStorage()
        try:
            for _ in range(5):
                libdcp.save(tree, store, files=2)
                same(libdcp.load(store), tree)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
