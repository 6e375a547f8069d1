"""Print the oldest allowed release of each dependency, as constraints for pip."""

import re
import sys
from importlib.metadata import requires

for requirement in requires("regctl") or []:
    floor = re.match(r"([A-Za-z0-9_.-]+)[^>]*>=([0-9][0-9.]*)", requirement)
    if floor is None:
        sys.exit(f"no oldest release in {requirement!r}")
    sys.stdout.write(f"{floor[1]}=={floor[2]}\n")
