"""
Images saved by `docker save`, skopeo, podman and buildx, in a file or a folder.

Two formats are supported: docker's archive, which has a `manifest.json`, and the OCI image layout,
which has an `index.json` (OCI image specification, "Image Layout").
"""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from regctl.errors import InvalidInputError, MalformedError, NotInRegistryError
from regctl.images.files import ImageFiles, Source, StoredFile, open_files
from regctl.images.layers import Blob, DockerLayer, algorithm_of, check_digest
from regctl.images.manifests import (
    DOCKER_CONFIG_TYPE,
    DOCKER_LAYER_TYPE,
    DOCKER_MANIFEST_TYPE,
    INDEX_TYPES,
    Descriptor,
    ImageManifest,
    Index,
    Platform,
    missing_platform,
    parse_configuration,
    parse_manifest,
)
from regctl.jsontext import parse_json

_MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
_MAX_DEPTH = 4
_DIGEST = re.compile(r"sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})")
# Layers with these media types are stored elsewhere, as those of Windows were: nobody uploads them.
_FOREIGN_LAYER = re.compile("foreign|nondistributable")
_NAME_ANNOTATION = "io.containerd.image.name"
_TAG_ANNOTATION = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class SavedManifest:
    """
    A manifest with everything it refers to: *parts* in its order, *children* of an index.

    *body* is its content, which must not change. A manifest from docker's archive has None:
    `content` creates it when the parts are stored.
    """

    media_type: str
    parts: tuple[Blob, ...] = ()
    children: tuple["SavedManifest", ...] = ()
    platform: Platform | None = None
    body: bytes | None = field(default=None, repr=False)

    def content(self, stored: Sequence[Descriptor]) -> bytes:
        """Return the manifest's bytes; *stored* describes the parts as the registry has them."""
        if self.body is not None:
            return self.body
        config, *layers = (
            {"mediaType": part.media_type, "size": part.size, "digest": part.digest}
            for part in stored
        )
        document = {"schemaVersion": 2, "mediaType": self.media_type}
        document |= {"config": config, "layers": layers}
        return json.dumps(document, separators=(",", ":")).encode()

    def walk(self) -> Iterator["SavedManifest"]:
        """Yield this manifest, its children, and theirs."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def unique_parts(self) -> tuple[Blob, ...]:
        """Return every part of this manifest and its children, each once."""
        return tuple({part.digest: part for one in self.walk() for part in one.parts}.values())

    @property
    def size(self) -> int:
        """Return the size of all unique parts in bytes, as saved."""
        return sum(part.size for part in self.unique_parts)


@dataclass(frozen=True)
class SavedImage:
    """An image in an archive, with the *names* that it was saved under."""

    names: tuple[str, ...]
    manifest: SavedManifest

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the tags in its names."""
        tails = (name.rpartition("/")[2].partition("@")[0] for name in self.names)
        tags = (tail.partition(":")[2] if ":" in tail else tail for tail in tails)
        return tuple(dict.fromkeys(tag for tag in tags if tag))

    def for_platform(self, platform: Platform) -> "SavedImage":
        """Return the image with only the manifest for *platform*. Raises NotInRegistryError."""
        found = list(self.manifest.walk())
        for manifest in found:
            if manifest.platform and platform.runs(manifest.platform):
                return SavedImage(self.names, manifest)
        raise missing_platform("the saved image", platform, (one.platform for one in found))


def select_images(
    images: Sequence[SavedImage], source: str, *, name: str | None = None, every: bool = False
) -> Sequence[SavedImage]:
    """
    Return the only image in *source*, the one with *name* (a name or a tag), or with *every* all.

    Raises NotInRegistryError if no image matches, InvalidInputError if several do, or if *every*
    image cannot be pushed to one repository: each needs a tag that no other image has.
    """
    names = ", ".join(name for one in images for name in one.names)
    hint = "`docker save IMAGE:TAG` saves an image with its name"
    if names:
        hint = f"pass --select with one of: {names}"
    if every:
        tags = [tag for one in images for tag in one.tags]
        if len(tags) != len(set(tags)) or not all(one.tags for one in images):
            raise InvalidInputError(
                f"cannot push all images in {source} to one repository: "
                "each needs a tag that no other image has",
                hint=hint,
            )
        return images
    found = [one for one in images if name is None or name in {*one.names, *one.tags}]
    if not found:
        raise NotInRegistryError(f"no image {name} in {source}", hint=hint)
    if len(found) > 1:
        hint += "; or --all" if names else ""
        raise InvalidInputError(f"{source} has {len(images)} images", hint=hint)
    return found


@contextmanager
def open_archive(source: Source) -> Iterator[tuple[SavedImage, ...]]:
    """
    Give the images in *source*: a folder, a tar, or a tar compressed by gzip.

    Their content can be read until the block ends. Raises FileAccessError, MalformedError, and
    DigestMismatchError if a manifest does not have the digest it is listed with.
    """
    with open_files(source) as files:
        yield _images(files)


def _images(files: ImageFiles) -> tuple[SavedImage, ...]:
    # docker 25 and later write both formats. The layout has the manifests unchanged.
    if files.find("index.json") is not None:
        found = _layout_images(files)
    elif files.find("manifest.json") is not None:
        found = _docker_images(files)
    else:
        raise MalformedError(
            f"cannot read {files.source}: it is not a saved image: "
            "it has neither manifest.json nor index.json",
            hint="`docker save -o app.tar IMAGE` or `skopeo copy … oci:FOLDER` saves an image",
        )
    if not found:
        raise MalformedError(f"cannot read {files.source}: it has no image")
    return found


def _find(files: ImageFiles, name: str) -> StoredFile:
    found = files.find(name)
    if found is None:
        raise MalformedError(f"cannot read {files.source}: {name} is missing")
    return found


def _read(files: ImageFiles, name: str) -> bytes:
    file = _find(files, name)
    if file.size > _MAX_DOCUMENT_BYTES:
        raise MalformedError(
            f"cannot read {files.source}: {name} has {file.size} bytes, more than 4 MiB"
        )
    with file.open() as stream:
        return stream.read()


# docker's archive


def _docker_images(files: ImageFiles) -> tuple[SavedImage, ...]:
    source = f"manifest.json in {files.source}"
    entries = parse_json(_read(files, "manifest.json"), source=source)
    try:
        return tuple(
            SavedImage(
                tuple(str(name) for name in entry.get("RepoTags") or ()),
                _docker_manifest(files, str(entry["Config"]), [str(n) for n in entry["Layers"]]),
            )
            for entry in entries
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise MalformedError(
            f"cannot read {files.source}: its manifest.json was not written by `docker save`"
        ) from error


def _docker_manifest(files: ImageFiles, config: str, layers: Sequence[str]) -> SavedManifest:
    body = _read(files, config)
    source = f"{config} in {files.source}"
    configuration = parse_configuration(body, source)
    diff_ids = configuration.diff_ids
    if len(diff_ids) != len(layers) or not all(_DIGEST.fullmatch(one) for one in diff_ids):
        raise MalformedError(
            f"cannot read {source}: it does not list the digests of the {len(layers)} layers"
        )
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    parts = [Blob(digest, len(body), DOCKER_CONFIG_TYPE, lambda: io.BytesIO(body))]
    for name, diff_id in zip(layers, diff_ids, strict=True):
        file = _find(files, name)
        parts.append(DockerLayer(diff_id, file.size, DOCKER_LAYER_TYPE, file.open, name))
    return SavedManifest(DOCKER_MANIFEST_TYPE, tuple(parts), platform=configuration.platform)


# The OCI image layout


def _layout_images(files: ImageFiles) -> tuple[SavedImage, ...]:
    source = f"index.json in {files.source}"
    index = parse_manifest(_read(files, "index.json"), INDEX_TYPES[0], source)
    if not isinstance(index, Index):
        raise MalformedError(f"cannot read {source}: it is not an index")
    # An image with several names is listed several times.
    by_digest: dict[str, list[Descriptor]] = {}
    for descriptor in index.manifests:
        by_digest.setdefault(descriptor.digest, []).append(descriptor)
    return tuple(
        SavedImage(
            tuple(filter(None, map(_saved_name, listed))), _layout_manifest(files, listed[0])
        )
        for listed in by_digest.values()
    )


def _saved_name(descriptor: Descriptor) -> str | None:
    annotations = descriptor.annotations
    return annotations.get(_NAME_ANNOTATION) or annotations.get(_TAG_ANNOTATION)


def _layout_manifest(files: ImageFiles, descriptor: Descriptor, depth: int = 0) -> SavedManifest:
    source = f"the manifest {descriptor.digest} in {files.source}"
    body = _read(files, _blob_name(files, descriptor.digest))
    found = hashlib.new(algorithm_of(descriptor.digest), body).hexdigest()
    check_digest(descriptor.digest, found, source)
    parsed = parse_manifest(body, descriptor.media_type, source)
    if isinstance(parsed, ImageManifest):
        parts = tuple(
            _blob(files, one) for one in parsed.blobs if not _FOREIGN_LAYER.search(one.media_type)
        )
        platform = descriptor.platform or _platform(files, parsed.config)
        return SavedManifest(parsed.media_type, parts, platform=platform, body=body)
    if depth > _MAX_DEPTH:
        raise MalformedError(f"cannot read {source}: indexes are nested too deeply")
    for child in parsed.manifests:
        if files.find(_blob_name(files, child.digest)) is None:
            raise MalformedError(
                f"cannot read {source}: the image for {child.platform or child.digest} is missing",
                hint="`skopeo copy --all` saves an image for all its platforms",
            )
    children = tuple(_layout_manifest(files, child, depth + 1) for child in parsed.manifests)
    return SavedManifest(parsed.media_type, children=children, body=body)


def _platform(files: ImageFiles, config: Descriptor) -> Platform | None:
    try:
        body = _read(files, _blob_name(files, config.digest))
        return parse_configuration(body, config.digest).platform
    except MalformedError:
        return None


def _blob(files: ImageFiles, descriptor: Descriptor) -> Blob:
    name = _blob_name(files, descriptor.digest)
    file = _find(files, name)
    if file.size != descriptor.size:
        raise MalformedError(
            f"cannot read {files.source}: {name} has {file.size} bytes, not {descriptor.size}",
            hint="the saved image is damaged: save it again",
        )
    return Blob(descriptor.digest, file.size, descriptor.media_type, file.open)


def _blob_name(files: ImageFiles, digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise MalformedError(f"cannot read {files.source}: not a digest: {digest!r}")
    return f"blobs/{digest.replace(':', '/')}"
