"""
Parse the manifests, indexes and configurations of images. Nothing here sends a request.

The formats are those of the OCI image specification and of docker's manifest schema 2. They differ
only in their media types.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from regctl.errors import (
    InvalidInputError,
    MalformedError,
    NotInRegistryError,
    UnknownManifestError,
)
from regctl.jsontext import parse_json_object
from regctl.retry import parse_time

DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = ("application/vnd.oci.image.manifest.v1+json", DOCKER_MANIFEST_TYPE)
CONFIG_TYPES = ("application/vnd.oci.image.config.v1+json", DOCKER_CONFIG_TYPE)
_SCHEMA_1_PREFIX = "application/vnd.docker.distribution.manifest.v1"


@dataclass(frozen=True)
class Platform:
    """The operating system and CPU that an image is built for, as `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Parse `OS/ARCHITECTURE[/VARIANT]`. Raises InvalidInputError."""
        parts = text.split("/")
        if len(parts) not in {2, 3} or not all(parts):
            raise InvalidInputError(f"not a platform: {text!r}", hint="write it as linux/amd64")
        return cls(*parts)

    def runs(self, other: "Platform") -> bool:
        """
        Tell whether a node of this platform runs an image for *other*.

        A missing variant matches every variant.
        """
        same = (self.os, self.architecture) == (other.os, other.architecture)
        return same and (None in {self.variant, other.variant} or self.variant == other.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def missing_platform(
    subject: str, wanted: Platform, found: Iterable[Platform | None]
) -> NotInRegistryError:
    """Return the error that *subject* has images for the platforms in *found* only."""
    names = ", ".join(sorted({str(one) for one in found if one})) or "no image with a platform"
    return NotInRegistryError(f"no image for {wanted} in {subject}", hint=f"it has {names}")


@dataclass(frozen=True)
class Descriptor:
    """
    A reference to a blob or manifest. *size* is in bytes, as stored: layers are compressed.

    *annotations* are those with a string as value.
    """

    digest: str
    size: int
    media_type: str
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class ImageManifest:
    """An image for one platform, or an artifact of another kind."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str | None = None

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Return the config and the layers."""
        return (self.config, *self.layers)


@dataclass(frozen=True)
class Index:
    """A list of manifests, usually one for each platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    artifact_type: str | None = None

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """Return the manifests of images: attestations have the platform unknown/unknown."""
        unknown = Platform("unknown", "unknown")
        return tuple(one for one in self.manifests if one.platform != unknown)


class References(NamedTuple):
    """The manifests that a manifest refers to: those of an index, and its *subject*."""

    manifests: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None


@dataclass(frozen=True)
class Configuration:
    """The configuration of an image; *diff_ids* are the digests of its uncompressed layers."""

    platform: Platform | None = None
    created: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    diff_ids: tuple[str, ...] = ()


def parse_manifest(body: bytes, media_type: str, source: str) -> ImageManifest | Index:
    """
    Parse a manifest or an index; *source* names it in errors.

    The media type in the document, if it has one, takes precedence over *media_type*.
    Raises MalformedError, and UnknownManifestError for docker's schema 1 and for other types.
    """
    document = parse_json_object(body, source=source)
    kind = str(document.get("mediaType") or media_type)
    if kind.startswith(_SCHEMA_1_PREFIX) or document.get("schemaVersion") == 1:
        raise UnknownManifestError(
            f"cannot read {source}: it uses docker's manifest schema 1, which is not supported",
            hint="`docker push` of Docker 1.10 or later uploads the image in the current schema",
        )
    artifact_type = _text(document, "artifactType")
    if kind in INDEX_TYPES or ("manifests" in document and "layers" not in document):
        return Index(kind, _descriptors(document, "manifests", source), artifact_type)
    if kind in MANIFEST_TYPES or {"config", "layers"} <= document.keys():
        config = _descriptor(document.get("config"), source)
        if artifact_type is None and config.media_type not in CONFIG_TYPES:
            artifact_type = config.media_type
        return ImageManifest(kind, config, _descriptors(document, "layers", source), artifact_type)
    reason = f"unsupported media type {kind!r}" if kind else "it has no media type"
    raise UnknownManifestError(f"cannot read {source}: {reason}")


def parse_references(body: bytes, media_type: str, source: str) -> References:
    """
    Return the manifests that a manifest of any type refers to.

    Raises MalformedError if they cannot be read; *source* names the manifest.
    """
    document = parse_json_object(body, source=source)
    is_index = media_type in INDEX_TYPES or document.get("manifests") is not None
    subject = document.get("subject")
    return References(
        _descriptors(document, "manifests", source) if is_index else (),
        None if subject is None else _descriptor(subject, source),
    )


def parse_configuration(body: bytes, source: str) -> Configuration:
    """
    Parse the configuration of an image; a missing or invalid value becomes None or empty.

    Raises MalformedError if it is not a JSON object; *source* names it.
    """
    document = parse_json_object(body, source=source)
    labels = _object(_object(document, "config"), "Labels")
    diff_ids = _object(document, "rootfs").get("diff_ids")
    return Configuration(
        _platform(document),
        parse_time(_text(document, "created")),
        {key: str(value) for key, value in labels.items()},
        tuple(map(str, diff_ids)) if isinstance(diff_ids, list) else (),
    )


def require_configuration(body: bytes, source: str) -> None:
    """
    Raise MalformedError unless *body* has what every configuration of an image has.

    That is `architecture`, `os` and `rootfs` (OCI image specification, "Image Configuration").
    """
    document = parse_json_object(body, source=source)
    names = (document.get("architecture"), document.get("os"))
    if not all(isinstance(one, str) for one in names) or not _object(document, "rootfs"):
        raise MalformedError(f"cannot read {source}: it is not the configuration of an image")


def _descriptors(document: Mapping[str, Any], key: str, source: str) -> tuple[Descriptor, ...]:
    values = document.get(key)
    if not isinstance(values, list):
        raise MalformedError(f"cannot read {source}: `{key}` is not a list")
    return tuple(_descriptor(value, source) for value in values)


def _descriptor(value: Any, source: str) -> Descriptor:
    if not isinstance(value, dict):
        raise MalformedError(f"cannot read {source}: a descriptor is not an object")
    digest, size = _text(value, "digest"), value.get("size")
    if digest is None or ":" not in digest:
        raise MalformedError(f"cannot read {source}: a descriptor has no digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise MalformedError(f"cannot read {source}: {digest} has no size")
    return Descriptor(
        digest,
        size,
        _text(value, "mediaType") or "",
        _platform(_object(value, "platform")),
        {k: v for k, v in _object(value, "annotations").items() if isinstance(v, str)},
    )


def _platform(document: Mapping[str, Any]) -> Platform | None:
    os, architecture = _text(document, "os"), _text(document, "architecture")
    return Platform(os, architecture, _text(document, "variant")) if os and architecture else None


def _text(document: Mapping[str, Any], key: str) -> str | None:
    """Return a text that is not empty, or None for any other value."""
    value = document.get(key)
    return value if isinstance(value, str) and value else None


def _object(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a JSON object, an empty one for any other value."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}
