"""Threads, memory and observers that calls share."""

from __future__ import annotations

import logging
from typing import Any, Callable, Iterable, Union

from . import dcp_raw as raw
from ._progress import ProgressCallback, adapt
from ._transform import Transform, TransformLike

LogTarget = Union[logging.Logger, Callable[[int, str], Any]]


class Context:
    """Threads, memory, transforms and observers for the calls it is given to.

    ``threads`` 0 is as many as serve; ``memory_budget`` bounds the I/O buffers of all calls
    together, in bytes; ``log`` is a ``logging.Logger`` or a callable ``(level, message)``;
    ``progress`` is called with a :class:`ProgressEvent`; ``transforms`` are registered for reading
    and writing.
    """

    def __init__(
        self,
        *,
        threads: int = 0,
        memory_budget: int | None = None,
        log: LogTarget | None = None,
        progress: ProgressCallback | None = None,
        transforms: Iterable[Transform] = (),
    ) -> None:
        options = raw.dcp_context_options()
        options.threads = threads
        if memory_budget is not None:
            options.memory_budget = memory_budget
        self._native = raw.dcp_context_new(options)
        self._transforms: dict[str, Transform] = {}
        if log is not None:
            raw.pydcp_set_log(self._native, log.log if isinstance(log, logging.Logger) else log)
        if progress is not None:
            raw.pydcp_set_progress(self._native, adapt(progress))
        for transform in transforms:
            self.add_transform(transform)

    def add_transform(self, transform: Transform) -> None:
        """Registers it, once; not while calls run on this context."""
        if not isinstance(transform, Transform):
            raise TypeError(f"expected a libdcp.Transform, not {type(transform).__name__}")
        if self._transforms.get(transform.name) is transform:
            return
        raw.pydcp_add_transform(
            self._native, str(transform.name), str(transform.version), transform
        )
        self._transforms[transform.name] = transform

    def drain(self, timeout: float | None = None) -> None:
        """Waits until the background saves started on this context have ended; libdcp.TimeoutError
        when some go on after ``timeout`` seconds."""
        from ._run import blocking

        wait = -1 if timeout is None else int(timeout * 1000)
        blocking(lambda: raw.dcp_context_drain(self._native, wait), lambda: None)


def context_for(
    context: Context | None,
    progress: ProgressCallback | None,
    transforms: Iterable[TransformLike],
) -> tuple[Context, list[str]]:
    """The context of one call, and the names of the transforms it uses."""
    if isinstance(transforms, (str, Transform)):
        transforms = (transforms,)
    transforms = list(transforms)
    if context is None:
        context = Context(progress=progress)
    elif progress is not None:
        raise TypeError("progress belongs to the context when one is given: Context(progress=...)")
    names = []
    for transform in transforms:
        if isinstance(transform, Transform):
            context.add_transform(transform)
            names.append(transform.name)
        else:
            names.append(str(transform))
    return context, names


def milliseconds(timeout: float | None) -> int:
    """Seconds of an option to the ABI's milliseconds; None waits for ever."""
    return -1 if timeout is None else max(0, int(timeout * 1000))


def set_handles(options: Any, **handles: Any) -> None:
    """Points options to handles, None for none, and keeps those as long as the options."""
    for name, handle in handles.items():
        setattr(options, name, handle)
    options.held = {**getattr(options, "held", {}), **handles}
