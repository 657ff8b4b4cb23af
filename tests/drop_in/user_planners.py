"""Planners and storages as users write them, over stock's default planners and over ours."""

import dataclasses
import io
import pathlib
import pickle

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.planner import WriteItemType
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

import libdcp.torch.default_planner as ours
from libdcp.torch._engine.storage_roles import EngineStorageReader, EngineStorageWriter

BASES = {
    "stock": (dcp.DefaultSavePlanner, dcp.DefaultLoadPlanner),
    "ours": (ours.DefaultSavePlanner, ours.DefaultLoadPlanner),
}


class Writer(EngineStorageWriter):
    """The least that a class of ours says."""

    def __init__(self, path, overwrite=True, **options):
        super().__init__()
        self.path = path
        self.overwrite = overwrite
        self.options = options

    def _save_options(self):
        return self.options


class Reader(EngineStorageReader):
    def __init__(self, path, **options):
        super().__init__()
        self.path = path
        self.options = options

    def _load_options(self):
        return self.options


def renaming(base):
    class Renaming(base):
        """Every key with "ema." before it."""

        def set_up_planner(self, state_dict, storage_meta=None, is_coordinator=False):
            renamed = {f"ema.{key}": value for key, value in state_dict.items()}
            super().set_up_planner(renamed, storage_meta, is_coordinator)

    return Renaming


def renaming_load(base):
    class RenamingLoad(base):
        """Loads a checkpoint of Renaming into the old keys."""

        def set_up_planner(self, state_dict, metadata=None, is_coordinator=False):
            self.users = state_dict
            self.inner = {f"ema.{key}": value for key, value in state_dict.items()}
            super().set_up_planner(self.inner, metadata, is_coordinator)

        def load_bytes(self, read_item, value):
            super().load_bytes(read_item, value)
            for key in self.users:
                self.users[key] = self.inner[f"ema.{key}"]

    return RenamingLoad


def halving(base):
    class Halving(base):
        """Plans and writes bfloat16 for float32: the metadata say what is written."""

        def create_local_plan(self):
            plan = super().create_local_plan()
            return dataclasses.replace(plan, items=[self._half(item) for item in plan.items])

        @staticmethod
        def _half(item):
            data = item.tensor_data
            if data is None or data.properties.dtype != torch.float32:
                return item
            properties = dataclasses.replace(data.properties, dtype=torch.bfloat16)
            return dataclasses.replace(item, tensor_data=dataclasses.replace(data, properties=properties))

        def transform_object(self, write_item, object):
            value = super().transform_object(write_item, object)
            is_float = isinstance(value, torch.Tensor) and value.dtype == torch.float32
            return value.to(torch.bfloat16) if is_float else value

    return Halving


def quiet_halving(base):
    class QuietHalving(halving(base)):
        """The same, but the plan and the metadata still say float32: upstream does not look."""

        def create_local_plan(self):
            return base.create_local_plan(self)

    return QuietHalving


def dropping(base):
    class Dropping(base):
        """Leaves out what is below "obj", in the local plan, and its path."""

        def create_local_plan(self):
            plan = super().create_local_plan()
            kept = [item for item in plan.items if not item.index.fqn.startswith("obj")]
            return dataclasses.replace(plan, items=kept)

    return Dropping


def own_bytes(base):
    class OwnBytes(base):
        """Objects as a pickle of its own, which is no torch.save."""

        def transform_object(self, write_item, object):
            if write_item.type == WriteItemType.BYTE_IO:
                return io.BytesIO(b"own:" + pickle.dumps(object))
            return super().transform_object(write_item, object)

    return OwnBytes


def own_bytes_load(base):
    class OwnBytesLoad(base):
        def load_bytes(self, read_item, value):
            data = value.read()
            assert data[:4] == b"own:", data[:20]
            stored = io.BytesIO()
            torch.save(pickle.loads(data[4:]), stored)
            stored.seek(0)
            super().load_bytes(read_item, stored)

    return OwnBytesLoad


def telling(base):
    class Telling(base):
        """planner_data of its own class of thing, from every rank, in the metadata."""

        def create_global_plan(self, all_plans):
            plans, metadata = super().create_global_plan(all_plans)
            told = {"paths": metadata.planner_data, "ranks": len(all_plans), "note": (1.5, None)}
            return plans, dataclasses.replace(metadata, planner_data=told)

    return Telling


class OldPlanner(dcp.SavePlanner):
    """From before set_up_planner had storage_meta, on the abstract base alone."""

    def set_up_planner(self, state_dict, is_coordinator):
        self.state = state_dict
        self.is_coordinator = is_coordinator

    def create_local_plan(self):
        items = [
            item
            for key, value in self.state.items()
            for item in ours.create_default_local_save_plan({key: value}, self.is_coordinator).items
        ]
        return dcp.planner.SavePlan(items)

    def create_global_plan(self, all_plans):
        return ours.create_default_global_save_plan(all_plans)

    def finish_plan(self, new_plan):
        return new_plan

    def resolve_data(self, write_item):
        value = self.state[write_item.index.fqn]
        if write_item.type != WriteItemType.BYTE_IO:
            return value
        stored = io.BytesIO()
        torch.save(value, stored)
        return stored


class CommittingLoad(dcp.DefaultLoadPlanner):
    """Reads into memory of its own and copies when committed, doubled."""

    def resolve_tensor(self, read_item):
        return torch.empty_like(super().resolve_tensor(read_item))

    def commit_tensor(self, read_item, tensor):
        super().resolve_tensor(read_item).copy_(2 * tensor)


class ToyWriter(dcp.StorageWriter):
    """One pickle an item, by name and offset; the older form of the roles, without keywords."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def reset(self, checkpoint_id=None):
        pass

    def set_up_storage_writer(self, is_coordinator):
        self.folder.mkdir(parents=True, exist_ok=True)

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        return [dataclasses.replace(plan, storage_data=f"r{rank}") for rank, plan in enumerate(plans)]

    def write_data(self, plan, planner):
        results = []
        for number, item in enumerate(plan.items):
            name = f"{plan.storage_data}.{number}"
            data = planner.resolve_data(item)
            torch.save(data.getvalue() if isinstance(data, io.BytesIO) else data.clone(), self.folder / name)
            results.append(WriteResult(item.index, 0, name))
        future = Future()
        future.set_result(results)
        return future

    def finish(self, metadata, results):
        metadata.storage_data = {result.index: result.storage_data for part in results for result in part}
        (self.folder / "index").write_bytes(pickle.dumps(metadata))

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return True


class ToyReader(dcp.StorageReader):
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def reset(self, checkpoint_id=None):
        pass

    def read_metadata(self):
        return pickle.loads((self.folder / "index").read_bytes())

    def set_up_storage_reader(self, metadata, is_coordinator):
        self.places = metadata.storage_data

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        return plans

    def read_data(self, plan, planner):
        for item in plan.items:
            stored = torch.load(self.folder / self.places[item.storage_index])
            if isinstance(stored, bytes):
                planner.load_bytes(item, io.BytesIO(stored))
                continue
            box = tuple(slice(a, a + n) for a, n in zip(item.storage_offsets, item.lengths))
            target = planner.resolve_tensor(item)
            target.copy_(stored[box])
            planner.commit_tensor(item, target)
        future = Future()
        future.set_result(None)
        return future

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return True


def failing(cls, method, error):
    """A class whose method raises this very exception."""

    def fail(self, *arguments, **named):
        raise error

    return type(f"Failing{cls.__name__}", (cls,), {method: fail})
