"""
Rewrite an auth file and kill the writer: one process for each of many moments of the write.

`python killed_writer.py FILE MOMENTS` prints what it found as JSON. A moment is one instruction of
the interpreter in the modules that write; there the process kills itself with SIGKILL.
"""

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from regctl import atomicfile, filelock
from regctl.authfile import edit, htpasswd, lines

TRACED = {module.__file__ for module in (atomicfile, filelock, edit, htpasswd, lines)}
OLD = b"alice:old\nbob:old\n"
NEW = b"alice:new\nbob:old\n"


def rewrite(path: Path) -> None:
    with edit.editing(path) as file:
        file.set("alice", "new")


def traced(path: Path, fatal: int) -> int:
    """Rewrite; kill this process at instruction *fatal*, or return how many there were."""
    seen = 0

    def trace(frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename not in TRACED:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen += 1
            if seen == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    rewrite(path)
    sys.settrace(None)
    return seen


def main(path: Path, moments: int) -> None:
    path.write_bytes(OLD)
    total = traced(path, 0)
    found: Counter[str] = Counter()
    for moment in range(moments):
        path.write_bytes(OLD)
        child = os.fork()
        if child == 0:
            traced(path, 1 + moment * total // moments)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        found["killed"] += os.WIFSIGNALED(status)
        content = path.read_bytes()
        found["old"] += content == OLD
        found["new"] += content == NEW
        rewrite(path)
        names = os.listdir(path.parent)  # noqa: PTH208 - names are what is wanted
        found["clean"] += path.read_bytes() == NEW and names == [path.name]
    sys.stdout.write(json.dumps({"instructions": total, "moments": moments} | found))


main(Path(sys.argv[1]), int(sys.argv[2]))
