"""
Images as a registry holds them: what a tag leads to, and what a repository adds up to.

Sizes are in bytes, as stored; a layer that several tags or platforms share is counted once.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Literal, TypeVar

from regctl import parallel
from regctl.errors import MalformedError, NotInRegistryError, RegctlError
from regctl.images.manifests import (
    CONFIG_TYPES,
    Configuration,
    Descriptor,
    ImageManifest,
    Index,
    Platform,
    parse_configuration,
    parse_manifest,
)
from regctl.registry.client import RegistryClient

R = TypeVar("R")

_BATCH = 200


@dataclass(frozen=True)
class Variant:
    """An image for one platform."""

    digest: str
    media_type: str
    platform: Platform | None
    config: Descriptor
    layers: tuple[Descriptor, ...]
    created: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The config and each layer once."""
        return _total((self.config, *self.layers))


@dataclass(frozen=True)
class Image:
    """What a tag or digest leads to; several *variants* where it is an index."""

    reference: str
    digest: str
    media_type: str
    variants: tuple[Variant, ...]
    artifact_type: str | None = None

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Configs and layers of all variants, with repetitions."""
        return tuple(blob for one in self.variants for blob in (one.config, *one.layers))

    @property
    def size(self) -> int:
        """All configs and layers, each once."""
        return _total(self.blobs)

    @property
    def platforms(self) -> tuple[str, ...]:
        """What it runs on, sorted."""
        return tuple(sorted({str(one.platform) for one in self.variants if one.platform}))

    @property
    def created(self) -> datetime | None:
        """When the newest variant was made, by its own word."""
        return max((one.created for one in self.variants if one.created), default=None)


@dataclass(frozen=True)
class Repository:
    """
    A repository with its *tags*, and with their *images* where they were asked for.

    Without a tag it is a ghost: the catalog keeps a name after the last tag is gone. *error* is
    why it could not be read, or not whole.
    """

    name: str
    tags: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()
    error: RegctlError | None = None

    @property
    def ghost(self) -> bool:
        """Whether the catalog lists what has no tag."""
        return not self.tags and self.error is None

    @property
    def size(self) -> int:
        """All blobs of all images, each once."""
        return _total(blob for image in self.images for blob in image.blobs)

    @property
    def platforms(self) -> tuple[str, ...]:
        """What its images run on, sorted."""
        return tuple(sorted({name for image in self.images for name in image.platforms}))

    @property
    def newest(self) -> Image | None:
        """The image that was made last."""
        dated = [(image.created, image) for image in self.images if image.created]
        return max(dated, key=lambda pair: pair[0])[1] if dated else None


class ImageReader:
    """
    Reads images of one registry; what several tags share is asked for once.

    For several threads at a time.
    """

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._read: dict[str, Variant] = {}
        self._configurations: dict[str, Configuration] = {}

    def image(self, repository: str, reference: str) -> Image:
        """
        Return what *reference* (a tag or digest) leads to.

        Raises NotInRegistryError, MalformedError, UnknownManifestError, and what the client raises.
        """
        found = self._client.manifest(repository, reference)
        source = f"the manifest of {self._client.registry}/{repository} {reference}"
        parsed = parse_manifest(found.body, found.media_type, source)
        if isinstance(parsed, Index):
            variants = tuple(self._child(repository, child) for child in parsed.images)
        else:
            variants = (self._variant(repository, found.digest, found.media_type, parsed),)
        return Image(reference, found.digest, found.media_type, variants, parsed.artifact_type)

    def _child(self, repository: str, child: Descriptor) -> Variant:
        with self._lock:
            known = self._read.get(child.digest)
        if known is not None:
            return known
        found = self._client.manifest(repository, child.digest)
        source = f"the manifest {child.digest} of {self._client.registry}/{repository}"
        parsed = parse_manifest(found.body, found.media_type, source)
        if isinstance(parsed, Index):
            raise MalformedError(f"cannot read {source}: an index in an index")
        return self._variant(repository, child.digest, found.media_type, parsed, child.platform)

    def _variant(
        self,
        repository: str,
        digest: str,
        media_type: str,
        manifest: ImageManifest,
        platform: Platform | None = None,
    ) -> Variant:
        with self._lock:
            known = self._read.get(digest)
        if known is not None:
            return known
        told = self._configuration(repository, manifest.config)
        variant = Variant(
            digest,
            media_type,
            platform or told.platform,
            manifest.config,
            manifest.layers,
            told.created,
            told.labels,
        )
        with self._lock:
            self._read[digest] = variant
        return variant

    def _configuration(self, repository: str, config: Descriptor) -> Configuration:
        if config.media_type not in CONFIG_TYPES:
            return Configuration()
        with self._lock:
            known = self._configurations.get(config.digest)
        if known is None:
            body = self._client.blob(repository, config.digest)
            known = parse_configuration(body, f"the configuration {config.digest}")
            with self._lock:
                self._configurations[config.digest] = known
        return known


def survey(
    client: RegistryClient,
    names: Iterable[str],
    *,
    images: bool = False,
    workers: int = parallel.DEFAULT_WORKERS,
) -> Iterator[Repository]:
    """
    Yield each repository of *names* with its tags, and their *images* if asked for, in that order.

    One request each for the tags, *workers* at a time. A repository that can't be read comes with
    its error; an error of *names* itself is raised after what came before it.
    """
    reader = ImageReader(client)

    def read(name: str) -> Repository:
        try:
            tags = tuple(client.tags(name))
        except NotInRegistryError:
            return Repository(name)
        except RegctlError as error:
            return Repository(name, error=error)
        return _with_images(reader, name, tags) if images else Repository(name, tags)

    yield from (repository for _, repository in _in_order(read, names, workers))


def tag_images(
    client: RegistryClient,
    repository: str,
    tags: Sequence[str],
    *,
    workers: int = parallel.DEFAULT_WORKERS,
) -> Iterator[tuple[str, Image | RegctlError]]:
    """Yield each of *tags* with its image, or with why it can't be read, in their order."""
    reader = ImageReader(client)

    def read(tag: str) -> Image | RegctlError:
        try:
            return reader.image(repository, tag)
        except RegctlError as error:
            return error

    yield from _in_order(read, tags, workers)


def tag_digests(
    client: RegistryClient,
    repository: str,
    tags: Sequence[str],
    *,
    workers: int = parallel.DEFAULT_WORKERS,
) -> dict[str, str]:
    """
    Return the digest that each of *tags* stands for; a tag that is gone by now is left out.

    One request each, *workers* at a time. Raises what the client raises.
    """

    def read(tag: str) -> str | None:
        try:
            return client.manifest_head(repository, tag).digest
        except NotInRegistryError:
            return None

    return {tag: digest for tag, digest in _in_order(read, tags, workers) if digest is not None}


def retag(
    client: RegistryClient, repository: str, reference: str, tag: str
) -> tuple[str, Literal["created", "configured", "unchanged"]]:
    """
    Give what *reference* (a tag or digest) stands for another *tag*; nothing is uploaded.

    Return its digest, and what was done: `created`, `configured` where the tag stood for something
    else, `unchanged`. Raises NotInRegistryError.
    """
    found = client.manifest(repository, reference)
    before = tag_digests(client, repository, [tag]).get(tag)
    if before == found.digest:
        return found.digest, "unchanged"
    client.put_manifest(repository, tag, found.body, found.media_type)
    return found.digest, "created" if before is None else "configured"


def _with_images(reader: ImageReader, name: str, tags: tuple[str, ...]) -> Repository:
    found: list[Image] = []
    failed: RegctlError | None = None
    for tag in tags:
        try:
            found.append(reader.image(name, tag))
        except RegctlError as error:
            failed = failed or error
    return Repository(name, tags, tuple(found), failed)


def _in_order(
    read: Callable[[str], R], names: Iterable[str], workers: int
) -> Iterator[tuple[str, R]]:
    """Yield each name with what is read for it, in order, each as soon as those before it are."""
    rest, failed = iter(names), None
    while failed is None:
        batch: list[str] = []
        try:
            batch.extend(islice(rest, _BATCH))
        except RegctlError as error:
            failed = error
        done: dict[str, R] = {}
        waiting = iter(batch)
        wanted = next(waiting, None)
        for name, answer in parallel.run(read, batch, workers=workers):
            if not isinstance(answer, parallel.Interrupted):
                done[name] = answer
            while wanted is not None and wanted in done:
                yield wanted, done.pop(wanted)
                wanted = next(waiting, None)
        if failed is not None:
            raise failed
        if len(batch) < _BATCH:
            return


def _total(blobs: Iterable[Descriptor]) -> int:
    return sum({blob.digest: blob.size for blob in blobs}.values())
