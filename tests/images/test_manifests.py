"""Manifests, indexes and configurations are parsed, and what is wrong with them is named."""

import contextlib
import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.errors import InvalidInputError, MalformedError, RegctlError, UnknownManifestError
from regctl.images.manifests import (
    Descriptor,
    ImageManifest,
    Index,
    Platform,
    parse_configuration,
    parse_manifest,
)

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def blob(letter: str, size: int = 5, kind: str = "x/y", **more: Any) -> dict[str, Any]:
    return {"digest": f"sha256:{letter * 64}", "size": size, "mediaType": kind, **more}


def parse(document: object, media_type: str = OCI) -> ImageManifest | Index:
    return parse_manifest(json.dumps(document).encode(), media_type, "it")


@pytest.mark.parametrize("media_type", [OCI, DOCKER, "text/plain"])
def test_an_images_config_and_layers_are_read(media_type: str) -> None:
    image = parse({"config": blob("a", kind=CONFIG), "layers": [blob("b", 7)]}, media_type)
    assert image == ImageManifest(
        media_type,
        Descriptor(f"sha256:{'a' * 64}", 5, CONFIG),
        (Descriptor(f"sha256:{'b' * 64}", 7, "x/y"),),
    )


def test_an_index_leaves_attestations_out_of_its_images() -> None:
    arm = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    nowhere = {"os": "unknown", "architecture": "unknown"}
    index = parse({"manifests": [blob("a", platform=arm), blob("b", platform=nowhere)]}, INDEX)
    assert isinstance(index, Index)
    assert len(index.manifests) == 2
    assert [str(one.platform) for one in index.images] == ["linux/arm64/v8"]


def test_an_artifact_has_its_own_type_or_that_of_its_config() -> None:
    chart = "application/vnd.cncf.helm.config.v1+json"
    assert parse({"config": blob("a", kind=chart), "layers": []}).artifact_type == chart
    named = {"config": blob("a", kind=CONFIG), "layers": [], "artifactType": "a/b"}
    assert parse(named).artifact_type == "a/b"


@pytest.mark.parametrize(
    ("document", "error", "message"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, UnknownManifestError, "manifest schema 1"),
        ({"mediaType": "a/b"}, UnknownManifestError, "unsupported media type 'a/b'"),
        ({}, UnknownManifestError, "no media type"),
        ([], MalformedError, "not a JSON object"),
        ({"config": blob("a"), "layers": 5}, MalformedError, "`layers` is not a list"),
        ({"config": 5, "layers": []}, MalformedError, "not an object"),
        ({"config": {"size": 5}, "layers": []}, MalformedError, "no digest"),
        ({"config": blob("a", -1), "layers": []}, MalformedError, "no size"),
        ({"config": blob("a", True), "layers": []}, MalformedError, "no size"),
        ({"manifests": [None]}, MalformedError, "not an object"),
    ],
)
def test_what_is_not_a_manifest_is_named(
    document: object, error: type[RegctlError], message: str
) -> None:
    with pytest.raises(error, match=message):
        parse(document, "")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "config",
                    "layers",
                    "manifests",
                    "digest",
                    "size",
                    "platform",
                    "mediaType",
                    "annotations",
                ]
            ),
            inner,
        )
    ),
    max_leaves=10,
)


@given(json_values)
def test_every_document_parses_or_is_malformed(document: object) -> None:
    body = json.dumps(document).encode()
    with contextlib.suppress(MalformedError, UnknownManifestError):
        parse_manifest(body, OCI, "it")
    with contextlib.suppress(MalformedError):
        parse_configuration(body, "it")


def test_a_configuration_has_platform_date_and_labels() -> None:
    document = {
        "os": "linux",
        "architecture": "amd64",
        "created": "2026-01-02T03:04:05.123456789Z",
        "config": {"Labels": {"a": "b"}},
    }
    found = parse_configuration(json.dumps(document).encode(), "it")
    assert str(found.platform) == "linux/amd64"
    assert found.created == datetime(2026, 1, 2, 3, 4, 5, 123456, timezone.utc)
    assert found.labels == {"a": "b"}
    odd = {"os": 5, "created": "yesterday", "config": {"Labels": []}}
    empty = parse_configuration(json.dumps(odd).encode(), "it")
    assert (empty.platform, empty.created, empty.labels) == (None, None, {})


@pytest.mark.parametrize(
    ("node", "image", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/amd64", "windows/amd64", False),
    ],
)
def test_which_platform_runs_which_image(node: str, image: str, runs: bool) -> None:
    assert Platform.parse(node).runs(Platform.parse(image)) is runs


@pytest.mark.parametrize("text", ["linux", "linux/", "a/b/c/d", ""])
def test_what_is_not_a_platform_is_an_error(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not a platform"):
        Platform.parse(text)
