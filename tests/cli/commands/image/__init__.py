"""`regctl image ...` on a real registry without TLS."""

from pathlib import Path

from click.testing import Result

from tests import cli

LAYERS = (b"first" * 1000, b"second" * 1000)


def run(*args: str | Path, stdin: str | bytes | None = None) -> Result:
    """Run `regctl image ARGS` in this process, without a cluster."""
    flags = ["--ignore-cluster"] if args[0] in {"delete", "prune"} else []
    return cli.run("image", *args, *flags, "--plain-http", stdin=stdin)


def tags(image: str) -> list[str]:
    """The tags of a repository, as regctl lists them."""
    return cli.run_ok("tags", image, "--plain-http").stdout.split()


def pushed_digest(result: Result) -> str:
    """The digest that `image push` printed."""
    assert result.exit_code == 0, result.stderr
    digest: str = result.stdout.strip().partition("@")[2]
    return digest
