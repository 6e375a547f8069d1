"""`regctl image inspect` in every format."""

import json

import pytest

from tests.cli.commands.image import run


def test_an_image_in_json(two_platforms: str) -> None:
    document = json.loads(run("inspect", f"{two_platforms}:all", "-o", "json").stdout)
    assert list(document) == [
        "image",
        "reference",
        "digest",
        "media_type",
        "artifact_type",
        "size",
        "platforms",
        "created",
        "variants",
    ]
    assert document["platforms"] == ["linux/amd64", "linux/arm64"]
    (first, _second) = document["variants"]
    assert list(first) == [
        "platform",
        "digest",
        "media_type",
        "size",
        "created",
        "labels",
        "config",
        "layers",
    ]
    assert first["labels"] == {"team": "blue"}
    assert [layer["size"] for layer in first["layers"]] == [600, 3]
    by_digest = run("inspect", f"{two_platforms}@{document['digest']}", "-o", "name")
    assert by_digest.stdout == f"{two_platforms}@{document['digest']}\n"


def test_an_image_in_a_pipe_and_in_a_table(two_platforms: str) -> None:
    document = json.loads(run("inspect", f"{two_platforms}:1.0", "-o", "json").stdout)
    (variant,) = document["variants"]
    rows = [line.split("\t") for line in run("inspect", f"{two_platforms}:1.0").stdout.splitlines()]
    assert rows == [
        ["image", f"{two_platforms}:1.0", ""],
        ["digest", document["digest"], ""],
        ["media type", document["media_type"], ""],
        ["size", "", str(document["size"])],
        ["created", "2026-01-01T00:00:00+00:00", ""],
        ["platform", "linux/amd64", str(variant["size"])],
        ["  layer", variant["layers"][0]["digest"], "600"],
        ["  layer", variant["layers"][1]["digest"], "3"],
        ["  label", "team=blue", ""],
    ]
    table = run("inspect", f"{two_platforms}:1.0", "-o", "table").stdout
    assert table.splitlines()[0].split() == ["FIELD", "VALUE", "SIZE"]
    assert "600 B" in table


def test_one_platform_of_an_image(two_platforms: str) -> None:
    arm = run("inspect", f"{two_platforms}:all", "--platform", "linux/arm64", "-o", "json")
    assert [v["platform"] for v in json.loads(arm.stdout)["variants"]] == ["linux/arm64"]
    none = run("inspect", f"{two_platforms}:all", "--platform", "windows/amd64")
    assert none.exit_code == 1
    assert none.stderr.splitlines() == [
        f"error: no image for windows/amd64 in {two_platforms}:all",
        "hint: it has linux/amd64, linux/arm64",
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["localhost:5000/a", "--platform", "x"], "not a platform: 'x'"),
        (["localhost:5000/A"], "not an image: 'localhost:5000/A'"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(args: list[str], message: str) -> None:
    result = run("inspect", *args)
    assert result.exit_code == 2
    assert message in result.stderr
