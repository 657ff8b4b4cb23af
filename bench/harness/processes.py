"""Processes that do one piece of measured work: bench_driver, and workers for Python libraries."""

from __future__ import annotations

import json
import os
import pathlib
import select
import subprocess
import time
from typing import Any, Callable

PATIENCE_S = 3600.0  # for one line of a process


class Failed(Exception):
    """A process did not do its work."""


def nothing() -> None:
    pass


class _Talk:
    """A process that is told and tells lines."""

    def __init__(
        self, command: list[str], log: pathlib.Path, environment: dict[str, str] | None = None
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._buffer = b""
        with open(log, "ab") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
            )

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the reply, or its absence, tells

    def hear(self) -> dict[str, Any] | None:
        """The next line as JSON; None when the process is gone."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + PATIENCE_S
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                self._process.kill()
                raise Failed(f"nothing heard for {PATIENCE_S:.0f} s")
            data = os.read(descriptor, 65536)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)  # type: ignore[no-any-return]

    def ask(self, before_go: Callable[[], None]) -> dict[str, Any] | None:
        """The result of work that is being prepared; None when it failed. `before_go` is called
        when it is ready."""
        reply = self.hear()
        if reply is None or "ready" not in reply:
            return None
        before_go()
        self.say("go")
        reply = self.hear()
        return None if reply is None or "exit" in reply else reply

    def end(self) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        status = self._process.wait()
        self._process.stdout.close()
        return status

    def reason(self) -> str:
        """The last line of the log that says something."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"no word in {self._log.name}"


class Driver:
    """bench_driver, a fresh process for each piece of work."""

    def __init__(self, program: pathlib.Path, logs: pathlib.Path) -> None:
        self._program = program
        self._logs = logs

    def run(
        self, command: str, options: dict[str, Any], before_go: Callable[[], None] = nothing
    ) -> dict[str, Any]:
        arguments = [str(self._program), command]
        for name, value in options.items():
            arguments += [f"--{name}", str(int(value) if isinstance(value, bool) else value)]
        talk = _Talk(arguments, self._logs / f"driver-{command}.log")
        result = talk.ask(before_go)
        status = talk.end()
        if result is None or status != 0:
            raise Failed(talk.reason())
        return result


class Workers:
    """harness.worker, one server for what needs PyTorch and one for what does not, started when
    first needed."""

    def __init__(self, python: str, environment: dict[str, str], logs: pathlib.Path) -> None:
        self._python = python
        self._environment = environment
        self._logs = logs
        self._talks: dict[str, _Talk] = {}

    def run(self, job: dict[str, Any], before_go: Callable[[], None] = nothing) -> dict[str, Any]:
        """See harness.worker for what a job is."""
        server = "without-torch" if job["library"] == "libdcp" else "torch"
        if server not in self._talks:
            command = [self._python, "-m", "harness.worker"]
            log = self._logs / f"worker-{server}.log"
            self._talks[server] = _Talk(command, log, self._environment)
        talk = self._talks[server]
        talk.say(json.dumps(job))
        result = talk.ask(before_go)
        last = talk.hear() if result is not None else None
        if result is None or last is None or last["exit"] != 0:
            reason = talk.reason()
            self._talks.pop(server).end()
            raise Failed(reason)
        return result

    def end(self) -> None:
        for talk in self._talks.values():
            talk.end()
        self._talks.clear()
