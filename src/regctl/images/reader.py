"""
Read the images in a registry: their platforms, layers, sizes and age, and those of a repository.

Sizes are in bytes, as stored. A layer that several tags or platforms share counts once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import TypeVar

from regctl import parallel
from regctl.errors import MalformedError, NotInRegistryError, RegctlError
from regctl.images.manifests import (
    CONFIG_TYPES,
    MANIFEST_TYPES,
    Configuration,
    Descriptor,
    ImageManifest,
    Index,
    Platform,
    References,
    missing_platform,
    parse_configuration,
    parse_manifest,
    parse_references,
)
from regctl.registry.client import Manifest, RegistryClient

R = TypeVar("R")

_BATCH_SIZE = 200
# Of all platforms together: docker allows 127 for each. Two small documents can list a billion.
_MAX_LAYERS = 10_000


@dataclass(frozen=True)
class Variant:
    """An image for one platform. *digest* is that of its manifest."""

    digest: str
    platform: Platform | None
    manifest: ImageManifest
    configuration: Configuration

    @property
    def size(self) -> int:
        """Return the size of the config and of each layer once."""
        return _total_size(self.manifest.blobs)


@dataclass(frozen=True)
class Image:
    """The image that a tag or digest refers to; an index has several *variants*."""

    reference: str
    digest: str
    media_type: str
    variants: tuple[Variant, ...]
    artifact_type: str | None = None

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Return the configs and layers of all variants, with repetitions."""
        manifests = {one.digest: one.manifest for one in self.variants}
        return tuple(blob for manifest in manifests.values() for blob in manifest.blobs)

    @property
    def size(self) -> int:
        """Return the size of all configs and layers, each once."""
        return _total_size(self.blobs)

    @property
    def platforms(self) -> tuple[str, ...]:
        """Return the names of its platforms, sorted."""
        return tuple(sorted({str(one.platform) for one in self.variants if one.platform}))

    @property
    def created(self) -> datetime | None:
        """Return when the newest variant was built, as its configuration has it."""
        dates = (one.configuration.created for one in self.variants)
        return max(filter(None, dates), default=None)


@dataclass(frozen=True)
class TaggedImage:
    """
    A tag with its *image*, or with the *error* that reading it gave.

    *needs* are the digests of all manifests that it refers to, directly or not. They are read only
    if asked for; *unseen* is why they are incomplete.
    """

    tag: str
    image: Image | None = None
    error: RegctlError | None = None
    needs: frozenset[str] = frozenset()
    unseen: RegctlError | None = None


@dataclass(frozen=True)
class Repository:
    """
    A repository with its *tags*, and with their *images* if those were asked for.

    *error* is the first failure to read its tags or one of its images.
    """

    name: str
    tags: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()
    error: RegctlError | None = None

    @property
    def ghost(self) -> bool:
        """Whether it has no tag: the catalog keeps a name after its last tag is deleted."""
        return not self.tags and self.error is None

    @property
    def size(self) -> int:
        """Return the size of all blobs of all images, each once."""
        return _total_size(blob for image in self.images for blob in image.blobs)

    @property
    def platforms(self) -> tuple[str, ...]:
        """Return the names of the platforms of its images, sorted."""
        return tuple(sorted({name for image in self.images for name in image.platforms}))

    @property
    def newest(self) -> Image | None:
        """Return the image that was built last."""
        dated = [(image.created, image) for image in self.images if image.created]
        return max(dated, key=lambda pair: pair[0])[1] if dated else None


class ImageReader:
    """
    Reads images of one registry; it requests what several tags share only once.

    Several threads may use it at a time: if two read the same image at once, both request it.
    """

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._variants: dict[str, Variant] = {}
        self._configurations: dict[str, Configuration] = {}
        self._references: dict[str, References] = {}

    def image(self, repository: str, reference: str, *, platform: Platform | None = None) -> Image:
        """
        Return the image that *reference* (a tag or digest) refers to.

        With *platform* only its variants for that one. Raises NotInRegistryError, MalformedError,
        also if it has more layers than an image can need, UnknownManifestError, and what
        RegistryClient raises.
        """
        name = f"{self._client.registry}/{repository}{'@' if ':' in reference else ':'}{reference}"
        found = self._manifest(repository, reference)
        parsed = parse_manifest(found.body, found.media_type, f"the manifest of {name}")
        variants: list[Variant] = []
        layers = 0
        for child in parsed.images if isinstance(parsed, Index) else ():
            variants.append(self._child(repository, child))
            layers += 1 + len(variants[-1].manifest.layers)
            if layers > _MAX_LAYERS:
                raise MalformedError(f"cannot read {name}: it has more than {_MAX_LAYERS} layers")
        if isinstance(parsed, ImageManifest):
            variants.append(self._variant(repository, found.digest, parsed))
        if platform is not None:
            fitting = [v for v in variants if v.platform and platform.runs(v.platform)]
            if not fitting:
                raise missing_platform(name, platform, (one.platform for one in variants))
            variants = fitting
        return Image(
            reference, found.digest, found.media_type, tuple(variants), parsed.artifact_type
        )

    def needs(self, repository: str, reference: str, *, subjects: bool = True) -> frozenset[str]:
        """
        Return the digests of all manifests that *reference* needs, its own included.

        These are platforms, attestations and nested indexes, and with *subjects* what they are
        about. An image in an index counts even if it cannot be read. Raises what RegistryClient
        raises, and MalformedError, for *reference* itself and for an index.
        """
        digest = reference if ":" in reference else self._manifest(repository, reference).digest
        found: set[str] = set()
        waiting = [Descriptor(digest, 0, "")]
        while waiting:
            one = waiting.pop()
            if one.digest in found:
                continue
            found.add(one.digest)
            if one.media_type in MANIFEST_TYPES and not subjects:
                continue
            try:
                manifests, subject = self._refers_to(repository, one.digest)
            except RegctlError:
                if one.media_type not in MANIFEST_TYPES:
                    raise
                continue
            waiting += manifests
            if subject is not None and subjects and self._exists(repository, subject.digest):
                waiting.append(subject)
        return frozenset(found)

    def _exists(self, repository: str, digest: str) -> bool:
        """Return whether a subject exists: a signature may outlive its image."""
        try:
            self._refers_to(repository, digest)
        except NotInRegistryError:
            return False
        except RegctlError:
            return True
        return True

    def _refers_to(self, repository: str, digest: str) -> References:
        if digest not in self._references:
            self._manifest(repository, digest)
        return self._references[digest]

    def _manifest(self, repository: str, reference: str) -> Manifest:
        """Return a manifest, and remember what it refers to."""
        found = self._client.manifest(repository, reference)
        source = f"the manifest {found.digest} of {self._client.registry}/{repository}"
        self._references[found.digest] = parse_references(found.body, found.media_type, source)
        return found

    def _child(self, repository: str, child: Descriptor) -> Variant:
        variant = self._variants.get(child.digest)
        if variant is None:
            found = self._manifest(repository, child.digest)
            source = f"the manifest {child.digest} of {self._client.registry}/{repository}"
            parsed = parse_manifest(found.body, found.media_type, source)
            if isinstance(parsed, Index):
                raise MalformedError(f"cannot read {source}: it is an index within an index")
            variant = self._variant(repository, child.digest, parsed)
        return replace(variant, platform=child.platform or variant.platform)

    def _variant(self, repository: str, digest: str, manifest: ImageManifest) -> Variant:
        if digest not in self._variants:
            configuration = self._configuration(repository, manifest.config)
            self._variants[digest] = Variant(
                digest, configuration.platform, manifest, configuration
            )
        return self._variants[digest]

    def _configuration(self, repository: str, config: Descriptor) -> Configuration:
        if config.media_type not in CONFIG_TYPES:
            return Configuration()
        if config.digest not in self._configurations:
            body = self._client.blob(repository, config.digest)
            source = f"the configuration {config.digest}"
            self._configurations[config.digest] = parse_configuration(body, source)
        return self._configurations[config.digest]


def read_repositories(
    client: RegistryClient,
    names: Iterable[str],
    *,
    images: bool = False,
    workers: int = parallel.DEFAULT_WORKERS,
) -> Iterator[Repository]:
    """
    Yield each repository in *names* with its tags, and with their *images* if asked for, in order.

    Sends one request for the tags of each repository, *workers* at a time. A repository that cannot
    be read has an error. An error of *names* itself is raised after the repositories before it.
    """
    reader = ImageReader(client)

    def read(name: str) -> Repository:
        try:
            tags = tuple(client.tags(name))
        except NotInRegistryError:
            return Repository(name)
        except RegctlError as error:
            return Repository(name, error=error)
        found = [_read_tag(reader, name, tag) for tag in tags] if images else []
        readable = tuple(one.image for one in found if one.image)
        return Repository(name, tags, readable, next((e.error for e in found if e.error), None))

    return _in_order(read, names, workers)


def read_tags(
    client: RegistryClient,
    repository: str,
    tags: Sequence[str],
    *,
    needs: bool = False,
    workers: int = parallel.DEFAULT_WORKERS,
) -> Iterator[TaggedImage]:
    """
    Yield each of *tags* with its image, or with the error that reading it gave, in order.

    With *needs* also what each tag needs.
    """
    reader = ImageReader(client)

    def read(tag: str) -> TaggedImage:
        found = _read_tag(reader, repository, tag)
        return _with_needs(client, reader, repository, found) if needs else found

    return _in_order(read, tags, workers)


def _with_needs(
    client: RegistryClient, reader: ImageReader, repository: str, found: TaggedImage
) -> TaggedImage:
    reference = found.image.digest if found.image is not None else found.tag
    try:
        return replace(found, needs=reader.needs(repository, reference))
    except NotInRegistryError as error:
        # A tag that was deleted since it was listed needs nothing.
        if found.tag not in client.tags(repository):
            return found
        return replace(found, unseen=error)
    except RegctlError as error:
        return replace(found, unseen=error)


def _read_tag(reader: ImageReader, repository: str, tag: str) -> TaggedImage:
    try:
        return TaggedImage(tag, reader.image(repository, tag))
    except RegctlError as error:
        return TaggedImage(tag, error=error)


def _in_order(read: Callable[[str], R], names: Iterable[str], workers: int) -> Iterator[R]:
    """Yield what *read* returns for each name, in order, as soon as those before it are done."""
    rest, failed, complete = iter(names), None, False
    while not complete:
        waiting, done = deque[str](), dict[str, R]()
        try:
            waiting.extend(islice(rest, _BATCH_SIZE))
        except RegctlError as error:
            failed = error
        complete = len(waiting) < _BATCH_SIZE
        for name, result in parallel.run(read, list(waiting), workers=workers):
            if not isinstance(result, parallel.Interrupted):
                done[name] = result
            while waiting and waiting[0] in done:
                yield done.pop(waiting.popleft())
    if failed is not None:
        raise failed


def _total_size(blobs: Iterable[Descriptor]) -> int:
    return sum({blob.digest: blob.size for blob in blobs}.values())
