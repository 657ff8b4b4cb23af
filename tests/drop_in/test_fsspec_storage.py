"""The storage under FsspecWriter and FsspecReader, by itself."""

import io
import pathlib
import threading
import zipfile

import fsspec
import numpy as np
import object_store
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from object_store import ObjectStore, OneConnection

import libdcp
from libdcp.torch._engine.fsspec_files import NewFile, WholeFile
from libdcp.torch._engine.fsspec_read_ahead import MOST, ReadAhead
from libdcp.torch._engine.fsspec_storage import FsspecStorage, without_password

MIB = 1 << 20


@pytest.fixture(autouse=True)
def stores():
    object_store.register()
    ObjectStore.clear()
    OneConnection.files.clear()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def tree_of(step, elements=3 * MIB):
    weight = np.random.default_rng(step).standard_normal(elements, dtype=np.float32)
    return {"model": {"weight": weight, "bias": np.arange(5.0)}, "step": step, "names": ["a", ("b", 2)]}


def check(got, expected):
    assert got["model"]["weight"].tobytes() == expected["model"]["weight"].tobytes()
    assert got["model"]["bias"].tobytes() == expected["model"]["bias"].tobytes()
    assert got["step"] == expected["step"] and got["names"] == expected["names"]


def url_cases(tmp_path):
    return {
        "memory": ("memory://run/step", {}),
        "wildcards": ("memory://run[1]*?/step", {}),
        "file": (f"file://{tmp_path}/step", {}),
        "path": (f"{tmp_path}/step", {}),
        "dir": ("dir::memory://base", {"path": "/base"}),
        "simplecache": (
            "simplecache::memory://run/step",
            {"simplecache": {"cache_storage": str(tmp_path / "cache")}},
        ),
        "cache over a bucket": (
            "simplecache::bucket://run/step",
            {"simplecache": {"cache_storage": str(tmp_path / "cache")}},
        ),
        "bucket": ("bucket://run/step", {}),
        "server": ("server://run/step", {}),
    }


@pytest.mark.parametrize("case", list(url_cases(pathlib.Path())))
def test_save_and_load_twice(case, tmp_path):
    url, options = url_cases(tmp_path)[case]
    for step in range(2):
        storage = FsspecStorage.of(url, **options)
        tree = tree_of(step)
        libdcp.save(tree, storage, files=2)
        for reader in (storage, FsspecStorage.of(url, **options)):
            check(libdcp.load(reader), tree)
            assert libdcp.verify(reader).ok
        with libdcp.open(storage) as checkpoint:
            rows = checkpoint["model.weight"][12345:54321]
            assert rows.tobytes() == tree["model"]["weight"][12345:54321].tobytes()
            used = {chunk.file for entry in checkpoint.values() for chunk in entry.chunks}
        assert set(storage.list()) == used | {".metadata"}  # nothing of the first save is left


@pytest.mark.parametrize("url", ["memory://none", "bucket://none/x", "server://none/x"])
def test_nothing_there(url):
    storage = FsspecStorage.of(url)
    with pytest.raises(libdcp.NotFoundError):
        libdcp.load(storage)
    with pytest.raises(FileNotFoundError):
        storage.open("file")
    with pytest.raises(FileNotFoundError):
        storage.list()
    with pytest.raises(FileNotFoundError):
        storage.remove("file")


def test_metadata_is_there_at_every_instant():
    storage = FsspecStorage.of("bucket://run/step")
    libdcp.save(tree_of(1), storage)
    ObjectStore.shown.clear()
    libdcp.save(tree_of(2), storage)
    seen = [size for path, size in ObjectStore.shown if path == "run/step/.metadata"]
    assert len(seen) == 1 and seen[0] == len(ObjectStore.objects["run/step/.metadata"])
    names = [path for path, size in ObjectStore.shown if size is not None]
    assert names[-1] == "run/step/.metadata"  # after all data files


def test_a_server_that_does_not_rename_over():
    storage = FsspecStorage.of("server://run/step")
    for step in range(3):
        libdcp.save(tree_of(step), storage, files=3)
    check(libdcp.load(storage), tree_of(2))
    with pytest.raises(FileNotFoundError):
        storage.rename("missing", "other")
    before = dict(OneConnection.files)
    with pytest.raises(OSError):  # what would be replaced stays
        storage.rename("missing", ".metadata")
    assert OneConnection.files == before


def test_one_connection_is_used_by_one_thread_at_a_time():
    storage = FsspecStorage.of("server://run/step")
    libdcp.save(tree_of(1), storage)
    (data,) = [name for name in storage.list() if name != ".metadata"]
    calls = {
        "list": lambda other: other.list(),
        "open": lambda other: other.open(data),
        "read": lambda other: other.read(other.open(data)[0], 0, memoryview(bytearray(10))),
        "create": lambda other: other.finish(other.create("new", 0), 0, True),
    }
    for call in calls.values():
        failed, threads = [], []

        def work():
            try:
                call(FsspecStorage(storage.fs, storage.root))
            except BaseException as error:
                failed.append(error)

        def meanwhile():
            threads.append(threading.Thread(target=work))
            threads[0].start()
            threads[0].join(0.1)  # it waits its turn: this one goes on first

        OneConnection.meanwhile = meanwhile
        storage.list()
        threads[0].join(60)
        assert not failed and not threads[0].is_alive()


def test_a_failed_save_leaves_the_old_checkpoint(monkeypatch):
    storage = FsspecStorage.of("bucket://run/step")
    libdcp.save(tree_of(1), storage)
    before = dict(ObjectStore.objects)
    boom = OSError("the service is gone")
    real, written = NewFile.write, []

    def write(self, offset, data):
        written.append(len(data))
        if sum(written) > 5 * MIB:
            raise boom
        real(self, offset, data)

    monkeypatch.setattr(NewFile, "write", write)
    with pytest.raises(libdcp.Error) as caught:
        libdcp.save(tree_of(2), storage)
    assert caught.value.__cause__ is boom
    monkeypatch.undo()
    assert ObjectStore.objects == before
    assert any(call[0] == "discard" for call in ObjectStore.calls)  # parts that were sent are dropped
    check(libdcp.load(storage), tree_of(1))


def test_long_reads_are_few_and_side_by_side():
    storage = FsspecStorage.of("bucket://run/step")
    tree = tree_of(3, elements=24 * MIB)
    libdcp.save(tree, storage)
    ObjectStore.calls.clear()
    ObjectStore.most_at_once = 0
    check(libdcp.load(storage), tree)
    gets = [call for call in ObjectStore.calls if call[0] == "get"]
    fetched = sum(end - start for _, _, start, end in gets if end is not None)
    size = tree["model"]["weight"].nbytes
    assert ObjectStore.most_at_once >= 4
    assert len(gets) < size / MIB  # the engine asks in steps of 256 KiB
    assert size <= fetched < 1.5 * size


def test_slices_fetch_little():
    storage = FsspecStorage.of("bucket://run/step")
    tree = tree_of(3, elements=24 * MIB)
    libdcp.save(tree, storage)
    ObjectStore.calls.clear()
    with libdcp.open(storage) as checkpoint:
        rows = checkpoint["model.weight"][MIB : MIB + 1000]
    assert rows.tobytes() == tree["model"]["weight"][MIB : MIB + 1000].tobytes()
    fetched = sum(call[3] - call[2] for call in ObjectStore.calls if call[0] == "get" and call[3])
    assert fetched < MIB


def test_a_store_that_ignores_ranges():
    storage = FsspecStorage.of("bucket://run/step")
    libdcp.save(tree_of(4, elements=1000), storage)
    ObjectStore.ranges = False
    check(libdcp.load(storage), tree_of(4, elements=1000))


def test_a_zip_archive_is_read(tmp_path):
    libdcp.save(tree_of(5), tmp_path / "step")
    archive = tmp_path / "step.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted((tmp_path / "step").iterdir()):
            out.write(file, f"runs/{file.name}")
    for url in (f"zip://runs::{archive}", f"zip://runs::file://{archive}"):
        check(libdcp.load(FsspecStorage.of(url)), tree_of(5))


@pytest.mark.parametrize("cache", ["filecache", "blockcache", "simplecache"])
def test_caches_show_the_new_checkpoint(cache, tmp_path):
    behind = FsspecStorage.of("bucket://run/step")
    options = {cache: {"cache_storage": str(tmp_path / "cache")}}
    for step in range(3):
        libdcp.save(tree_of(step), behind)
        for _ in range(2):
            ObjectStore.calls.clear()
            check(libdcp.load(FsspecStorage.of(f"{cache}::bucket://run/step", **options)), tree_of(step))
        if cache == "simplecache":  # the second time, only what may have changed was fetched
            fetched = {call[1] for call in ObjectStore.calls if call[0] == "get"}
            assert fetched == {"run/step/.metadata"}


def test_what_is_shown_does_not_change_when_it_is_renamed_over():
    for url in ("memory://run/step", "bucket://run/step"):
        storage = FsspecStorage.of(url)
        for name, content in (("new", b"new content"), (".metadata", b"old")):
            file = storage.create(name, 0)
            storage.write(file, 0, memoryview(content))
            storage.finish(file, len(content), True)
        file, size = storage.open(".metadata")
        storage.rename("new", ".metadata")
        got = bytearray(size)
        assert storage.read(file, 0, memoryview(got)) == 3 and bytes(got) == b"old"
        storage.close(file)
        assert storage.open(".metadata")[1] == len(b"new content")
        assert storage.list() == [".metadata"]


def test_readers_of_one_memory_file_do_not_share_a_position():
    storage = FsspecStorage.of("memory://run/step")
    content = np.arange(MIB, dtype=np.uint32).tobytes()
    file = storage.create("data", 0)
    storage.write(file, 0, memoryview(content))
    storage.finish(file, len(content), False)
    assert isinstance(storage.open("data")[0], WholeFile)
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        file, size = storage.open("data")
        for offset in rng.integers(0, size - 1000, 300):
            got = bytearray(1000)
            storage.read(file, int(offset), memoryview(got))
            if bytes(got) != content[offset : offset + 1000]:
                wrong.append(offset)
        storage.close(file)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_gaps_are_zeros_and_sizes_are_kept():
    storage = FsspecStorage.of("memory://run/step")
    file = storage.create("data", 0)
    storage.write(file, 3, memoryview(b"abc"))
    storage.finish(file, 8, True)
    assert MemoryFileSystem.store["/run/step/data"].getvalue() == b"\0\0\0abc\0\0"
    file = storage.create("data", 0)
    storage.write(file, 0, memoryview(b"abcdef"))
    with pytest.raises(ValueError, match="6 bytes, more than 2"):
        storage.finish(file, 2, True)
    file = storage.create("data", 0)
    storage.write(file, 0, memoryview(b"abcdef"))
    with pytest.raises(ValueError, match="before"):
        storage.write(file, 2, memoryview(b"x"))
    storage.abort(file)


def test_very_large_files_get_parts_that_suffice():
    storage = FsspecStorage.of("bucket://run/step")
    storage.abort(storage.create("small", 1 << 30))
    storage.abort(storage.create("large", 2 << 40))
    opened = {call[1]: call[3] for call in ObjectStore.calls if call[0] == "open"}
    assert opened["run/step/small"] is None
    assert (2 << 40) / opened["run/step/large"] <= 10_000
    assert not ObjectStore.objects


class Source:
    def __init__(self, size):
        self.data = np.random.default_rng(1).bytes(size)
        self.asked = []
        self.fail = None

    def fetch(self, begin, end):
        self.asked.append((begin, end))
        if self.fail is not None:
            raise self.fail
        return self.data[begin:end]


def read(ahead, offset, size):
    got = bytearray(size)
    return bytes(got[: ahead.read(offset, memoryview(got))])


def test_read_ahead_gives_what_is_there():
    source = Source(20 * MIB + 123)
    ahead = ReadAhead(source.fetch, len(source.data))
    step = MIB // 4
    for offset in range(0, len(source.data), step):
        assert read(ahead, offset, step) == source.data[offset : offset + step]
    assert len(source.asked) < 12 and max(end - begin for begin, end in source.asked) <= MOST
    assert max(end for _, end in source.asked) <= len(source.data)
    assert sum(end - begin for begin, end in source.asked) == len(source.data)  # nothing twice
    rng = np.random.default_rng(2)
    for _ in range(300):
        offset, size = int(rng.integers(0, len(source.data))), int(rng.integers(1, 300_000))
        assert read(ahead, offset, size) == source.data[offset : offset + size]


def test_read_ahead_of_several_threads():
    source = Source(32 * MIB)
    ahead = ReadAhead(source.fetch, len(source.data))
    step, wrong = MIB // 4, []

    def work(part):
        for offset in range(part * 8 * MIB, (part + 1) * 8 * MIB, step):
            if read(ahead, offset, step) != source.data[offset : offset + step]:
                wrong.append(offset)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_read_ahead_that_fails_is_tried_again():
    source = Source(4 * MIB)
    ahead = ReadAhead(source.fetch, len(source.data))
    step = MIB // 4
    read(ahead, 0, step)
    source.fail = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        read(ahead, step, step)
    source.fail = None
    assert read(ahead, step, step) == source.data[step : 2 * step]


def test_passwords_are_not_shown():
    assert without_password("sftp://me:secret@host/x") == "sftp://me:***@host/x"
    assert without_password("dir::ftp://me:se:cret@host/x") == "dir::ftp://me:***@host/x"
    for plain in ("s3://bucket/a@b:c", "/a:b@c/d", "file:///a:b@c"):
        assert without_password(plain) == plain


def test_errors_name_file_and_url():
    storage = FsspecStorage.of("bucket://run/step")
    libdcp.save(tree_of(1), storage)
    (data,) = [name for name in storage.list() if name != ".metadata"]
    ObjectStore.objects[f"run/step/{data}"] = ObjectStore.objects[f"run/step/{data}"][:1000]
    with pytest.raises(libdcp.CorruptError, match=data):
        libdcp.load(storage)


def test_streams_without_a_file_number(tmp_path):
    fs = fsspec.filesystem("memory")
    file = NewFile(fs, "/x", 0)
    file.write(0, b"abc")
    file.finish(3, True)
    assert fs.cat_file("/x") == b"abc" and isinstance(fs.open("/x"), io.BytesIO)
