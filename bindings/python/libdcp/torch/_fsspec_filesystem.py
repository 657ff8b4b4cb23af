"""torch.distributed.checkpoint._fsspec_filesystem: the older name of fsspec_filesystem."""

import warnings

from .fsspec_filesystem import FsspecReader, FsspecWriter, _FileSystem

__all__ = ["FsspecWriter", "FsspecReader"]

FileSystem = _FileSystem

warnings.warn(
    "libdcp.torch._fsspec_filesystem is deprecated, as torch.distributed.checkpoint._fsspec_filesystem "
    "is: use libdcp.torch.fsspec_filesystem",
    DeprecationWarning,
    stacklevel=2,
)
