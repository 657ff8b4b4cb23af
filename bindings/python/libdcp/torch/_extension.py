"""torch.distributed.checkpoint._extension: extensions of the format, and zstd."""

from __future__ import annotations

from typing import IO

from torch.distributed.checkpoint import _extension as stock
from torch.distributed.checkpoint._extension import (
    Extension,
    StreamTransformExtension,
    pyzstd,
    pyzstd_module_name,
    zstandard,
    zstandard_module_name,
)

from .. import build_info

__all__ = [
    "Extension",
    "StreamTransformExtension",
    "ZStandard",
    "ExtensionRegistry",
]


def _engine_has_zstd() -> bool:
    lines = dict(line.split(": ", 1) for line in build_info().splitlines())
    return lines.get("zstd", "off")[:1].isdigit()


class ZStandard(stock.ZStandard):
    """zstd. libdcp's own writers and readers use what is built in, and need no module for it; torch's
    need zstandard or pyzstd, as ever."""

    @staticmethod
    def is_available() -> bool:
        return _engine_has_zstd() or stock.ZStandard.is_available()

    @staticmethod
    def from_descriptor(version: str) -> ZStandard:
        if version.partition(".")[0] != "1":
            raise ValueError(f"Unknown extension {version=}")
        return ZStandard()

    def __init__(self) -> None:
        if not self.is_available():
            raise ValueError(f"ZStandard extension is unavailable: {_missing()}")

    def transform_to(self, output: IO[bytes]) -> IO[bytes]:
        self._check_modules()
        return super().transform_to(output)

    def transform_from(self, input: IO[bytes]) -> IO[bytes]:
        self._check_modules()
        return super().transform_from(input)

    def _check_modules(self) -> None:
        if not stock.ZStandard.is_available():
            raise ValueError(f"a stream that libdcp does not write or read itself: {_missing()}")


def _missing() -> str:
    return f"no module named '{zstandard_module_name}' or '{pyzstd_module_name}'"


class ExtensionRegistry(stock.ExtensionRegistry):
    """Extensions by name, for reading. Starts with ZStandard."""

    def __init__(self) -> None:
        super().__init__()
        self.register(ZStandard)
