"""Columns and arguments that the commands about images share."""

from datetime import datetime, timezone

import pytest

from regctl.cli.app import App
from regctl.cli.images import (
    created_column,
    digest_column,
    parse_image,
    parse_platform,
    parse_repository,
    size_column,
)
from regctl.cli.listings import Column
from regctl.errors import InvalidInputError, InvalidReferenceError
from regctl.images.manifests import Platform
from tests.cli import run, run_ok
from tests.servers.docker_registry import DockerRegistry

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


def cells(column: Column[object], value: object) -> tuple[str, str]:
    """The text of a value on a terminal and in a pipe."""
    (get, shown), (_, exact) = (column.value_and_text(exact=exact) for exact in (False, True))
    return shown(get(value)), exact(get(value))


def test_values_are_short_on_a_terminal_and_exact_in_a_pipe() -> None:
    digests: Column[object] = digest_column(lambda value: str(value) if value else None)
    assert cells(digests, DIGEST) == (DIGEST[:19], DIGEST)
    sizes: Column[object] = size_column(lambda value: value if isinstance(value, int) else None)
    assert cells(sizes, 12_345_678) == ("12.3 MB", "12345678")
    dates: Column[object] = created_column(lambda v: v if isinstance(v, datetime) else None)
    moment = datetime(2020, 1, 2, tzinfo=timezone.utc)
    shown, exact = cells(dates, moment)
    assert shown.endswith("d")
    assert exact == "2020-01-02T00:00:00+00:00"
    for column in (digests, sizes, dates):
        assert cells(column, None) == ("", "")


def test_a_platform_is_parsed_when_it_is_typed() -> None:
    assert parse_platform("linux/arm64") == Platform("linux", "arm64")
    with pytest.raises(InvalidInputError, match="not a platform"):
        parse_platform("linux")


def test_a_repository_has_no_tag() -> None:
    found = parse_repository(App(), "foo.com/team/app", command="image inspect")
    assert found.repository == "team/app"
    with pytest.raises(InvalidInputError, match="one image, not a repository") as caught:
        parse_repository(App(), "foo.com/team/app:1", command="image inspect")
    assert caught.value.hint == "`regctl image inspect foo.com/team/app:1`"


@pytest.mark.parametrize(
    ("default", "text", "image"),
    [
        ("", "team/app:1", "docker.io/team/app:1"),
        ("registry.foo.com", "team/app:1", "registry.foo.com/team/app:1"),
        ("registry.foo.com", "redis:7", "registry.foo.com/redis:7"),
        ("https://registry.foo.com:5000/", "app", "registry.foo.com:5000/app"),
        ("registry.foo.com", "docker.io/redis", "docker.io/library/redis"),
        ("registry.foo.com", "other.io/app", "other.io/app"),
        ("localhost:5000", "app", "localhost:5000/app"),
    ],
)
def test_an_image_without_a_host_is_at_the_registry_of_the_environment(
    default: str, text: str, image: str
) -> None:
    app = App(environ={"REGCTL_REGISTRY": default})
    assert str(parse_image(app, text)) == image


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("registry.foo.com", "registry.foo.com"),
        ("registry.foo.com:5000", "registry.foo.com:5000"),
        ("https://registry.foo.com/v2/", "registry.foo.com"),
        ("localhost:5000", "localhost:5000"),
        ("localhost", "localhost"),
        ("registry:5000/", "registry:5000"),
        ("default:5000", "default:5000"),
    ],
)
def test_a_bare_host_is_answered_with_what_to_type(text: str, host: str) -> None:
    with pytest.raises(InvalidReferenceError, match="the repository is missing") as caught:
        parse_image(App(environ={"REGCTL_REGISTRY": "default:5000"}), text)
    assert caught.value.hint == (
        f"type {host}/REPOSITORY; `regctl catalog {host}` lists the repositories"
    )


def test_every_command_about_images_uses_the_registry_of_the_environment(
    registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each name that `-o name` prints is one that the next command takes."""
    registry.push_image("by-default", "1.0")
    monkeypatch.setenv("REGCTL_REGISTRY", registry.host)
    flags = ["--plain-http", "-o", "name"]
    repository = f"{registry.host}/by-default"
    names = run_ok("catalog", *flags, "--match", "by-default").stdout
    assert names == f"{repository}\n"
    assert run_ok("tags", names.strip(), *flags).stdout == f"{repository}:1.0\n"
    assert run_ok("tags", "by-default", *flags).stdout == f"{repository}:1.0\n"
    (image,) = run_ok("image", "inspect", f"{repository}:1.0", *flags).stdout.split()
    assert run_ok("image", "inspect", "by-default:1.0", *flags).stdout.split() == [image]
    run_ok("image", "tag", "by-default:1.0", "2.0", "--plain-http")
    assert run_ok("tags", "by-default", *flags).stdout.endswith("by-default:2.0\n")
    for command in (["tags"], ["image", "inspect"], ["image", "delete"]):
        result = run(*command, registry.host, "--plain-http")
        assert result.exit_code == 2
        assert f"hint: type {registry.host}/REPOSITORY" in result.stderr
