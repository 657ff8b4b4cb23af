"""python -m harness.worker: does the work of the libraries of harness.peers.

It takes jobs from standard input, one line of JSON each, imports a job's library when that is new,
and forks a process for each: what a run leaves behind is gone before the next one. A job is
prepared, then {"ready": true} is said and a line waited for; the work is measured; what it did is
checked; the cost and the facts are said in a line. {"exit": STATUS} follows when the process is
gone.
What libraries print goes to standard error.

A kind of work is a generator function of a Job. Up to its first yield it prepares, up to its second
it is measured, and what it returns are facts (a dict, or None).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
import traceback
from typing import Any

from . import layouts, measure, memory


class Job:
    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self.folder = pathlib.Path(options["folder"])

    def option(self, name: str, fallback: Any = None) -> Any:
        return self._options.get(name, fallback)

    @property
    def payload(self) -> memory.Memory:
        return memory.Memory(self._options["payload_library"])

    @property
    def layout(self) -> layouts.Layout:
        return layouts.read(self._options["layout"])

    def torch_state(self) -> memory.State:
        return self._state(memory.torch_empty, memory.torch_address)

    def numpy_state(self) -> memory.State:
        return self._state(memory.numpy_empty, memory.numpy_address)

    def _state(self, empty: Any, address: Any) -> memory.State:
        return memory.State(self.layout, self.payload, empty, address)


def _do(library: Any, options: dict[str, Any], say: Any) -> None:
    scratch = tempfile.mkdtemp()
    library.warm_up(pathlib.Path(scratch))
    shutil.rmtree(scratch)
    work = library.WORKS[options["work"]](Job(options))
    next(work)
    gc.collect()
    say({"ready": True})
    sys.stdin.buffer.readline()
    measured = measure.Measure()
    next(work)
    result: dict[str, Any] = dict(measured.stop())
    try:
        next(work)
    except StopIteration as end:
        result.update(end.value or {})
    say(result)


def main() -> None:
    replies = os.dup(1)
    os.dup2(2, 1)

    def say(reply: dict[str, Any]) -> None:
        os.write(replies, json.dumps(reply).encode() + b"\n")

    while line := sys.stdin.buffer.readline():
        options = json.loads(line)
        library = importlib.import_module(f"harness.peers.{options['library']}")
        child = os.fork()
        if child == 0:
            status = 0
            try:
                _do(library, options, say)
            except BaseException:
                traceback.print_exc()
                status = 1
            sys.stderr.flush()
            os._exit(status)
        _, status = os.waitpid(child, 0)
        say({"exit": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main()
