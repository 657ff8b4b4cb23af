"""FsspecWriter, FsspecReader and FileSystem, by the calls of both libraries and exchanged with torch's."""

import importlib
import os
import pathlib
import subprocess
import sys
import uuid
import warnings

import fsspec
import object_store
import poison
import pytest
import torch
import torch.distributed.checkpoint as stock
from fsspec.implementations.memory import MemoryFileSystem
from object_store import ObjectStore, OneConnection

import libdcp
import libdcp.torch as ours
from libdcp.torch import _extension
from libdcp.torch.filesystem import FileSystemBase, FileSystemReader, FileSystemWriter
from libdcp.torch.fsspec_filesystem import FsspecReader, FsspecWriter, _FileSystem

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "exchange"))
import gloo_job  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch.distributed.checkpoint import _fsspec_filesystem as stock_fsspec

APIS = {"stock": stock, "ours": ours}
URLS = ["memory://runs/step", "{tmp}/step", "file://{tmp}/step", "bucket://runs/step"]

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def stores():
    object_store.register()
    ObjectStore.clear()
    OneConnection.files.clear()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(params=list(APIS))
def api(request):
    return APIS[request.param]


@pytest.fixture(params=URLS)
def url(request, tmp_path):
    return request.param.format(tmp=tmp_path)


def state(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {
        "weight": torch.randn(200, 33, generator=generator),
        "nested": {"half": torch.randn(7, generator=generator).half(), "int": torch.arange(9)},
        "step": seed,
        "name": ("run", [seed]),
    }


def zeros():
    return {
        "weight": torch.zeros(200, 33),
        "nested": {"half": torch.zeros(7).half(), "int": torch.zeros(9, dtype=torch.int64)},
        "step": 0,
        "name": (),
    }


def same(got, seed=1):
    expected = state(seed)
    assert torch.equal(got["weight"], expected["weight"])
    assert torch.equal(got["nested"]["half"], expected["nested"]["half"])
    assert torch.equal(got["nested"]["int"], expected["nested"]["int"])
    assert got["step"] == seed and got["name"] == expected["name"]


def save(api, writer, seed=1):
    return api.save(state(seed), storage_writer=writer, no_dist=True)


def load(api, reader):
    got = zeros()
    api.load(got, storage_reader=reader, no_dist=True)
    return got


def listed(url):
    fs, root = fsspec.core.url_to_fs(url)
    return sorted(name.rpartition("/")[2] for name in fs.ls(root, detail=False))


# ---- saving and loading ----


def test_ours_to_ours(api, url):
    save(api, FsspecWriter(url))
    same(load(api, FsspecReader(url)))
    save(api, FsspecWriter(url), seed=2)
    same(load(api, FsspecReader(url)), seed=2)
    assert [name for name in listed(url) if "metadata" in name] == [".metadata"]


def test_ours_to_stock(api, url):
    save(api, FsspecWriter(url))
    same(load(stock, stock_fsspec.FsspecReader(url)))


def test_stock_to_ours(api, url):
    save(stock, stock_fsspec.FsspecWriter(url))
    same(load(api, FsspecReader(url)))


def test_stock_plugged_into_ours(url):
    save(ours, stock_fsspec.FsspecWriter(url))
    same(load(ours, stock_fsspec.FsspecReader(url)))
    same(load(ours, FsspecReader(url)))


def test_folders_of_this_machine_are_the_engines(tmp_path):
    for url in (str(tmp_path / "a"), f"file://{tmp_path}/a", tmp_path / "a"):
        assert FsspecWriter(url)._where() == str(tmp_path / "a")
        assert FsspecReader(url)._where() == str(tmp_path / "a")
    assert isinstance(FsspecWriter("memory://a")._where(), libdcp.Storage)


def test_classes():
    assert issubclass(FsspecWriter, FileSystemWriter) and issubclass(FsspecReader, FileSystemReader)
    assert issubclass(FsspecWriter, stock.StorageWriter)
    assert issubclass(FsspecReader, stock.StorageReader)
    assert issubclass(_FileSystem, FileSystemBase)
    for ours_class in (FsspecWriter, FsspecReader, _FileSystem):
        for base in ours_class.__mro__:
            assert base.__module__ != "torch.distributed.checkpoint.filesystem"


def test_the_older_module():
    with pytest.warns(DeprecationWarning, match="libdcp.torch.fsspec_filesystem"):
        older = importlib.reload(importlib.import_module("libdcp.torch._fsspec_filesystem"))
    assert older.FileSystem is _FileSystem and older.FsspecWriter is FsspecWriter
    assert older.FsspecReader is FsspecReader and older.__all__ == ["FsspecWriter", "FsspecReader"]


def test_nothing_of_stock_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, str(HERE / "fsspec_tour.py"), str(tmp_path / "step")],
        env=poison.environment(tmp_path / "log"), capture_output=True, text=True, timeout=300,
    )
    assert done.returncode == 0 and "the tour is over" in done.stdout, done.stdout + done.stderr
    poisoned, _, entered = poison.read(tmp_path / "log")
    assert poisoned > 100 and not entered


# ---- several ranks ----


def run(folder, size, function, monkeypatch):
    paths = [str(HERE), os.environ.get("DCP_PYTHON_DIR"), os.environ.get("PYTHONPATH")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    gloo_job.run(folder / f"{function}{size}", size, "gloo_fsspec", function, folder / "data")


def test_ranks_exchange(tmp_path, monkeypatch):
    run(tmp_path, 3, "exchange", monkeypatch)


def test_ranks_save_and_others_load(tmp_path, monkeypatch):
    (tmp_path / "data" / "alone").mkdir(parents=True)
    run(tmp_path, 3, "save", monkeypatch)
    names = sorted(path.name for path in (tmp_path / "data" / "step").iterdir())
    assert names == [".metadata", *(f"__{rank}_0.g1.distcp" for rank in range(3))]
    alone = {path.name for path in (tmp_path / "data" / "alone" / "step").iterdir()}
    assert {f"__{rank}.metadata" for rank in range(3)} < alone and ".metadata" not in alone
    run(tmp_path, 2, "load_on_others", monkeypatch)
    run(tmp_path, 2, "overwrite", monkeypatch)


# ---- arguments ----


def test_a_file_for_each_item(api, url):
    save(api, FsspecWriter(url, single_file_per_rank=False))
    assert len([name for name in listed(url) if name.endswith(".distcp")]) == 5
    same(load(api, FsspecReader(url)))


def test_threads_and_no_sync(api, url):
    save(api, FsspecWriter(url, thread_count=3, sync_files=False, per_thread_copy_ahead=5))
    assert len([name for name in listed(url) if name.endswith(".distcp")]) == 3
    same(load(api, FsspecReader(url)))


def test_overwrite(api, url):
    save(api, FsspecWriter(url, overwrite=False))
    before = listed(url)
    with pytest.raises(stock.CheckpointException, match="Checkpoint already exists"):
        save(api, FsspecWriter(url, overwrite=False), seed=2)
    assert listed(url) == before
    same(load(api, FsspecReader(url)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        save(api, FsspecWriter(url), seed=2)
    if api is stock:  # which asks the writer, step by step
        assert any("existing checkpoint" in str(warning.message) for warning in caught)
    same(load(api, FsspecReader(url)), seed=2)


def test_extensions(api, url):
    save(api, FsspecWriter(url, _extensions=[_extension.ZStandard()]))
    metadata = FsspecReader(url).read_metadata()
    infos = metadata.storage_data.values()
    assert {tuple(info.transform_descriptors) for info in infos} == {("stream.zstd/1",)}
    same(load(api, FsspecReader(url)))
    same(load(stock, stock_fsspec.FsspecReader(url)))


def test_options_reach_the_file_system(api):
    class Keyed(MemoryFileSystem):
        protocol = "keyed"
        store = {}
        keys = []

        def __init__(self, key=None, **options):
            super().__init__(**options)
            self.key = key

        def _open(self, path, **options):
            Keyed.keys.append(self.key)
            return super()._open(path, **options)

    fsspec.register_implementation("keyed", Keyed, clobber=True)
    save(api, FsspecWriter("keyed://a", key="secret"))
    reader = FsspecReader("keyed://a", key="secret")
    same(load(api, reader))
    reader.reset("keyed://a")  # and stay
    assert reader._where().fs.key == "secret" and reader.fs.fs.key == "secret"
    assert set(Keyed.keys) == {"secret"}


def test_reset_goes_elsewhere(api):
    writer, reader = FsspecWriter("memory://a"), FsspecReader("memory://a")
    save(api, writer)
    api.save(state(2), checkpoint_id="memory://b", storage_writer=writer, no_dist=True)
    assert writer.checkpoint_id == "memory://b"
    same(load(api, FsspecReader("memory://a")), 1)
    got = zeros()
    api.load(got, checkpoint_id="memory://b", storage_reader=reader, no_dist=True)
    same(got, 2)
    assert reader.checkpoint_id == "memory://b"


def test_a_url_is_enough(api):
    api.save(state(3), checkpoint_id="memory://runs/3", no_dist=True)
    got = zeros()
    api.load(got, checkpoint_id="memory://runs/3", no_dist=True)
    same(got, 3)


def test_checkpoint_ids():
    for cls in (FsspecWriter, FsspecReader, _FileSystem):
        assert cls.validate_checkpoint_id("memory://x") and cls.validate_checkpoint_id("/tmp/x")
        assert not cls.validate_checkpoint_id(pathlib.Path("/tmp/x"))
        assert not cls.validate_checkpoint_id("nosuchprotocol://x")


def test_metadata_says_where_it_was_saved():
    metadata = save(ours, FsspecWriter("memory://runs/7"))
    assert metadata.storage_meta.checkpoint_id == "memory://runs/7"
    assert uuid.UUID(metadata.storage_meta.save_id)
    read = stock_fsspec.FsspecReader("memory://runs/7").read_metadata()
    assert read.storage_meta.checkpoint_id == "memory://runs/7"
    assert read.state_dict_metadata.keys() == metadata.state_dict_metadata.keys()


# ---- what goes wrong ----


class Gone(OSError):
    pass


def cause(error):
    """The exception behind a CheckpointException."""
    return error.failures[0][0]


def test_a_failing_stream_leaves_the_old_checkpoint(api, monkeypatch):
    save(api, FsspecWriter("bucket://runs/step"))
    before = dict(ObjectStore.objects)

    def refuse(self, final=False):
        raise Gone("the service is gone")

    monkeypatch.setattr(object_store.Upload, "_upload_chunk", refuse)
    with pytest.raises(stock.CheckpointException, match="the service is gone"):
        save(api, FsspecWriter("bucket://runs/step"), seed=2)
    monkeypatch.undo()
    assert ObjectStore.objects == before
    same(load(api, FsspecReader("bucket://runs/step")))


def test_a_failing_commit_leaves_the_old_checkpoint(api, monkeypatch):
    save(api, FsspecWriter("bucket://runs/step"))
    before = dict(ObjectStore.objects)

    async def refuse(self, path1, path2, **options):
        raise Gone("no copies today")

    monkeypatch.setattr(ObjectStore, "_cp_file", refuse)
    with pytest.raises(stock.CheckpointException, match="no copies today"):
        save(api, FsspecWriter("bucket://runs/step"), seed=2)
    monkeypatch.undo()
    assert {name: ObjectStore.objects.get(name) for name in before} == before
    same(load(api, FsspecReader("bucket://runs/step")))
    save(api, FsspecWriter("bucket://runs/step"), seed=3)
    same(load(api, FsspecReader("bucket://runs/step")), seed=3)
    assert len(listed("bucket://runs/step")) == 2


def test_a_failing_read(api, monkeypatch):
    save(api, FsspecWriter("bucket://runs/step"))

    async def refuse(self, path, start=None, end=None, **options):
        raise Gone(f"no {path} today")

    monkeypatch.setattr(ObjectStore, "_cat_file", refuse)
    with pytest.raises(stock.CheckpointException, match="no runs/step/.metadata today"):
        load(api, FsspecReader("bucket://runs/step"))


def test_nothing_there(api, url):
    with pytest.raises((stock.CheckpointException, FileNotFoundError, libdcp.NotFoundError)):
        load(api, FsspecReader(url))


# ---- FileSystem ----


@pytest.fixture(params=[*URLS, "simplecache::memory://runs/step", "dir://sub::memory://base"])
def opened(request, tmp_path):
    fs = _FileSystem()
    options = {
        "simplecache": {"simplecache": {"cache_storage": str(tmp_path / "cache")}},
    }
    url = request.param.format(tmp=tmp_path)
    path = fs.init_path(url, **options.get(url.partition("::")[0], {}))
    assert path == url
    fs.mkdir(path)
    return fs, path


def test_failed_writes_are_removed_and_reads_keep_the_file(opened):
    fs, path = opened
    write, read = fs.concat_path(path, "write"), fs.concat_path(path, "read")
    for mode, part in (("w", "aaa"), ("wb", b"aaa")):
        with pytest.raises(Gone):
            with fs.create_stream(write, mode) as stream:
                stream.write(part)
                raise Gone
        assert not fs.exists(write)
    with fs.create_stream(read, "w") as stream:
        stream.write("bbb")
    for mode, content in (("r", "bbb"), ("rb", b"bbb")):
        with pytest.raises(Gone):
            with fs.create_stream(read, mode) as stream:
                assert stream.read() == content
                raise Gone
        assert fs.exists(read)
    with pytest.raises(KeyboardInterrupt):
        with fs.create_stream(write, "w"):
            raise KeyboardInterrupt
    assert not fs.exists(write)


def test_upload_that_fails_at_its_end_is_removed(monkeypatch):
    fs = _FileSystem()
    path = fs.concat_path(fs.init_path("bucket://runs"), "x")

    def refuse(self, final=False):
        self.fs.show(self.path, b"half")
        raise Gone

    monkeypatch.setattr(object_store.Upload, "_upload_chunk", refuse)
    with pytest.raises(Gone):
        with fs.create_stream(path, "wb") as stream:
            stream.write(b"whole")
    assert not fs.exists(path)


def test_what_was_not_opened_is_not_removed(tmp_path):
    fs = _FileSystem()
    path = fs.concat_path(fs.init_path(str(tmp_path)), "x")
    (tmp_path / "x").write_text("old")
    with pytest.raises(FileExistsError):
        with fs.create_stream(path, "x"):
            raise AssertionError
    assert (tmp_path / "x").read_text() == "old"


def test_operations(opened):
    fs, path = opened
    one, two = fs.concat_path(path, "one"), fs.concat_path(path, "two")
    with fs.create_stream(one, "wb") as stream:
        stream.write(b"content")
    assert fs.exists(one) and not fs.exists(two)
    fs.rename(one, two)
    assert not fs.exists(one) and fs.exists(two)
    with fs.create_stream(two, "rb") as stream:
        assert stream.read() == b"content"
    assert [name.rpartition("/")[2] for name in fs.ls(path)] == ["two"]
    fs.rm_file(two)
    assert not fs.exists(two)
    fs.mkdir(path)  # again


def test_before_init_path():
    with pytest.raises(AssertionError, match="fs should not be None"):
        with _FileSystem().create_stream("x", "r"):
            pass


def test_paths_in_chains():
    fs = _FileSystem()
    assert fs.concat_path("/a/b", "c") == "/a/b/c"
    assert fs.concat_path(pathlib.Path("/a/b"), "c") == "/a/b/c"
    assert fs.concat_path("s3://a/b/", "c") == "s3://a/b/c"
    assert fs.concat_path("zip://in::s3://a/b.zip", "c") == "zip://in/c::s3://a/b.zip"
    assert fs.concat_path("simplecache::s3://a/b", "c") == "simplecache::s3://a/b/c"
    assert fs.concat_path("simplecache::zip://in::s3://b.zip", "c") == "simplecache::zip://in/c::s3://b.zip"
    assert os.fspath(fs.concat_path("relative", "c")) == "relative/c"
