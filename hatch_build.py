"""Put man pages into the wheel. They are made from the help of the commands."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManPages(BuildHookInterface[Any]):
    """Writes the pages to a temporary folder for the duration of the build."""

    folder: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the pages and add them to the wheel; an editable installation has none."""
        if version != "standard":
            return
        sys.path[:0] = [self.root, f"{self.root}/src"]
        # The sources can be imported only from here on.
        from docs.man import pages  # noqa: PLC0415

        self.folder = Path(tempfile.mkdtemp())
        for name, text in pages().items():
            (self.folder / name).write_text(text)
            build_data["shared_data"][str(self.folder / name)] = f"share/man/man1/{name}"

    def finalize(self, _version: str, _build_data: dict[str, Any], _artifact_path: str) -> None:
        """Remove the temporary folder."""
        if self.folder is not None:
            shutil.rmtree(self.folder)
