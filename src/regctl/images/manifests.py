"""
Manifests, indexes and configurations of images: what their JSON says. Nothing here asks anybody.

The forms are those of the OCI image specification and of docker's second schema, which differ in
their media types only.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from regctl.errors import MalformedError, UnknownManifestError

DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"

INDEX_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
MANIFEST_TYPES = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        DOCKER_MANIFEST_TYPE,
    }
)
CONFIG_TYPES = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        DOCKER_CONFIG_TYPE,
    }
)
_FIRST_SCHEMA = "application/vnd.docker.distribution.manifest.v1"


@dataclass(frozen=True)
class Platform:
    """What an image runs on, as `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Read `OS/ARCHITECTURE[/VARIANT]`. Raises MalformedError."""
        parts = text.split("/")
        if len(parts) not in {2, 3} or not all(parts):
            raise MalformedError(f"not a platform: {text!r}", hint="a platform is like linux/amd64")
        return cls(parts[0], parts[1], parts[2] if len(parts) == 3 else None)

    def runs(self, other: "Platform") -> bool:
        """Whether a node of this platform runs an image for *other*; no variant is any variant."""
        same = (self.os, self.architecture) == (other.os, other.architecture)
        return same and (None in {self.variant, other.variant} or self.variant == other.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True)
class Descriptor:
    """What a manifest names: *size* is in bytes, as stored, that is compressed."""

    digest: str
    size: int
    media_type: str
    platform: Platform | None = None


@dataclass(frozen=True)
class ImageManifest:
    """One image for one platform, or an artifact of another kind."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str | None = None

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """The config and the layers."""
        return (self.config, *self.layers)


@dataclass(frozen=True)
class Index:
    """Several manifests under one name: usually one for each platform."""

    manifests: tuple[Descriptor, ...]
    artifact_type: str | None = None

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """Those that run somewhere: attestations, of platform unknown/unknown, do not."""
        unknown = Platform("unknown", "unknown")
        return tuple(one for one in self.manifests if one.platform != unknown)


@dataclass(frozen=True)
class Configuration:
    """What an image's configuration says of it; *diff_ids* are the digests of its layers' tars."""

    platform: Platform | None = None
    created: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    diff_ids: tuple[str, ...] = ()


def parse_manifest(body: bytes, media_type: str, source: str) -> ImageManifest | Index:
    """
    Read a manifest or an index; *source* names it in errors.

    Raises MalformedError, UnknownManifestError for one of docker's first schema or another type.
    """
    document = _object(body, source)
    kind = document.get("mediaType") or media_type
    if str(kind).startswith(_FIRST_SCHEMA) or document.get("schemaVersion") == 1:
        raise UnknownManifestError(
            f"cannot read {source}: it has docker's first schema, which has no digests of layers",
            hint="push it again with a docker of this decade",
        )
    artifact = document.get("artifactType")
    artifact_type = artifact if isinstance(artifact, str) and artifact else None
    if kind in INDEX_TYPES or ("manifests" in document and "layers" not in document):
        children = _list(document, "manifests", source)
        return Index(tuple(_descriptor(child, source) for child in children), artifact_type)
    if kind in MANIFEST_TYPES or {"config", "layers"} <= document.keys():
        config = _descriptor(document.get("config"), source)
        layers = tuple(_descriptor(one, source) for one in _list(document, "layers", source))
        if artifact_type is None and config.media_type not in CONFIG_TYPES:
            artifact_type = config.media_type
        return ImageManifest(config, layers, artifact_type)
    raise UnknownManifestError(f"cannot read {source}: {kind or 'its type'} is not an image's")


def parse_configuration(body: bytes, source: str) -> Configuration:
    """Read an image's configuration; what is absent or odd in it is None. Raises MalformedError."""
    document = _object(body, source)
    config = document.get("config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    return Configuration(
        _platform(document),
        _time(document.get("created")),
        {str(k): str(v) for k, v in labels.items()} if isinstance(labels, dict) else {},
        tuple(map(str, diff_ids)) if isinstance(diff_ids, list) else (),
    )


def _object(body: bytes, source: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"cannot read {source}: not JSON") from error
    if not isinstance(document, dict):
        raise MalformedError(f"cannot read {source}: not a JSON object")
    return document


def _list(document: Mapping[str, Any], name: str, source: str) -> list[Any]:
    value = document.get(name)
    if not isinstance(value, list):
        raise MalformedError(f"cannot read {source}: `{name}` is not a list")
    return value


def _descriptor(value: Any, source: str) -> Descriptor:
    if not isinstance(value, dict):
        raise MalformedError(f"cannot read {source}: a descriptor is not an object")
    digest, size, kind = value.get("digest"), value.get("size"), value.get("mediaType")
    if not isinstance(digest, str) or ":" not in digest:
        raise MalformedError(f"cannot read {source}: a descriptor has no digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise MalformedError(f"cannot read {source}: {digest} has no size")
    platform = value.get("platform")
    return Descriptor(
        digest,
        size,
        kind if isinstance(kind, str) else "",
        _platform(platform) if isinstance(platform, dict) else None,
    )


def _platform(document: Mapping[str, Any]) -> Platform | None:
    os, architecture, variant = (document.get(n) for n in ("os", "architecture", "variant"))
    if not isinstance(os, str) or not isinstance(architecture, str) or not os or not architecture:
        return None
    return Platform(os, architecture, variant if isinstance(variant, str) and variant else None)


def _time(text: Any) -> datetime | None:
    """Read RFC 3339 as Go writes it, with up to nine digits of a second."""
    if not isinstance(text, str):
        return None
    head, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    fraction = f".{rest[:digits][:6]:0<6}{rest[digits:]}" if dot else ""
    try:
        moment = datetime.fromisoformat((head + fraction).replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
