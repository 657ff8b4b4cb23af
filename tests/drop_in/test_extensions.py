"""Stream extensions: torch's own and users', through our writers and readers and through torch's."""

import io
import logging
import os
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as stock
from stock_helpers import STOCK, helpers
from torch.distributed.checkpoint import _extension as stock_extension

import libdcp
import libdcp.torch as ours
from libdcp.torch import _extension
from libdcp.torch._engine.stream_transform import (
    ExtensionTransform,
    to_extension,
    to_transform,
    to_transforms,
    transforms_for,
)
from libdcp.torch.filesystem import FileSystemReader, FileSystemWriter
from libdcp.torch.fsspec_filesystem import FsspecReader, FsspecWriter

MODULES = [STOCK, "libdcp.torch"]
MIB = 1 << 20

pytestmark = pytest.mark.filterwarnings("ignore")


def state():
    generator = torch.Generator().manual_seed(7)
    return {
        "model": {
            "weight": torch.randn(300, 211, generator=generator),
            "big": torch.randint(0, 50, (MIB // 2,), generator=generator),
            "scalar": torch.tensor(2.5, dtype=torch.bfloat16),
            "empty": torch.empty(0, 3),
        },
        "step": 11,
        "note": ["An Object", (1, 2.5)],
    }


def zeros():
    return {
        "model": {name: torch.zeros_like(tensor) for name, tensor in state()["model"].items()},
        "step": 0,
        "note": [],
    }


def same(got, expected=None):
    expected = state() if expected is None else expected
    for name, tensor in expected["model"].items():
        assert got["model"][name].dtype == tensor.dtype and torch.equal(got["model"][name], tensor)
    assert got["step"] == expected["step"] and got["note"] == expected["note"]


def save(writer, api=stock):
    api.save(state(), storage_writer=writer, no_dist=True)


def load(reader, api=stock):
    got = zeros()
    api.load(got, storage_reader=reader, no_dist=True)
    return got


def descriptors(path):
    metadata = stock.FileSystemReader(path).read_metadata()
    return {tuple(info.transform_descriptors or ()) for info in metadata.storage_data.values()}


WRITERS = {
    "stock": stock.FileSystemWriter,
    "ours": FileSystemWriter,
    "ours, fsspec": FsspecWriter,
    "ours, memory": lambda path, **options: FsspecWriter(f"memory://{path}", **options),
}


def reader_of(name, path, registry):
    if name == "stock":
        return stock.FileSystemReader(path, _extension_registry=registry)
    if name == "ours":
        return FileSystemReader(path, _extension_registry=registry)
    return FsspecReader(path, _extension_registry=registry)


# ---- the helpers that torch's tests are written with ----


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("api", [stock, ours])
@pytest.mark.parametrize("writer", ["stock", "ours", "ours, fsspec"])
@pytest.mark.parametrize("reader", ["stock", "ours", "ours, fsspec"])
def test_rot13_is_exchanged(module, api, writer, reader, tmp_path):
    utils = helpers(module)
    save(WRITERS[writer](str(tmp_path), _extensions=[utils.Rot13Example()]), api)
    assert descriptors(tmp_path) == {("stream.rot13/1",)}
    data = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.suffix == ".distcp")
    assert b"ARCHIVE/DATA.PKL" in data and b"archive/data.pkl" not in data
    same(load(reader_of(reader, str(tmp_path), utils.get_test_extension_registry()), api))
    with pytest.raises((stock.CheckpointException, libdcp.Error, ValueError), match="stream.rot13"):
        load(reader_of(reader, str(tmp_path), None), api)


@pytest.mark.parametrize("module", MODULES)
def test_rot13_in_the_engine_itself(module, tmp_path):
    utils = helpers(module)
    save(stock.FileSystemWriter(tmp_path, _extensions=[utils.Rot13Example()], thread_count=3))
    transforms = transforms_for(utils.get_test_extension_registry())
    assert [transform.name for transform in transforms] == ["stream.rot13"]
    with libdcp.open(tmp_path, transforms=transforms) as checkpoint:
        rows = checkpoint["model.weight"][100:200]
        assert np.array_equal(rows, state()["model"]["weight"][100:200].numpy())
    libdcp.save(
        {"model": {"weight": state()["model"]["weight"].numpy()}},
        tmp_path / "b",
        transforms=to_transforms([utils.Rot13Example()]),
        files=2,
    )
    got = {"model": {"weight": torch.zeros(300, 211)}}
    registry = utils.get_test_extension_registry()
    stock.load(got, storage_reader=reader_of("stock", tmp_path / "b", registry), no_dist=True)
    assert torch.equal(got["model"]["weight"], state()["model"]["weight"])
    context = libdcp.Context(transforms=transforms_for(registry))
    report = libdcp.verify(tmp_path / "b", context=context)
    assert report.ok and report.items == 1


@pytest.mark.parametrize("module", MODULES)
def test_with_temp_dir_and_logging(module):
    utils = helpers(module)
    logger = logging.getLogger(module)
    logger.setLevel(logging.ERROR)
    seen = []

    class Case:
        @utils.with_checkpoint_logging
        @utils.with_temp_dir
        def test(self):
            seen.append((self.temp_dir, os.path.isdir(self.temp_dir), logger.level))
            save(FileSystemWriter(self.temp_dir, _extensions=[utils.Rot13Example()]))
            registry = utils.get_test_extension_registry()
            same(load(reader_of("stock", self.temp_dir, registry)))
            same(load(reader_of("ours", self.temp_dir, registry)))

    Case().test()
    ((folder, there, level),) = seen
    assert there and not os.path.exists(folder)
    assert level == logging.INFO and logger.level == logging.ERROR
    logger.setLevel(logging.NOTSET)


def test_the_example():
    example = pathlib.Path(__file__).resolve().parents[2] / "examples" / "torch" / "sealed.py"
    paths = [os.environ.get("DCP_PYTHON_DIR"), os.environ.get("PYTHONPATH")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(example)], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "equal: True",
        "refused: ValueError: the seal is broken: whoever saved this had another key",
    ]


# ---- zstd ----


@pytest.mark.parametrize("api", [stock, ours])
@pytest.mark.parametrize("writer", ["stock", "ours", "ours, fsspec"])
@pytest.mark.parametrize("reader", ["stock", "ours", "ours, fsspec"])
@pytest.mark.parametrize("of", [stock_extension, _extension])
def test_zstd_is_exchanged(api, writer, reader, of, tmp_path):
    save(WRITERS[writer](str(tmp_path), _extensions=[of.ZStandard()], thread_count=2), api)
    assert descriptors(tmp_path) == {("stream.zstd/1",)}
    written = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert written < 0.6 * sum(t.nbytes for t in state()["model"].values())
    same(load(reader_of(reader, str(tmp_path), None), api))
    same(load(reader_of(reader, str(tmp_path), of.ExtensionRegistry()), api))


def test_zstd_needs_no_module(tmp_path, monkeypatch):
    monkeypatch.setattr(stock_extension, "zstandard", None)
    monkeypatch.setattr(stock_extension, "pyzstd", None)
    with pytest.raises(ValueError, match="zstandard"):
        stock_extension.ZStandard()
    assert _extension.ZStandard.is_available()
    extension = _extension.ZStandard()
    assert isinstance(extension, stock_extension.ZStandard)
    assert extension.get_descriptor() == "stream.zstd/1" and to_transform(extension) == "stream.zstd"
    save(FileSystemWriter(tmp_path, _extensions=[extension]))
    same(load(FileSystemReader(tmp_path)))
    for stream in (extension.transform_to, extension.transform_from):
        with pytest.raises(ValueError, match="zstandard"):  # what torch's writers would need
            stream(io.BytesIO())


def test_zstd_versions():
    assert isinstance(_extension.ZStandard.from_descriptor("1.7"), _extension.ZStandard)
    with pytest.raises(ValueError, match="version='2'"):
        _extension.ZStandard.from_descriptor("2")


def test_zstd_class_of_a_user(tmp_path):
    class Level(_extension.ZStandard):
        pass

    with pytest.raises(ValueError, match="stream.zstd"):
        to_transforms([Level()])


# ---- the registry ----


def test_registry():
    registry = _extension.ExtensionRegistry()
    assert isinstance(registry, stock_extension.ExtensionRegistry)
    utils = helpers("libdcp.torch")
    registry.register(utils.Rot13Example)
    one, two = registry.from_descriptor_list(["stream.rot13/1.5", "stream.zstd/1"])
    assert type(one) is utils.Rot13Example and type(two) is _extension.ZStandard
    with pytest.raises(ValueError, match="name='stream.none'"):
        registry.from_descriptor_list(["stream.none/1"])
    with pytest.raises(ValueError, match="version='2'"):
        registry.from_descriptor_list(["stream.rot13/2"])
    assert _extension.Extension is stock_extension.Extension
    assert _extension.StreamTransformExtension is stock_extension.StreamTransformExtension


def test_a_registry_that_finds_more_than_it_lists(tmp_path):
    utils = helpers(STOCK)

    class Finds:
        def from_descriptor_list(self, descriptors):
            return [utils.Rot13Example.from_descriptor(d.partition("/")[2]) for d in descriptors]

    save(stock.FileSystemWriter(tmp_path, _extensions=[utils.Rot13Example()]))
    assert transforms_for(Finds()) == []
    transforms = transforms_for(Finds(), ["stream.rot13/1"])
    assert libdcp.load(tmp_path, transforms=transforms)["step"] == 11


# ---- several ----


class Keyed(stock_extension.StreamTransformExtension):
    """A cipher of a kind: a header, each byte changed by its place, and at the end a sum. It keeps what
    it is given until it is closed, gives it in odd pieces, and reads what it cannot seek in."""

    most = 100_003  # bytes that one write takes

    def __init__(self, key=41):
        self.key = key

    @staticmethod
    def registry_name():
        return "stream.keyed@example.org"

    @staticmethod
    def from_descriptor(version):
        return Keyed(int(version.partition(".")[2] or 41))

    def get_descriptor(self):
        return f"{self.registry_name()}/1.{self.key}"

    def _change(self, data):
        keys = np.arange(self.key, self.key + len(data), dtype=np.uint64).astype(np.uint8)
        return (np.frombuffer(data, np.uint8) ^ keys).tobytes()

    def transform_to(self, output):
        key = self

        class Writer(io.RawIOBase):
            def __init__(self):
                self.kept = []
                output.write(b"KEYED")

            def writable(self):
                return True

            def write(self, data):
                part = bytes(data[: key.most])
                self.kept.append(part)
                return len(part)

            def close(self):
                if not self.closed:
                    data = b"".join(self.kept)
                    reused = bytearray(key._change(data))
                    for at in range(0, len(reused), 77_777):
                        output.write(memoryview(reused)[at : at + 77_777])
                    reused[:] = bytes(len(reused))
                    output.write(sum(data).to_bytes(8, "little"))
                    super().close()
                    output.close()

        return Writer()

    def transform_from(self, input):
        encoded = input.read(-1)
        if encoded[:5] != b"KEYED":
            raise ValueError("not keyed")
        data = self._change(encoded[5:-8])
        if sum(data) != int.from_bytes(encoded[-8:], "little"):
            raise ValueError("the sum is wrong: is the key the right one?")

        class Reader(io.RawIOBase):
            at = 0

            def readable(self):
                return True

            def readinto(self, buffer):
                part = data[self.at : self.at + min(len(buffer), 50_021)]
                buffer[: len(part)] = part
                self.at += len(part)
                return len(part)

        return Reader()


def registry_of(*classes):
    registry = _extension.ExtensionRegistry()
    for cls in classes:
        registry.register(cls)
    return registry


@pytest.mark.parametrize("writer", ["ours", "ours, fsspec"])
@pytest.mark.parametrize("reader", ["ours", "ours, fsspec"])
def test_an_extension_that_keeps_and_splits(writer, reader, tmp_path):
    save(WRITERS[writer](str(tmp_path), _extensions=[Keyed(200)]))
    assert descriptors(tmp_path) == {("stream.keyed@example.org/1.200",)}
    same(load(reader_of(reader, str(tmp_path), registry_of(Keyed))))


def test_an_extension_that_keeps_and_splits_read_by_stock(tmp_path):
    save(FileSystemWriter(tmp_path, _extensions=[Keyed(200)]))
    same(load(reader_of("stock", tmp_path, registry_of(Keyed))))


class Whole(Keyed):
    """Takes all it is given, as torch's writer needs it."""

    most = 1 << 40


@pytest.mark.parametrize("writer", list(WRITERS))
def test_several_are_read_as_they_were_written(writer, tmp_path):
    """torch records the list from the last to the first, and undoes it from the first: what it writes
    with two of them it cannot read. We record the same, and read it."""
    save(WRITERS[writer](str(tmp_path), _extensions=[_extension.ZStandard(), Whole()]))
    registry = registry_of(Keyed)
    if "memory" in writer:
        same(load(reader_of("ours, fsspec", f"memory://{tmp_path}", registry)))
        return
    assert descriptors(tmp_path) == {("stream.keyed@example.org/1.41", "stream.zstd/1")}
    same(load(reader_of("ours", str(tmp_path), registry)))
    same(load(reader_of("ours, fsspec", str(tmp_path), registry)))
    with pytest.raises(stock.CheckpointException):
        load(reader_of("stock", str(tmp_path), registry))


def test_three_of_which_one_does_not_close_the_next(tmp_path):
    """Rot13Example's streams do not close what they write to; zstd behind one has to be finished all
    the same."""
    utils = helpers("libdcp.torch")
    extensions = [_extension.ZStandard(), utils.Rot13Example(), Keyed()]
    save(FileSystemWriter(tmp_path, _extensions=extensions))
    assert descriptors(tmp_path) == {
        ("stream.keyed@example.org/1.41", "stream.rot13/1", "stream.zstd/1")
    }
    same(load(reader_of("ours", tmp_path, registry_of(utils.Rot13Example, Keyed))))


@pytest.mark.parametrize("several", [["zstd", "keyed"], ["keyed", "zstd"]])
def test_several_by_our_calls(several, tmp_path):
    kinds = {"zstd": _extension.ZStandard, "keyed": Keyed}
    for writer in (FileSystemWriter, lambda *a, **o: FsspecWriter(f"dir://x::file://{tmp_path}", **o)):
        extensions = [kinds[name]() for name in several]
        save(writer(tmp_path / "x", _extensions=extensions, thread_count=2), ours)
        assert descriptors(tmp_path / "x") == {
            tuple(extension.get_descriptor() for extension in reversed(extensions))
        }
        same(load(reader_of("ours", tmp_path / "x", registry_of(Keyed)), ours))


def test_one_extension_twice(tmp_path):
    extension = Keyed(3)
    save(FileSystemWriter(tmp_path, _extensions=[extension, extension]))
    same(load(reader_of("ours", tmp_path, registry_of(Keyed))))
    with pytest.raises(ValueError, match="two extensions are named 'stream.keyed@example.org'"):
        to_transforms([Keyed(3), Keyed(4)])


def test_none_of_streams_leaves_the_bytes():
    class Other(stock_extension.Extension):
        registry_name = staticmethod(lambda: "other.thing")
        from_descriptor = staticmethod(lambda version: Other())

        def get_descriptor(self):
            return "other.thing/1"

    (other,) = [t for t in transforms_for(registry_of(Other)) if t.name == "other.thing"]
    stream = other.decoder("1")
    assert bytes(stream.push(memoryview(b"abc"))) == b"abc" and stream.finish() is None


# ---- what goes wrong ----


class Failing(Keyed):
    where = "write"

    @staticmethod
    def registry_name():
        return "stream.failing"

    @staticmethod
    def from_descriptor(version):
        return Failing()

    def transform_to(self, output):
        if Failing.where == "transform_to":
            raise boom
        writer = super().transform_to(output)
        if Failing.where in ("write", "close"):
            setattr(writer, Failing.where, lambda *_: raises(boom))
        return writer

    def transform_from(self, input):
        if Failing.where == "transform_from":
            raise boom
        return super().transform_from(input)


boom = OSError("the key is gone")


def raises(error):
    raise error


@pytest.mark.parametrize("api", [stock, ours])
@pytest.mark.parametrize("where", ["transform_to", "write", "close"])
def test_a_failing_extension_leaves_the_old_checkpoint(api, where, tmp_path):
    save(FileSystemWriter(tmp_path), api)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    Failing.where = where
    with pytest.raises(stock.CheckpointException) as caught:
        save(FileSystemWriter(tmp_path, _extensions=[Failing()]), api)
    assert caught.value.failures[0][0] is boom
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("api", [stock, ours])
def test_a_failing_reader(api, tmp_path):
    Failing.where = ""
    save(FileSystemWriter(tmp_path, _extensions=[Failing()]))
    Failing.where = "transform_from"
    with pytest.raises(stock.CheckpointException) as caught:
        load(reader_of("ours", tmp_path, registry_of(Failing)), api)
    assert caught.value.failures[0][0] is boom
    Failing.where = ""
    same(load(reader_of("ours", tmp_path, registry_of(Failing))))


def test_descriptors_without_a_version():
    class Bare(Keyed):
        def get_descriptor(self):
            return "stream.keyed"

    with pytest.raises(ValueError, match="Bare.*'stream.keyed'.*name/version"):
        to_transform(Bare())


# ---- transforms as extensions ----


class Backwards(libdcp.Transform):
    name = "stream.backwards"
    version = "1"

    class Stream:
        def __init__(self):
            self.parts = []

        def push(self, data):
            self.parts.append(bytes(data))

        def finish(self):
            return b"".join(self.parts)[::-1]

    def encoder(self):
        return self.Stream()

    def decoder(self, version):
        if version.partition(".")[0] != "1":
            raise ValueError(f"version {version}")
        return self.Stream()


class Flipped(libdcp.Transform):
    """Gives what it is given at once."""

    name = "stream.flipped"
    version = "3"

    class Stream:
        def push(self, data):
            return bytes(np.frombuffer(data, np.uint8) ^ 0xFF)

        def finish(self):
            return None

    def encoder(self):
        return self.Stream()

    def decoder(self, version):
        return self.Stream()


@pytest.mark.parametrize("transform", [Backwards, Flipped])
@pytest.mark.parametrize("writer", ["stock", "ours"])
@pytest.mark.parametrize("reader", ["stock", "ours"])
def test_a_transform_as_an_extension(transform, writer, reader, tmp_path):
    extension = to_extension(transform())
    assert isinstance(extension, stock_extension.StreamTransformExtension)
    save(WRITERS[writer](tmp_path, _extensions=[extension]))
    assert descriptors(tmp_path) == {(f"{transform.name}/{transform.version}",)}
    same(load(reader_of(reader, tmp_path, registry_of(type(extension)))))
    assert libdcp.load(tmp_path, transforms=[transform()])["step"] == 11
    assert to_transform(extension) is extension.transform


def test_transforms_are_taken_as_they_are(tmp_path):
    save(FileSystemWriter(tmp_path, _extensions=["stream.zstd", Backwards()]))
    assert descriptors(tmp_path) == {("stream.backwards/1", "stream.zstd/1")}
    registry = registry_of(type(to_extension(Backwards())))
    same(load(reader_of("ours", tmp_path, registry)))


def test_only_transforms_become_extensions():
    with pytest.raises(TypeError, match="libdcp.Transform"):
        to_extension(Keyed())
    with pytest.raises(TypeError, match="reading only"):
        ExtensionTransform("stream.x", "1", None, registry_of()).encoder()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert to_transforms(None) == [] and to_transforms([]) == []
