"""Stream extensions of torch as transforms of the engine, and the other way round."""

from __future__ import annotations

import io
from typing import IO, Any, Iterable, Union, cast

from torch.distributed.checkpoint import _extension as stock
from torch.distributed.checkpoint._extension import StreamTransformExtension

from ..._transform import Transform, TransformLike
from .._extension import ZStandard, _engine_has_zstd

# What _extensions= takes: torch's extensions, and what libdcp.save takes as transforms.
ExtensionLike = Union[StreamTransformExtension, TransformLike]

ZSTD = "stream.zstd"  # built into the engine, unless it was built without


def split_descriptor(descriptor: str) -> tuple[str, str]:
    """"name[@domain]/version" to (name, version), "" for none."""
    name, _, version = descriptor.partition("/")
    return name, version


# ---- an extension as a transform ----


class _Collector(io.RawIOBase):
    """Where an extension writes to: what it has given is taken from here."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)  # it may write into that memory again
        self._pieces.append(piece)
        return len(piece)

    def close(self) -> None:
        """Extensions close what they write to; there is more to come from here."""

    def take(self) -> bytes | None:
        pieces, self._pieces = self._pieces, []
        if len(pieces) <= 1:
            return pieces[0] if pieces else None
        return b"".join(pieces)


class _Encoder:
    def __init__(self, extension: StreamTransformExtension) -> None:
        self._output = _Collector()
        self._stream = extension.transform_to(cast("IO[bytes]", self._output))

    def push(self, data: memoryview) -> bytes | None:
        left = data
        while len(left) > 0:
            count = self._stream.write(left)
            if count is None or count >= len(left):
                break
            if count <= 0:
                raise OSError(f"{type(self._stream).__name__}.write() takes no more bytes")
            left = left[count:]
        return self._output.take()

    def finish(self) -> bytes | None:
        self._stream.close()
        return self._output.take()


class _Decoder:
    """Extensions ask for their input, and the engine gives it: so it is kept until all is there. The
    engine holds items whole as well while it decodes them."""

    def __init__(self, extension: StreamTransformExtension) -> None:
        self._extension = extension
        self._pieces: list[bytes] = []

    def push(self, data: memoryview) -> None:
        self._pieces.append(bytes(data))

    def finish(self) -> bytes | None:
        pieces, self._pieces = self._pieces, []
        encoded = io.BytesIO(b"".join(pieces))
        del pieces
        return self._extension.transform_from(encoded).read(-1)


class ExtensionTransform(Transform):
    """Writes with one extension; reads with what the registry makes of the version in the file, or with
    the same extension when there is none."""

    def __init__(
        self,
        name: str,
        version: str,
        extension: StreamTransformExtension | None,
        registry: Any = None,
    ) -> None:
        self.name = name
        self.version = version
        self.extension = extension
        self._registry = registry

    def encoder(self) -> _Encoder:
        if self.extension is None:
            raise TypeError(f"'{self.name}' is registered for reading only")
        return _Encoder(self.extension)

    def decoder(self, version: str) -> _Decoder | _Nothing:
        if self._registry is not None:
            descriptor = f"{self.name}/{version}" if version else self.name
            (extension,) = self._registry.from_descriptor_list([descriptor])
        else:
            extension = type(cast(StreamTransformExtension, self.extension)).from_descriptor(version)
        if not hasattr(extension, "transform_from"):
            return _Nothing()
        return _Decoder(extension)


class _Nothing:
    """An extension that is none of streams leaves the bytes as they are."""

    def push(self, data: memoryview) -> memoryview:
        return data

    def finish(self) -> None:
        return None


def to_transform(extension: ExtensionLike) -> TransformLike:
    """What libdcp.save takes. zstd is the engine's own where it has it."""
    if isinstance(extension, (str, Transform)):
        return extension
    if type(extension) in (ZStandard, stock.ZStandard) and _engine_has_zstd():
        return ZSTD
    if isinstance(extension, TransformExtension):
        return extension.transform
    descriptor = extension.get_descriptor()
    name, version = split_descriptor(descriptor)
    if not name or not version:
        raise ValueError(
            f"{type(extension).__name__} describes itself as {descriptor!r}: libdcp records "
            "'name/version' with the data, and needs both"
        )
    return ExtensionTransform(name, version, extension)


def to_transforms(extensions: Iterable[ExtensionLike] | None) -> list[TransformLike]:
    """Those of a writer, in its order: the last one sees the data first, here as in torch."""
    transforms: list[TransformLike] = []
    made: list[tuple[ExtensionLike, TransformLike]] = []
    for extension in extensions or ():
        known = [transform for other, transform in made if other is extension]
        transform = known[0] if known else to_transform(extension)
        if not known:
            name = _name(transform)
            if any(_name(other) == name and other != transform for _, other in made):
                raise ValueError(
                    f"two extensions are named '{name}': a reader could not tell them apart"
                )
            if name == ZSTD and not isinstance(transform, str) and _engine_has_zstd():
                raise ValueError(
                    f"{type(extension).__name__} is named '{ZSTD}', which is libdcp's own: give it "
                    "a name of its own"
                )
            made.append((extension, transform))
        transforms.append(transform)
    return transforms


def _name(transform: TransformLike) -> str:
    return transform.name if isinstance(transform, Transform) else str(transform)


def transforms_for(registry: Any, descriptors: Iterable[str] = ()) -> list[Transform]:
    """The readers of a registry, by name, for libdcp.load and its kin. `descriptors` are those of the
    files, for a registry that finds more than it lists."""
    names = list(getattr(registry, "extensions", {}))
    names += [split_descriptor(descriptor)[0] for descriptor in descriptors]
    builtin = {ZSTD} if _engine_has_zstd() else set()
    return [
        ExtensionTransform(name, "1", None, registry)
        for name in dict.fromkeys(names)
        if name not in builtin
    ]


# ---- a transform as an extension ----


class _WriteStream(io.RawIOBase):
    def __init__(self, transform: Transform, output: IO[bytes]) -> None:
        self._stream = transform.encoder()
        self._output = output

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            self._give(self._stream.push(view.cast("B")))
            return view.nbytes

    def _give(self, data: Any) -> None:
        if data is not None and len(data) > 0:
            self._output.write(data)

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._give(self._stream.finish())
        finally:
            super().close()
            self._output.close()


class _ReadStream(io.RawIOBase):
    STEP = 1 << 20

    def __init__(self, transform: Transform, version: str, source: IO[bytes]) -> None:
        self._stream = transform.decoder(version)
        self._source = source
        self._ready = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            data = self._source.read(self.STEP)
            self._ended = not data
            given = self._stream.finish() if self._ended else self._stream.push(memoryview(data))
            self._ready = memoryview(bytes(given or b""))
        with memoryview(buffer).cast("B") as view:
            part = self._ready[: len(view)]
            view[: len(part)] = part
        self._ready = self._ready[len(part) :]
        return len(part)


class TransformExtension(StreamTransformExtension):
    """A libdcp.Transform where torch wants an extension. Made by :func:`to_extension`."""

    transform: Transform

    @staticmethod
    def registry_name() -> str:
        raise NotImplementedError("to_extension() makes a class for each transform")

    @staticmethod
    def from_descriptor(version: str) -> "TransformExtension":
        raise NotImplementedError("to_extension() makes a class for each transform")

    def __init__(self, version: str | None = None) -> None:
        self._version = str(self.transform.version) if version is None else version

    def get_descriptor(self) -> str:
        return f"{self.transform.name}/{self._version}"

    def transform_to(self, output: IO[bytes]) -> IO[bytes]:
        return cast("IO[bytes]", _WriteStream(self.transform, output))

    def transform_from(self, input: IO[bytes]) -> IO[bytes]:
        return cast("IO[bytes]", _ReadStream(self.transform, self._version, input))


def to_extension(transform: Transform) -> TransformExtension:
    """For `_extensions=` of a writer; the type of what is returned can be registered for reading."""
    if not isinstance(transform, Transform):
        raise TypeError(f"expected a libdcp.Transform, not {type(transform).__name__}")
    made: type[TransformExtension]

    def from_descriptor(version: str) -> TransformExtension:
        return made(version)

    made = type(
        f"{type(transform).__name__}Extension",
        (TransformExtension,),
        {
            "transform": transform,
            "registry_name": staticmethod(lambda: str(transform.name)),
            "from_descriptor": staticmethod(from_descriptor),
        },
    )
    return made()
