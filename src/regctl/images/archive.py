"""
Images saved by `docker save`, skopeo, podman and buildx, in a file or a folder.

Two formats are supported: docker's archive, which has a `manifest.json`, and the OCI image layout,
which has an `index.json` (OCI image specification, "Image Layout").
"""

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from regctl.errors import (
    InvalidInputError,
    InvalidReferenceError,
    MalformedError,
    NotInRegistryError,
)
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
    parse_references,
    require_configuration,
)
from regctl.jsontext import parse_json
from regctl.reference import ImageReference
from regctl.wording import some_of

_MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
# As if all manifests and configurations together had 8192 of this size, or fewer larger ones.
_MIN_DOCUMENT_BYTES = 4 * 1024
_MAX_DOCUMENTS = 8192
_MAX_DEPTH = 4
_DIGEST = re.compile(r"sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})")
_CONFIG_NAME = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.json)?$")
# The tag that lists the referrers of a digest (OCI distribution specification).
_REFERRERS_TAG = re.compile(r"sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{64})")
# Layers with these media types are stored elsewhere, as those of Windows were: nobody uploads them.
_FOREIGN_LAYER = re.compile("foreign|nondistributable")
_NAME_ANNOTATION = "io.containerd.image.name"
_TAG_ANNOTATION = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class SavedManifest:
    """
    A manifest with everything it refers to: *parts* in its order, *children* of an index.

    *body* is its content, which must not change. A manifest from docker's archive has None:
    `content` creates it when the parts are stored. *digest* is what an OCI layout names it by, and
    *subject* the digest of the manifest that it is about. *missing* are the children of an index
    that were not saved: their platforms, or else their digests.
    """

    media_type: str
    parts: tuple[Blob, ...] = ()
    children: tuple["SavedManifest", ...] = ()
    platform: Platform | None = None
    body: bytes | None = field(default=None, repr=False)
    digest: str | None = None
    subject: str | None = None
    missing: tuple[str, ...] = ()

    def content(self, stored: Sequence[Descriptor]) -> bytes:
        """
        Return the manifest's bytes; *stored* describes the parts as the registry has them.

        Raises MalformedError for an index with missing children.
        """
        if self.missing:
            raise MalformedError(f"the saved index lacks {some_of(self.missing)}")
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
        """Yield this manifest, its children, and theirs, level by level and each once."""
        level = {id(self): self}
        while level:
            yield from level.values()
            level = {id(child): child for one in level.values() for child in one.children}

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
    """
    An image in an archive, with the *names* that it was saved under.

    *referrers* are about it: signatures and the like. *missing* are the parts of its index that
    were not saved and that it is pushed without.
    """

    names: tuple[str, ...]
    manifest: SavedManifest
    referrers: tuple[SavedManifest, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the tags in its names."""
        return tuple(dict.fromkeys(tag for tag in map(_tag_of, self.names) if tag))

    def tags_of(self, name: str) -> tuple[str, ...]:
        """Return the tag that *name* selects: a name, also without its registry, or a tag."""
        # docker's layout has docker.io/library/app:1.0 for what docker calls app:1.0.
        named = [one for one in self.names if one == name or one.endswith(f"/{name}")]
        tags = (name,) if name in self.tags else map(_tag_of, named)
        return tuple(dict.fromkeys(tag for tag in tags if tag))

    def for_platform(self, platform: Platform) -> "SavedImage":
        """Return the image with only the manifest for *platform*. Raises NotInRegistryError."""
        found = list(self.manifest.walk())
        for manifest in found:
            if manifest.platform and platform.runs(manifest.platform):
                return SavedImage(self.names, manifest, _about(manifest, self.referrers))
        raise missing_platform("the saved image", platform, (one.platform for one in found))

    def whole(self, source: str) -> "SavedImage":
        """
        Return this image, or its only platform that was saved if others were not.

        `docker save` writes the whole index, and of its images those that docker has. Raises
        InvalidInputError if it has several, MalformedError if it has none.
        """
        missing = tuple(name for one in self.manifest.walk() for name in one.missing)
        if not missing:
            return self
        unknown = Platform("unknown", "unknown")
        found = [
            one
            for one in self.manifest.walk()
            if one.parts and one.platform not in {None, unknown} and one.subject is None
        ]
        lacks = f"{source} lacks a part of the image: {some_of(missing)}"
        if not found:
            hint = "`skopeo copy --all` saves an image for all its platforms"
            raise MalformedError(f"cannot read {lacks}", hint=hint)
        if len(found) > 1:
            names = ", ".join(sorted(str(one.platform) for one in found))
            raise InvalidInputError(lacks, hint=f"pass --platform with one of: {names}")
        return SavedImage(self.names, found[0], _about(found[0], self.referrers), missing)


def _tag_of(name: str) -> str:
    tail = name.rpartition("/")[2].partition("@")[0]
    return tail.partition(":")[2] if ":" in tail else tail


def _about(
    manifest: SavedManifest, candidates: Iterable[SavedManifest]
) -> tuple[SavedManifest, ...]:
    """Return the *candidates* that are about a manifest, its children, or each other."""
    by_subject: dict[str | None, list[SavedManifest]] = {}
    for one in candidates:
        by_subject.setdefault(one.subject, []).append(one)
    found = [manifest]
    for one in found:
        for part in one.walk():
            found += by_subject.pop(part.digest, ())
    return tuple(found[1:])


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
    found = found or [one for one in images if name is not None and one.tags_of(name)]
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
        yield _Archive(files).images()


class _NotSavedError(MalformedError):
    """A file that the archive refers to does not exist in it."""


class _Archive:
    """The images in the files of an archive. What it reads into memory is limited."""

    def __init__(self, files: ImageFiles) -> None:
        self._files, self._attempt = files, f"cannot read {files.source}"
        self._rest = _MAX_DOCUMENTS * _MIN_DOCUMENT_BYTES
        self._manifests: dict[tuple[Descriptor, int], SavedManifest] = {}

    def images(self) -> tuple[SavedImage, ...]:
        # docker 25 and later write both formats. The layout has the manifests unchanged.
        if self._files.find("index.json") is not None:
            found = self._layout_images()
        elif self._files.find("manifest.json") is not None:
            found = self._docker_images()
        else:
            raise MalformedError(
                f"{self._attempt}: it is not a saved image: "
                "it has neither manifest.json nor index.json",
                hint="`docker save -o app.tar IMAGE` or `skopeo copy … oci:FOLDER` saves an image",
            )
        if not found:
            raise MalformedError(f"{self._attempt}: it has no image")
        return found

    def _find(self, name: str) -> StoredFile:
        found = self._files.find(name)
        if found is None:
            raise _NotSavedError(f"{self._attempt}: {name} is missing")
        return found

    def _read(self, name: str) -> bytes:
        file = self._find(name)
        if file.size > _MAX_DOCUMENT_BYTES:
            raise MalformedError(f"{self._attempt}: {name} has {file.size} bytes, more than 4 MiB")
        self._rest -= max(file.size, _MIN_DOCUMENT_BYTES)
        if self._rest < 0:
            raise MalformedError(f"{self._attempt}: it has too many manifests")
        with file.open() as stream:
            return stream.read(file.size)

    def _verified(self, name: str, digest: str, source: str) -> bytes:
        """Return the document *name*; raise DigestMismatchError if it has another digest."""
        body = self._read(name)
        check_digest(digest, hashlib.new(algorithm_of(digest), body).hexdigest(), source)
        return body

    # docker's archive

    def _docker_images(self) -> tuple[SavedImage, ...]:
        source = f"manifest.json in {self._files.source}"
        entries = parse_json(self._read("manifest.json"), source=source)
        try:
            return tuple(
                SavedImage(
                    self._names(_texts(entry.get("RepoTags") or [])),
                    self._docker_manifest(str(entry["Config"]), _texts(entry["Layers"] or [])),
                )
                for entry in entries
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise MalformedError(
                f"{self._attempt}: its manifest.json was not written by `docker save`"
            ) from error

    def _names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            with suppress(InvalidReferenceError):
                if ImageReference.parse(name).tag:
                    continue
            raise MalformedError(f"{self._attempt}: its manifest.json has a wrong name: {name!r}")
        return names

    def _docker_manifest(self, config: str, layers: Sequence[str]) -> SavedManifest:
        body = self._read(config)
        source = f"{config} in {self._files.source}"
        # Another file, such as docker's config.json, is not to be uploaded.
        require_configuration(body, source)
        configuration = parse_configuration(body, source)
        diff_ids = configuration.diff_ids
        if len(diff_ids) != len(layers) or not all(_DIGEST.fullmatch(one) for one in diff_ids):
            raise MalformedError(
                f"cannot read {source}: it does not list the digests of the {len(layers)} layers"
            )
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if named := _CONFIG_NAME.search(config):
            check_digest(f"sha256:{named[1]}", digest.partition(":")[2], source)
        parts = [Blob(digest, len(body), DOCKER_CONFIG_TYPE, lambda: io.BytesIO(body))]
        for name, diff_id in zip(layers, diff_ids, strict=True):
            file = self._find(name)
            parts.append(DockerLayer(diff_id, file.size, DOCKER_LAYER_TYPE, file.open, name))
        return SavedManifest(DOCKER_MANIFEST_TYPE, tuple(parts), platform=configuration.platform)

    # The OCI image layout

    def _layout_images(self) -> tuple[SavedImage, ...]:
        source = f"index.json in {self._files.source}"
        index = parse_manifest(self._read("index.json"), INDEX_TYPES[0], source)
        if not isinstance(index, Index):
            raise MalformedError(f"cannot read {source}: it is not an index")
        # An image with several names is listed several times.
        by_digest: dict[str, list[Descriptor]] = {}
        for descriptor in index.manifests:
            by_digest.setdefault(descriptor.digest, []).append(descriptor)
        return _with_referrers(
            [
                SavedImage(tuple(filter(None, map(_saved_name, listed))), self._manifest(listed[0]))
                for listed in by_digest.values()
            ]
        )

    def _manifest(self, descriptor: Descriptor, depth: int = 0) -> SavedManifest:
        """Return a manifest; what several indexes list at one depth is read once."""
        key = (descriptor, depth)
        if key not in self._manifests:
            self._manifests[key] = self._layout_manifest(descriptor, depth)
        return self._manifests[key]

    def _layout_manifest(self, descriptor: Descriptor, depth: int) -> SavedManifest:
        source = f"the manifest {descriptor.digest} in {self._files.source}"
        body = self._verified(self._blob_name(descriptor.digest), descriptor.digest, source)
        parsed = parse_manifest(body, descriptor.media_type, source)
        about = parse_references(body, parsed.media_type, source).subject
        parts: list[Blob] = []
        children: list[SavedManifest] = []
        missing: list[str] = []
        platform = None
        if isinstance(parsed, ImageManifest):
            parts += (
                self._blob(o) for o in parsed.blobs if not _FOREIGN_LAYER.search(o.media_type)
            )
            platform = descriptor.platform or self._platform(parsed.config)
        elif depth > _MAX_DEPTH:
            raise MalformedError(f"cannot read {source}: indexes are nested too deeply")
        else:
            for one in parsed.manifests:
                try:
                    children.append(self._manifest(one, depth + 1))
                except _NotSavedError:
                    missing.append(str(one.platform or one.digest))
        return SavedManifest(
            parsed.media_type,
            tuple(parts),
            tuple(children),
            platform,
            body,
            descriptor.digest,
            about.digest if about is not None else None,
            tuple(missing),
        )

    def _platform(self, config: Descriptor) -> Platform | None:
        source = f"the configuration in {self._files.source}"
        body = self._verified(self._blob_name(config.digest), config.digest, source)
        try:
            return parse_configuration(body, config.digest).platform
        except MalformedError:
            return None

    def _blob(self, descriptor: Descriptor) -> Blob:
        name = self._blob_name(descriptor.digest)
        file = self._find(name)
        if file.size != descriptor.size:
            raise MalformedError(
                f"{self._attempt}: {name} has {file.size} bytes, not {descriptor.size}",
                hint="the saved image is damaged: save it again",
            )
        return Blob(descriptor.digest, file.size, descriptor.media_type, file.open)

    def _blob_name(self, digest: str) -> str:
        if not _DIGEST.fullmatch(digest):
            raise MalformedError(f"{self._attempt}: not a digest: {digest!r}")
        return f"blobs/{digest.replace(':', '/')}"


def _texts(values: list[object]) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError
    return tuple(map(str, values))


def _with_referrers(listed: Sequence[SavedImage]) -> tuple[SavedImage, ...]:
    """Return the images, each with what is about it: that is listed beside it, or under a tag."""
    images: list[SavedImage] = []
    found: list[SavedManifest] = []
    for one in listed:
        if any(map(_REFERRERS_TAG.fullmatch, one.names)):
            found += (child for child in one.manifest.children if child.subject is not None)
        elif one.manifest.subject is not None:
            found.append(one.manifest)
        else:
            images.append(one)
    if not images:
        return tuple(listed)
    candidates = {one.digest: one for one in found}
    images = [replace(one, referrers=_about(one.manifest, candidates.values())) for one in images]
    attached = {referrer.digest for one in images for referrer in one.referrers}
    # What is about something that is not in the archive is an image of its own.
    alone = (SavedImage((), one) for one in candidates.values() if one.digest not in attached)
    return (*images, *alone)


def _saved_name(descriptor: Descriptor) -> str | None:
    annotations = descriptor.annotations
    return annotations.get(_NAME_ANNOTATION) or annotations.get(_TAG_ANNOTATION)
