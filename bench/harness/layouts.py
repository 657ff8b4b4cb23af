"""Which tensors a benchmark saves. A layout is a file that bench/driver/state.h reads, too."""

from __future__ import annotations

import dataclasses
import math
import pathlib

ITEM_SIZES = {"float32": 4, "bfloat16": 2}


@dataclasses.dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * ITEM_SIZES[self.dtype]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Tensors in order: the place of one is the seed of its payload."""

    name: str
    tensors: tuple[Tensor, ...]
    path: pathlib.Path

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(
            "".join(
                f"{tensor.name}\t{tensor.dtype}\t{','.join(map(str, tensor.shape))}\n"
                for tensor in self.tensors
            )
        )


def read(path: str | pathlib.Path) -> Layout:
    path = pathlib.Path(path)
    tensors = []
    for line in path.read_text().splitlines():
        name, dtype, shape = line.split("\t")
        sizes = tuple(int(size) for size in shape.split(",") if size)
        tensors.append(Tensor(name, dtype, sizes))
    return Layout(path.stem, tuple(tensors), path)


def llama(nbytes: int) -> list[Tensor]:
    """About `nbytes` of training state with the shapes of Llama 3 8B: for each parameter a bfloat16
    weight, and float32 master weight, exp_avg and exp_avg_sq. As many layers as fit, and rows of
    the embedding for the rest. The width is halved until a layer fits."""
    bytes_an_element = 2 + 3 * 4
    shrink = 1
    while True:
        width, keys, inner = 4096 // shrink, 1024 // shrink, 14336 // shrink
        layer: dict[str, tuple[int, ...]] = {
            "self_attn.q_proj.weight": (width, width),
            "self_attn.k_proj.weight": (keys, width),
            "self_attn.v_proj.weight": (keys, width),
            "self_attn.o_proj.weight": (width, width),
            "mlp.gate_proj.weight": (inner, width),
            "mlp.up_proj.weight": (inner, width),
            "mlp.down_proj.weight": (width, inner),
            "input_layernorm.weight": (width,),
            "post_attention_layernorm.weight": (width,),
        }
        layer_bytes = sum(map(math.prod, layer.values())) * bytes_an_element
        layers = nbytes // layer_bytes
        if layers or shrink == 256:
            break
        shrink *= 2
    rows = max((nbytes - layers * layer_bytes) // (width * bytes_an_element), 1)
    parameters: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (rows, width)}
    for i in range(layers):
        parameters |= {f"model.layers.{i}.{name}": shape for name, shape in layer.items()}
    tensors = []
    for name, shape in parameters.items():
        tensors.append(Tensor(name, "bfloat16", shape))
        for part in ("master", "exp_avg", "exp_avg_sq"):
            tensors.append(Tensor(f"optimizer.state.{name}.{part}", "float32", shape))
    return tensors


def many(count: int, tensor_bytes: int) -> list[Tensor]:
    """`count` small tensors, named as the experts of a large model."""
    return [
        Tensor(f"model.layers.{i // 512}.experts.{i % 512}.weight", "float32", (tensor_bytes // 4,))
        for i in range(count)
    ]


def many_matrices(count: int, tensor_bytes: int, ranks: int) -> list[Tensor]:
    """As many(), of matrices whose rows and columns divide by `ranks`."""
    rows = ranks
    while rows * rows * 4 < tensor_bytes:
        rows *= 2
    columns = max(tensor_bytes // (4 * rows * ranks), 1) * ranks
    return [
        dataclasses.replace(tensor, shape=(rows, columns)) for tensor in many(count, tensor_bytes)
    ]


MATRICES, MATRIX_COLUMNS = 200, 1024


def matrices(nbytes: int, ranks: int) -> list[Tensor]:
    """About `nbytes` in MATRICES float32 matrices whose rows and columns divide by `ranks`."""
    rows = max(nbytes // (4 * MATRICES * MATRIX_COLUMNS * ranks), 1) * ranks
    return [
        Tensor(f"model.layers.{i // 10}.part_{i % 10}.weight", "float32", (rows, MATRIX_COLUMNS))
        for i in range(MATRICES)
    ]


SLICE_PARTS = 1000


def one_large(nbytes: int) -> list[Tensor]:
    """One matrix of about `nbytes` whose rows divide by SLICE_PARTS."""
    rows = 8 * SLICE_PARTS
    columns = max(nbytes // (4 * rows), 1)
    return [Tensor("model.embed_tokens.weight", "float32", (rows, columns))]
