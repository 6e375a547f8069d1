"""
Run `regctl ARGS` and kill the process when it is about to create what it has deleted.

`python killed_replacement.py ARGS`
"""

import os
import signal
import sys
from typing import Any

from regctl.cli.main import main
from regctl.cluster.client import Cluster

DELETED: list[str] = []
apply, delete = Cluster.apply, Cluster.delete


def recorded_delete(self: Cluster, *args: Any, **options: Any) -> None:
    delete(self, *args, **options)
    if not options.get("dry_run"):
        DELETED.append(args[-1])


def fatal_apply(self: Cluster, *args: Any, **options: Any) -> Any:
    if DELETED:
        os.kill(os.getpid(), signal.SIGKILL)
    return apply(self, *args, **options)


if __name__ == "__main__":
    Cluster.delete = recorded_delete  # type: ignore[assignment, method-assign]
    Cluster.apply = fatal_apply  # type: ignore[method-assign]
    main(sys.argv[1:])
