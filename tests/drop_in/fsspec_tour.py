"""fsspec and stream extensions, in one process: fsspec_tour.py <folder>"""

import sys
import warnings

import torch

import libdcp.torch as dcp
from libdcp.torch._extension import ExtensionRegistry, StreamTransformExtension, ZStandard
from libdcp.torch._fsspec_filesystem import FileSystem, FsspecReader, FsspecWriter

warnings.simplefilter("ignore")


def main(folder):
    import stock_helpers

    utils = stock_helpers.helpers("libdcp.torch")
    assert issubclass(utils.Rot13Example, StreamTransformExtension)
    registry = ExtensionRegistry()
    registry.register(utils.Rot13Example)
    for url in ("memory://runs/step", folder, f"dir://step::file://{folder}"):
        for extensions in ([], [ZStandard()], [ZStandard(), utils.Rot13Example()]):
            tensor = torch.randn(300, 5)
            state = {"w": tensor, "nest": {"step": len(extensions)}}
            dcp.save(state, storage_writer=FsspecWriter(url, _extensions=extensions, thread_count=2))
            dcp.async_save(state, storage_writer=FsspecWriter(url, _extensions=extensions)).result()
            got = {"w": torch.zeros(300, 5), "nest": {"step": None}}
            dcp.load(got, storage_reader=FsspecReader(url, _extension_registry=registry))
            assert torch.equal(got["w"], tensor) and got["nest"]["step"] == len(extensions)
        fs = FileSystem()
        path = fs.concat_path(fs.init_path(url), "file")
        try:
            with fs.create_stream(path, "w"):
                raise OSError
        except OSError:
            assert not fs.exists(path)
    dcp.save({"w": tensor}, checkpoint_id="memory://runs/2")
    dcp.load({"w": tensor}, checkpoint_id="memory://runs/2")
    print("the tour is over")


if __name__ == "__main__":
    main(sys.argv[1])
