"""
Look for new inputs that end in a defect, with coverage: by hand, since atheris is no dependency.

    pip install atheris
    python -m tests.fuzz yaml -max_total_time=600

The first word names what is read. libFuzzer's options follow, and folders of examples.
"""

import io
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["regctl", "yaml"]):
    from regctl import documents, jsontext
    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.credentials import dockerconfigjson
    from regctl.errors import RegctlError
    from regctl.images.archive import open_archive
    from regctl.reference import Registry
    from regctl.registry.challenges import parse_challenges
    from regctl.retry import parse_time, retry_after


def _archive(data: bytes) -> None:
    with open_archive(io.BytesIO(data)):
        pass


def _dockerconfigjson(data: bytes) -> None:
    content = {".dockerconfigjson": data}
    kind = "kubernetes.io/dockerconfigjson"
    entries = dockerconfigjson.read_entries(kind, content, source="it") or {}
    for entry in entries.values():
        dockerconfigjson.entry_fault(entry)


def _headers(data: bytes) -> None:
    text = data.decode("latin-1")
    parse_challenges([text])
    retry_after(text)
    parse_time(text)


READERS: Mapping[str, Callable[[bytes], object]] = {
    "archive": _archive,
    "authfile": lambda data: HtpasswdFile(data).users(),
    "dockerconfigjson": _dockerconfigjson,
    "headers": _headers,
    "host": lambda data: Registry.parse(data.decode(errors="surrogateescape")),
    "json": lambda data: jsontext.parse_go_json(data, source="it"),
    "yaml": lambda data: documents.load_located(data.decode(errors="replace"), source="it"),
}


def main() -> None:
    """Fuzz the reader that the command line names."""
    read = READERS[sys.argv.pop(1)]

    def expect_only_our_errors(data: bytes) -> None:
        with suppress(RegctlError):
            read(data)

    atheris.Setup(sys.argv, expect_only_our_errors)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
