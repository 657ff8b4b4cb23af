"""Stock DCP with many ranks in one process: its own planners, writers and readers, one for each rank, in the
order in which torch.distributed.checkpoint.save and load call them."""

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex, TensorProperties
from torch.distributed.checkpoint.planner import TensorWriteData, WriteItem, WriteItemType


class Shards(torch.Tensor):
    """A rank's pieces of a larger tensor, by the protocol through which DTensor takes part."""

    @staticmethod
    def __new__(cls, shape, pieces, dtype):
        return torch.Tensor._make_subclass(cls, torch.empty(0, dtype=dtype))

    def __init__(self, shape, pieces, dtype):
        self.global_size = torch.Size(shape)
        self.pieces = {torch.Size(offsets): tensor for offsets, tensor in pieces}

    def size(self):
        return self.global_size

    def __create_write_items__(self, fqn, _):
        return [
            WriteItem(index=MetadataIndex(fqn, offsets), type=WriteItemType.SHARD,
                      tensor_data=TensorWriteData(chunk=ChunkStorageMetadata(offsets=offsets, sizes=tensor.size()),
                                                  properties=TensorProperties.create_from_tensor(tensor),
                                                  size=self.global_size))
            for offsets, tensor in self.pieces.items()
        ]

    def __create_chunk_list__(self):
        return [ChunkStorageMetadata(offsets=offsets, sizes=tensor.size()) for offsets, tensor in self.pieces.items()]

    def __get_tensor_shard__(self, index):
        return self.pieces[index.offset]


def save(states, where, *, coordinator=0, **writer_options):
    """`states`: one a rank."""
    planners = [dcp.DefaultSavePlanner() for _ in states]
    writers = [dcp.FileSystemWriter(str(where), sync_files=False, **writer_options) for _ in states]
    plans = []
    for rank, (state, planner, writer) in enumerate(zip(states, planners, writers)):
        planner.set_up_planner(state, writer.storage_meta(), rank == coordinator)
        writer.set_up_storage_writer(rank == coordinator, rank=rank, use_collectives=True)
        plans.append(writer.prepare_local_plan(planner.create_local_plan()))
    plans, metadata = planners[coordinator].create_global_plan(plans)
    plans = writers[coordinator].prepare_global_plan(plans)
    results = [writer.write_data(planner.finish_plan(plan), planner).value()
               for plan, planner, writer in zip(plans, planners, writers)]
    writers[coordinator].finish(metadata, results)


def load(states, where):
    """Into the tensors of `states`. Stock plans loads on each rank by itself."""
    for state in states:
        dcp.load(state, checkpoint_id=str(where), no_dist=True)
