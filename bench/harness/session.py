"""What the benchmarks of one run share."""

from __future__ import annotations

import os
import pathlib
from typing import Any, Callable, Iterable, Protocol, TypeVar

from . import files, layouts
from .layouts import Layout, Tensor
from .processes import Driver, Workers, nothing
from .series import Sample
from .sizes import Sizes

T = TypeVar("T")


class Titled(Protocol):
    @property
    def title(self) -> str: ...


C = TypeVar("C", bound=Titled)


class Session:
    """`build` is the release build's folder, `folder` where checkpoints are written, `cache` what
    stays between runs. `tell` is called with a line about each run."""

    def __init__(
        self,
        sizes: Sizes,
        build: pathlib.Path,
        folder: pathlib.Path,
        cache: pathlib.Path,
        python: str,
        tell: Callable[[str], None],
        only: str = "",
    ) -> None:
        self.sizes = sizes
        self.folder = folder
        self.cache = cache
        self.tell = tell
        self.verified: list[str] = []
        self._only = only
        self._toy = sizes.mode == "self-test"  # then other programs are left in peace
        self._memo: dict[str, Any] = {}
        self._payload = str(build / "lib/libbench_payload.so")
        package = str(pathlib.Path(__file__).resolve().parents[1])
        environment = {"PYTHONPATH": os.pathsep.join([package, str(build / "python")])}
        logs = cache / "logs"
        self._driver = Driver(build / "bin/bench_driver", logs)
        self._planning = Driver(build / "bin/bench_planning", logs)
        self._workers = Workers(python, environment, logs)

    def chosen(self, cases: Iterable[C]) -> list[C]:
        """Those with the text of --only in their titles."""
        return [case for case in cases if self._only in case.title]

    def driver(
        self, command: str, before_go: Callable[[], None] = nothing, **options: Any
    ) -> Sample:
        """One run of bench_driver; underscores in names of options stand for minus signs."""
        named = {name.replace("_", "-"): value for name, value in options.items()}
        return Sample.of(self._driver.run(command, named, before_go))

    def planning(self, command: str, **options: Any) -> Sample:
        """One run of bench_planning."""
        return Sample.of(self._planning.run(command, options))

    def worker(
        self,
        library: str,
        work: str,
        folder: pathlib.Path,
        before_go: Callable[[], None] = nothing,
        **options: Any,
    ) -> Sample:
        """One run of a Python library's work, see harness.worker."""
        job = {
            "library": library,
            "work": work,
            "folder": str(folder),
            "payload_library": self._payload,
            **options,
        }
        return Sample.of(self._workers.run(job, before_go))

    def once(self, key: str, make: Callable[[], T]) -> T:
        """What several benchmarks need, measured or made once."""
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]  # type: ignore[no-any-return]

    def forget(self, key: str) -> None:
        """Lets it be made again."""
        self._memo.pop(key, None)

    def layout(self, name: str, tensors: Callable[[], list[Tensor]]) -> Layout:
        def make() -> Layout:
            layout = Layout(name, tuple(tensors()), self.folder / f"{name}.tsv")
            layout.write()
            return layout

        return self.once(f"layout {name}", make)

    def state_layout(self) -> Layout:
        """The training state that most benchmarks save."""
        return self.layout("llama", lambda: layouts.llama(self.sizes.nbytes))

    def verify_by_stock(self, folder: pathlib.Path, layout: Layout, what: str) -> None:
        """PyTorch loads what libdcp saved; every byte is compared. Raises Failed."""
        self.tell(f"torch 2.15 loads and compares {what}")
        self.worker("dcp", "load", folder, layout=str(layout.path))
        self.verified.append(what)

    def settle(self) -> None:
        """Waits until nothing is left to be written, so that no run pays for the one before it."""
        if not self._toy:
            os.sync()

    def make_cold(self, folder: pathlib.Path) -> None:
        files.make_cold(folder, drop=not self._toy and files.can_drop_caches())

    def need_space(self, nbytes: int) -> None:
        free = files.free_bytes(self.folder)
        if free < nbytes:
            raise OSError(f"{nbytes >> 20} MiB of free space are needed, {free >> 20} are there")

    def end(self) -> None:
        self._workers.end()
