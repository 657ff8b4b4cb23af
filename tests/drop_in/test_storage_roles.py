"""Our storage roles, called by stock's save and load: every direction, bit for bit."""

import os
import pathlib
import pickle
import warnings

import pytest

torch = pytest.importorskip("torch")
import torch.distributed.checkpoint as dcp  # noqa: E402
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta  # noqa: E402

import libdcp  # noqa: E402
from libdcp.torch._engine import metadata as metadata_files  # noqa: E402
from libdcp.torch._engine.files import LocalFiles, data_file, rank_metadata  # noqa: E402
from libdcp.torch._engine.storage_roles import is_local_path  # noqa: E402
from user_planners import BASES, Reader, Writer, failing, halving, own_bytes, own_bytes_load, quiet_halving  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

STATE = {
    "m": {
        "w": torch.arange(24.0).reshape(4, 6) / 7,
        "turned": torch.arange(6.0).reshape(2, 3).t(),
        "holes": torch.arange(20)[::3],
        "half": torch.arange(10, dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "none": torch.empty(0, 3),
        "complex": torch.tensor([1 + 2j, 3 - 1j]).conj(),
        "f8": torch.arange(6).to(torch.float8_e4m3fn),
        "grad": torch.nn.Parameter(torch.full((3,), 0.25)),
    },
    "list": [torch.ones(2), {"deep": torch.zeros(1) - 3}],
    "step": 7,
    "obj": {"a": (1, "two"), "b": None},
}


def template(node=STATE):
    if isinstance(node, torch.Tensor):
        return torch.zeros_like(node.detach())
    if isinstance(node, dict):
        return {key: template(value) for key, value in node.items()}
    if isinstance(node, list):
        return [template(value) for value in node]
    return None


def same(a, b):
    if isinstance(a, torch.Tensor):
        a, b = a.detach().resolve_conj(), b.detach().resolve_conj()
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits(a), bits(b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


OPTIONS = [{}, {"files": 3}, {"file_per_item": True}, {"durable": False}, {"transforms": ["stream.zstd"]}]


def zstd_of(options):
    return "transforms" in options


@pytest.mark.parametrize("planners", BASES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_ours_in_stocks_save_and_load(tmp_path, options, planners):
    where = tmp_path / "c"
    save_planner, load_planner = BASES[planners]
    metadata = dcp.save(STATE, storage_writer=Writer(where, **options), planner=save_planner(), no_dist=True)
    assert metadata.version == "1.0.0" and metadata.storage_meta.checkpoint_id == where
    target = template()
    dcp.load(target, storage_reader=Reader(where), planner=load_planner(), no_dist=True)
    assert same(STATE, target)
    if not zstd_of(options):
        target = template()
        dcp.load(target, checkpoint_id=str(where), no_dist=True)
        assert same(STATE, target)
    report = libdcp.verify(where)
    assert report.ok and report.unchecked == 0 and report.items == 15
    data = sorted(path.name for path in where.iterdir() if path.name != ".metadata")
    if options.get("file_per_item"):
        assert data == sorted(f"__0_{n}.distcp" for n in range(15))
    else:
        assert data == [f"__0_{n}.distcp" for n in range(options.get("files", 1))]
    with libdcp.open(where) as checkpoint:
        assert checkpoint.checksummed and checkpoint.save_id == metadata.storage_meta.save_id


def test_what_stock_wrote_is_read(tmp_path):
    dcp.save(STATE, checkpoint_id=str(tmp_path / "c"), no_dist=True)
    target = template()
    dcp.load(target, storage_reader=Reader(tmp_path / "c"), no_dist=True)
    assert same(STATE, target)


def test_into_other_dtypes_and_layouts(tmp_path):
    """Casts as stock's copy_, places that are no plain memory, and part of a checkpoint."""
    dcp.save(STATE, storage_writer=Writer(tmp_path / "c"), no_dist=True)

    def targets():
        return {
            "m": {
                "w": torch.zeros(6, 4, dtype=torch.float64).t(),
                "half": torch.zeros(10, dtype=torch.float32),
                "scalar": torch.zeros((), dtype=torch.bfloat16),
                "complex": torch.zeros(2, dtype=torch.complex64).conj(),
                "holes": torch.zeros(14, dtype=torch.int16)[::2],
            }
        }

    ours, stock = targets(), targets()
    dcp.load(ours, storage_reader=Reader(tmp_path / "c"), no_dist=True)
    dcp.load(stock, checkpoint_id=str(tmp_path / "c"), no_dist=True)
    assert same(stock, ours)
    assert ours["m"]["complex"].is_conj() and torch.equal(ours["m"]["complex"], STATE["m"]["complex"])


@pytest.mark.parametrize("planners", BASES)
@pytest.mark.parametrize("plans", [halving, quiet_halving])
def test_another_dtype_than_the_state_has(tmp_path, plans, planners):
    """Also where the plan does not say so: the file then holds what was resolved."""
    base, _ = BASES[planners]
    dcp.save(STATE, storage_writer=Writer(tmp_path / "ours"), planner=plans(base)(), no_dist=True)
    dcp.save(STATE, storage_writer=dcp.FileSystemWriter(tmp_path / "stock"), planner=plans(base)(), no_dist=True)
    loaded = {}
    for name in ("ours", "stock"):
        for reader in (Reader, dcp.FileSystemReader):
            target = loaded[name, reader] = template()
            dcp.load(target, storage_reader=reader(tmp_path / name), no_dist=True)
    first = loaded["stock", dcp.FileSystemReader]
    assert torch.equal(first["m"]["w"], STATE["m"]["w"].to(torch.bfloat16).float())
    assert not torch.equal(first["m"]["w"], STATE["m"]["w"])
    assert all(same(first, target) for target in loaded.values())


@pytest.mark.parametrize("planners", BASES)
def test_objects_in_a_form_of_the_planners_own(tmp_path, planners):
    save_planner, load_planner = BASES[planners]
    for writer in (Writer(tmp_path / "a"), dcp.FileSystemWriter(tmp_path / "b")):
        dcp.save(STATE, storage_writer=writer, planner=own_bytes(save_planner)(), no_dist=True)
    for where in ("a", "b"):
        for reader in (Reader, dcp.FileSystemReader):
            target = template()
            planner = own_bytes_load(load_planner)()
            dcp.load(target, storage_reader=reader(tmp_path / where), planner=planner, no_dist=True)
            assert same(STATE, target)


def test_tensors_that_only_torch_can_write(tmp_path):
    quantized = torch.quantize_per_tensor(torch.arange(4.0), 0.5, 1, torch.quint8)

    class Quantizing(dcp.DefaultSavePlanner):
        def transform_object(self, write_item, object):
            value = super().transform_object(write_item, object)
            return quantized if write_item.index.fqn == "q" else value

    dcp.save({"q": torch.arange(4.0), "p": torch.ones(2)}, storage_writer=Writer(tmp_path / "c"),
             planner=Quantizing(), no_dist=True)
    for reader in (Reader, dcp.FileSystemReader):
        target = {"q": torch.quantize_per_tensor(torch.zeros(4), 0.5, 1, torch.quint8), "p": torch.zeros(2)}
        dcp.load(target, storage_reader=reader(tmp_path / "c"), no_dist=True)
        assert target["q"].dequantize().tolist() == [0.0, 1.0, 2.0, 3.0]
        assert target["p"].tolist() == [1.0, 1.0]


# ---- the folder ----


def test_an_older_checkpoint_stays_until_the_commit(tmp_path):
    where = tmp_path / "c"
    dcp.save(STATE, storage_writer=Writer(where), no_dist=True)
    before = {path.name: path.read_bytes() for path in where.iterdir()}
    boom = ValueError("boom")
    for planner, writer in (
        (failing(dcp.DefaultSavePlanner, "resolve_data", boom)(), Writer(where)),
        (failing(dcp.DefaultSavePlanner, "finish_plan", boom)(), Writer(where)),
        (dcp.DefaultSavePlanner(), Writer(where, transforms=["no such"])),
    ):
        with pytest.raises(dcp.CheckpointException) as caught:
            dcp.save({"other": torch.ones(3)}, storage_writer=writer, planner=planner, no_dist=True)
        assert caught.value.failures[0][0] is boom or "no such" in str(caught.value.failures[0][0])
        assert {path.name: path.read_bytes() for path in where.iterdir()} == before
    seen = []

    class Looking(Writer):
        def finish(self, metadata, results):
            seen.append({name: (where / name).read_bytes() for name in before})
            super().finish(metadata, results)

    dcp.save({"other": torch.ones(3)}, storage_writer=Looking(where), no_dist=True)
    assert seen == [before]
    assert sorted(path.name for path in where.iterdir()) == [".metadata", "__0_0.g1.distcp"]


def test_stocks_rule_for_a_checkpoint_that_is_there(tmp_path):
    where = tmp_path / "c"
    dcp.save(STATE, storage_writer=Writer(where), no_dist=True)
    with pytest.raises(dcp.CheckpointException) as caught:
        dcp.save(STATE, storage_writer=Writer(where, overwrite=False), no_dist=True)
    error = caught.value.failures[0][0]
    assert type(error) is RuntimeError and str(error) == "Checkpoint already exists and self.overwrite=False."
    with pytest.warns(UserWarning, match="Detected an existing checkpoint"):
        dcp.save(STATE, storage_writer=Writer(where), no_dist=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        writer = Writer(tmp_path / "new", overwrite=False)
        writer.set_up_storage_writer(True)
        writer.prepare_local_plan(dcp.planner.SavePlan([]))


def test_without_collectives(tmp_path):
    where = tmp_path / "c"
    dcp.save(STATE, storage_writer=Writer(where), no_dist=True)
    dcp.save({"a": torch.ones(2)}, storage_writer=Writer(where), no_dist=True, use_collectives=False)
    assert sorted(path.name for path in where.iterdir()) == ["__0.metadata", "__0_0.g1.distcp"]
    for reader in (Reader, dcp.FileSystemReader):
        target = {"a": torch.zeros(2)}
        dcp.load(target, storage_reader=reader(where), no_dist=True)
        assert target["a"].tolist() == [1.0, 1.0]


def test_in_a_storage_of_the_hosts(tmp_path):
    files = LocalFiles(tmp_path / "c")

    class Elsewhere(libdcp.Storage):
        """The same, but not known to be a folder of this machine."""

        def __getattribute__(self, name):
            return object.__getattribute__(files, name) if name in vars(libdcp.Storage) else super().__getattribute__(name)

    class StorageWriter(Writer):
        def _where(self):
            return storage

    class StorageReader(Reader):
        def _where(self):
            return storage

    storage = Elsewhere()
    for options in OPTIONS:
        dcp.save(STATE, storage_writer=StorageWriter("here", **options), no_dist=True)
        target = template()
        dcp.load(target, storage_reader=StorageReader("here"), no_dist=True)
        assert same(STATE, target) and libdcp.verify(storage).ok
    boom = ValueError("boom")
    before = sorted(os.listdir(tmp_path / "c"))
    planner = failing(dcp.DefaultSavePlanner, "lookup_object", boom)()
    with pytest.raises(dcp.CheckpointException) as caught:
        dcp.save(STATE, storage_writer=StorageWriter("here"), planner=planner, no_dist=True)
    assert caught.value.failures[0][0] is boom and sorted(os.listdir(tmp_path / "c")) == before


def test_damage_is_found(tmp_path):
    dcp.save(STATE, storage_writer=Writer(tmp_path / "c"), no_dist=True)
    file = tmp_path / "c" / "__0_0.distcp"
    data = bytearray(file.read_bytes())
    at = bytes(data).index(bytes(bits(STATE["m"]["w"]).tolist()))
    data[at] ^= 1
    file.write_bytes(data)
    with pytest.raises(dcp.CheckpointException) as caught:
        dcp.load(template(), storage_reader=Reader(tmp_path / "c"), no_dist=True)
    assert isinstance(caught.value.failures[0][0], libdcp.CorruptError)


def test_sizes_that_do_not_fit(tmp_path):
    dcp.save({"a": torch.ones(3)}, storage_writer=Writer(tmp_path / "c"), no_dist=True)

    class Wrong(dcp.DefaultLoadPlanner):
        def resolve_tensor(self, read_item):
            return torch.zeros(4)

    with pytest.raises(dcp.CheckpointException) as caught:
        dcp.load({"a": torch.zeros(3)}, storage_reader=Reader(tmp_path / "c"), planner=Wrong(), no_dist=True)
    assert isinstance(caught.value.failures[0][0], AssertionError)
    assert "mismatch sizes torch.Size([4]) vs torch.Size([3])" in str(caught.value.failures[0][0])


def test_which_paths_are_local(tmp_path):
    assert is_local_path(pathlib.Path("/no/such")) and is_local_path(str(tmp_path / "new" / "er"))
    for checkpoint_id in ("s3://bucket/x", "memory://x", "file:///tmp/x", str(tmp_path), "/proc/1/x"):
        assert is_local_path(checkpoint_id) == dcp.FileSystemWriter.validate_checkpoint_id(checkpoint_id)
    assert data_file("__3_14.g2.distcp") == (3, 14, 2) and data_file("__3_14.distcp") == (3, 14, 0)
    for name in ("__03_1.distcp", "__1_2.g0.distcp", "__1_2.distcp.tmp", "1_2.distcp", "__٣_1.distcp"):
        assert data_file(name) is None
    assert rank_metadata("__12.metadata") == 12 and rank_metadata(".metadata") is None


# ---- metadata ----


def test_metadata_there_and_back(tmp_path):
    metadata = dcp.save(STATE, storage_writer=Writer(tmp_path / "c"), no_dist=True)
    data = (tmp_path / "c" / ".metadata").read_bytes()
    read, by_pickle = metadata_files.decode(data), pickle.loads(data)
    assert read.storage_meta.checkpoint_id == str(tmp_path / "c")
    for found in (read, by_pickle):
        assert list(found.state_dict_metadata) == list(metadata.state_dict_metadata)
        assert found.planner_data == metadata.planner_data and found.version == "1.0.0"
        assert {k: vars(v) for k, v in found.storage_data.items()} == {
            k: {a: b for a, b in vars(v).items() if b is not None} for k, v in metadata.storage_data.items()}
    engine = metadata_files.to_engine(read)
    assert engine["m.w"].shape == (4, 6) and engine["m.w"].chunks[0].file == "__0_0.distcp"
    again = metadata_files.from_engine(engine)
    assert again.state_dict_metadata["m.w"] == read.state_dict_metadata["m.w"]
    kinds = {type(info) for info in read.storage_data.values()}
    assert kinds == {dcp.filesystem._StorageInfo}


def test_metadata_of_stock(tmp_path):
    metadata = dcp.save(STATE, checkpoint_id=str(tmp_path / "c"), no_dist=True)
    read = metadata_files.decode((tmp_path / "c" / ".metadata").read_bytes())
    assert read == metadata
    assert "_libdcp" not in vars(read)


def test_metadata_that_is_damaged_or_names_code(tmp_path):
    dcp.save(STATE, storage_writer=Writer(tmp_path / "c"), no_dist=True)
    data = (tmp_path / "c" / ".metadata").read_bytes()
    for at in (30, len(data) // 2, len(data) - 40):
        with pytest.raises(libdcp.CorruptError, match="checksum"):
            metadata_files.decode(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    with pytest.raises(libdcp.CorruptError):
        metadata_files.decode(data[:100])
    with pytest.raises(libdcp.CorruptError, match="holds a dict"):
        metadata_files.decode(pickle.dumps({}))
    ran = tmp_path / "ran"
    for evil in (Runs(ran), Runs(ran, "posix"), Metadata({}, planner_data=Runs(ran)), Metadata({"a": Runs(ran)})):
        with pytest.raises(libdcp.UnsupportedError, match="add_safe_globals"):
            metadata_files.decode(pickle.dumps(evil))
    assert not ran.exists()


class Runs:
    def __init__(self, path, module=None):
        self.call = (pathlib.Path.touch, (path,)) if module is None else (os.mkdir, (str(path),))

    def __reduce__(self):
        return self.call


class Note:
    def __init__(self, text):
        self.text = text


def test_planner_data_of_a_class_that_was_allowed(monkeypatch):
    data = metadata_files.encode(Metadata({}, planner_data=Note("x"), storage_meta=StorageMeta("id")))
    with pytest.raises(libdcp.UnsupportedError, match="Note"):
        metadata_files.decode(data)
    with torch.serialization.safe_globals([Note]):
        read = metadata_files.decode(data)
    assert read.planner_data.text == "x" and read.storage_meta.checkpoint_id == "id"
    monkeypatch.setenv("LIBDCP_ALLOW_OBJECTS", "1")
    assert metadata_files.decode(data).planner_data.text == "x"
