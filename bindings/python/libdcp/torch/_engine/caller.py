"""The state of the calling thread, for what runs on the engine's threads in its place."""

from __future__ import annotations

import contextvars
from typing import Any, Callable, TypeVar

import torch

T = TypeVar("T")


class Caller:
    """Of the thread that makes it: gradients on or off, inference mode, the current CUDA device, and
    the context variables. ``run`` may be called on any thread, several at a time."""

    def __init__(self) -> None:
        self._gradients = torch.is_grad_enabled()
        self._inference = torch.is_inference_mode_enabled()
        self._device = torch.cuda.current_device() if torch.cuda.is_initialized() else None
        self._context = contextvars.copy_context()

    def run(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        return self._context.copy().run(self._call, call, arguments, named)

    def _call(self, call: Callable[..., T], arguments: Any, named: Any) -> T:
        if self._device is not None and torch.cuda.current_device() != self._device:
            torch.cuda.set_device(self._device)
        if self._inference:
            with torch.inference_mode():
                return call(*arguments, **named)
        with torch.set_grad_enabled(self._gradients):
            return call(*arguments, **named)
