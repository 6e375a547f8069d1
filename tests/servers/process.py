"""
Start, await and stop real programs on loopback, by their process ids.

This module does not know pytest, because the demo and the benchmarks start the same servers.
"""

import ctypes
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

START_SECONDS = 60.0
_TRIES = 5


class StartError(Exception):
    """A program ended, or did not answer in time; the message ends with its log."""


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Return whether something listens on a loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@dataclass
class Process:
    """One program that we started: the leader of a process group with its workers."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    def stop(self) -> None:
        """Terminate it, or kill it after ten seconds; return when it has ended."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill it and its workers at once, like a power cut."""
        if self.popen.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.popen.wait()


def start(
    arguments: Sequence[str],
    *,
    ready: Callable[[], bool],
    log: Path,
    env: Mapping[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> Process:
    """
    Start a program and wait until *ready*, *seconds* at most; its output goes to *log*.

    Its home is the log's folder; *env* is added to the environment. Ctrl-C does not reach it, so
    servers stop in order. On Linux the kernel terminates it if the thread that started it dies.
    Raises StartError with the end of the log.
    """
    with log.open("ab") as output:
        popen = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**_environment(log.parent), **(env or {})},
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one call, before any thread could matter
        )
    process = Process(popen, log)
    try:
        started = _becomes_ready(popen, ready, seconds)
    except BaseException:  # Ctrl-C too
        process.stop()
        raise
    if not started:
        process.stop()
        tail = log.read_text(errors="replace")[-2000:]
        raise StartError(f"{arguments[0]} did not start:\n{tail}")
    return process


def _becomes_ready(
    popen: subprocess.Popen[bytes], ready: Callable[[], bool], seconds: float
) -> bool:
    deadline = time.monotonic() + seconds
    # A dead program is not ready, even if another one answers on its port.
    while popen.poll() is not None or not ready():
        if popen.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def on_free_port(
    arguments: Callable[[int], Sequence[str]],
    *,
    log: Path,
    ready: Callable[[int], bool] = answers,
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[Process, int]]:
    """
    Run a program on a port that we choose; yield the program and the port.

    If another process took the port in the meantime, another port is tried.
    """
    for attempt in itertools.count(1):
        port = free_port()
        try:
            process = start(arguments(port), ready=partial(ready, port), log=log, env=env)
        except StartError:
            if attempt == _TRIES or "in use" not in log.read_text(errors="replace"):
                raise
            continue
        try:
            yield process, port
        finally:
            process.stop()
        return


def _environment(home: Path) -> dict[str, str]:
    """Return our environment without the user's folders: Caddy would save its config there."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    return {**ours, "HOME": str(home)}


def _die_with_parent() -> None:
    # SIGTERM, not SIGKILL: then nginx and httpd stop their workers too.
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
