"""Trains a small model with FSDP2 and AdamW, saves it halfway, and goes on from there the next time,
on any number of ranks.

    torchrun --nproc-per-node 4 fsdp2_resume.py ckpt           # steps 0 to 7, saved after 3
    torchrun --nproc-per-node 3 fsdp2_resume.py ckpt --resume  # steps 4 to 7 once more

The losses of both are the same. Rank 0 prints them, and a digest of all parameters at the end, as
lines of JSON. `--mesh hsdp` keeps replicas of shards, `--mesh tp` splits the layers over pairs of ranks
as well (of an odd number of ranks: over none).
"""

import argparse
import hashlib
import importlib
import json
import os

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)

WIDTH, HIDDEN, LAYERS = 10, 26, 2  # neither is a multiple of three
STEPS, SAVED_AFTER = 8, 3


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = torch.nn.Linear(WIDTH, HIDDEN)
        self.down = torch.nn.Linear(HIDDEN, WIDTH)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values + self.down(torch.tanh(self.up(values)))


def parallel(model: torch.nn.Sequential, kind: str) -> None:
    ranks = dist.get_world_size()
    if kind == "fsdp" or ranks % 2:
        mesh = init_device_mesh("cpu", (ranks,))
    elif kind == "hsdp":
        mesh = init_device_mesh("cpu", (ranks // 2, 2), mesh_dim_names=("replica", "shard"))
    else:
        both = init_device_mesh("cpu", (ranks // 2, 2), mesh_dim_names=("shard", "layer"))
        for layer in model:
            plan = {"up": ColwiseParallel(), "down": RowwiseParallel()}
            parallelize_module(layer, both["layer"], plan)
        mesh = both["shard"]
    for layer in model:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same on all ranks: what the ranks add up then does not depend on how many there are."""
    random = torch.Generator().manual_seed(1000 + step)
    values = torch.randn(6, WIDTH, generator=random)
    return values, torch.roll(values, 1, dims=1) * 0.5


def digest(model: torch.nn.Module) -> str:
    whole = hashlib.sha256()
    for parameter in model.parameters():
        tensor = parameter.detach()
        tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        whole.update(tensor.contiguous().numpy().tobytes())
    return whole.hexdigest()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("folder")
    options.add_argument("--mesh", choices=("fsdp", "hsdp", "tp"), default="fsdp")
    options.add_argument("--resume", action="store_true")
    options.add_argument("--background", action="store_true", help="save by async_save")
    options.add_argument(
        "--library", default="libdcp.torch", help="or torch.distributed.checkpoint, to compare"
    )
    args = options.parse_args()
    dcp = importlib.import_module(args.library)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    dist.init_process_group("gloo")

    def tell(**what: object) -> None:
        if dist.get_rank() == 0:
            print(json.dumps(what), flush=True)

    torch.manual_seed(7 if not args.resume else 99)  # what is loaded replaces it
    model = torch.nn.Sequential(*(Layer() for _ in range(LAYERS)))
    parallel(model, args.mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def state() -> dict:
        parameters, moments = get_state_dict(model, optimizer)
        return {"model": parameters, "optimizer": moments, "step": 0}

    checkpoint = os.path.join(args.folder, "step")
    begin, saved = 0, None
    if args.resume:
        loaded = state()
        dcp.load(loaded, checkpoint_id=checkpoint)
        set_state_dict(
            model,
            optimizer,
            model_state_dict=loaded["model"],
            optim_state_dict=loaded["optimizer"],
        )
        begin = loaded["step"] + 1
        tell(loaded=digest(model), step=begin)

    for step in range(begin, STEPS):
        values, wanted = batch(step)
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(values), wanted)
        loss.backward()
        optimizer.step()
        tell(step=step, loss=loss.item().hex())
        if step == SAVED_AFTER and not args.resume:
            tell(saved=digest(model), step=step)
            now = {**state(), "step": step}
            if args.background:
                saved = dcp.async_save(now, checkpoint_id=checkpoint)
            else:
                dcp.save(now, checkpoint_id=checkpoint)
    if saved is not None:
        saved.result()
    tell(final=digest(model))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
