"""Add tags to images in a registry, and delete tags and images."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from regctl import parallel
from regctl.errors import (
    DeletionRefusedError,
    NotInRegistryError,
    PartlyDoneError,
    RegctlError,
    RegistryError,
)
from regctl.images.reader import ImageReader
from regctl.outcome import Outcome, Result
from regctl.reference import ImageReference
from regctl.registry.client import RegistryClient
from regctl.retry import Backoff

# How long to look for what a registry deletes later: 23 s.
LOOKS = Backoff(tries=9, base=0.5, cap=4.0, uniform=max)


def tag_digests(
    client: RegistryClient,
    repository: str,
    tags: Sequence[str],
    *,
    workers: int = parallel.DEFAULT_WORKERS,
) -> dict[str, str]:
    """
    Return the digest that each of *tags* refers to, without the tags that no longer exist.

    Sends one request for each tag, *workers* at a time. Raises what RegistryClient raises.
    """

    def read(tag: str) -> str | None:
        try:
            return client.manifest_head(repository, tag).digest
        except NotInRegistryError:
            return None

    found = dict(parallel.run(read, tags, workers=workers))
    return {tag: digest for tag in tags if isinstance(digest := found.get(tag), str)}


def tag_image(
    client: RegistryClient, image: ImageReference, tag: str, *, dry_run: bool = False
) -> Outcome:
    """
    Add *tag* to *image*, in its repository; nothing is uploaded.

    The result is `configured` if the tag referred to another image. Raises NotInRegistryError.
    """
    found = client.manifest(image.repository, image.reference)
    before = tag_digests(client, image.repository, [tag]).get(tag)
    result: Result = "created" if before is None else "configured"
    if before == found.digest:
        result = "unchanged"
    elif not dry_run:
        client.put_manifest(image.repository, tag, found.body, found.media_type)
    return _outcome(image, f":{tag}", result, found.digest, note=found.digest)


@dataclass(frozen=True)
class Deletion:
    """
    The deletion of an image, or of one of its tags.

    *reference* is what the registry deletes: the *digest* with all its tags, or a tag. *tags* are
    the tags that are deleted.
    """

    client: RegistryClient = field(repr=False)
    image: ImageReference
    digest: str
    reference: str
    tags: tuple[str, ...]

    def run(self, *, dry_run: bool = False) -> list[Outcome]:
        """
        Delete it; return an outcome for each deleted tag, or for the digest if it has no tag.

        Raises NotInRegistryError, DeletionRefusedError if the registry does not delete, and
        DeletionByDigestOnlyError if it deletes no single tag.
        """
        result: Result = "deleted"
        if not dry_run and not self.start():
            result = "accepted"
            self.wait(LOOKS.pauses())
        names = [f":{tag}" for tag in self.tags] or [f"@{self.digest}"]
        return [_outcome(self.image, name, result, self.digest) for name in names]

    def start(self) -> bool:
        """
        Delete it; return False if it is still there, since Pulp deletes after its response.

        Raises what `run` raises.
        """
        self.client.delete_manifest(self.image.repository, self.reference)
        return self._is_done()

    def wait(self, pauses: Iterator[float]) -> None:
        """Wait; raise RegistryError if it is still there after the *pauses*, in seconds."""
        for pause in pauses:
            self.client.pause(pause)
            if self._is_done():
                return
        name = f"{self.image.registry}/{self.image.repository}"
        names = ", ".join(f"{name}:{tag}" for tag in self.tags) or f"{name}@{self.digest}"
        raise RegistryError(
            f"cannot delete {names}: the registry accepted that, but it is still there",
            hint="this registry may not support deletion",
        )

    def _is_done(self) -> bool:
        references = self.tags or (self.digest,)
        found = tag_digests(self.client, self.image.repository, references)
        return self.digest not in found.values()


def plan_deletion(
    client: RegistryClient, image: ImageReference, *, all_tags: bool = False, force: bool = False
) -> Deletion:
    """
    Return what deleting *image* deletes: its tag, or the digest with all its tags.

    The digest is deleted if *image* has one, or with *all_tags*. Raises NotInRegistryError, and
    PartlyDoneError if a tag cannot be read. Without *force* raises DeletionRefusedError if an index
    needs the digest, and PartlyDoneError if that is unknown.
    """
    repository, reference = image.repository, image.reference
    if not image.digest and not all_tags:
        digest = client.manifest_head(repository, reference).digest
        return Deletion(client, image, digest, reference, (reference,))
    # A registry may claim the digest of another image for a tag: its content decides.
    read = client.manifest_head if image.digest else client.manifest
    digest = read(repository, reference).digest
    name, hint = f"{image.registry}/{repository}", None
    try:
        listed = tag_digests(client, repository, client.tags(repository))
        hint = "pass --force to delete it without knowing"
        indexes = set() if force else _indexes_of(client, repository, digest, listed.values())
    except RegctlError as error:
        raise PartlyDoneError(
            f"cannot tell whether an index needs {name}@{digest}: {error.message}",
            hint=hint or error.hint,
        ) from error
    if indexes:
        tags = ", ".join(f"{name}:{tag}" for tag in sorted(listed) if listed[tag] in indexes)
        raise DeletionRefusedError(
            f"cannot delete {name}@{digest}: {tags} needs it",
            hint="delete the index first, or pass --force",
        )
    own = sorted(tag for tag, found in listed.items() if found == digest)
    return Deletion(client, image, digest, digest, tuple(own))


def _indexes_of(
    client: RegistryClient, repository: str, digest: str, tagged: Iterable[str]
) -> set[str]:
    """Return the *tagged* digests that need *digest*, other than itself."""
    reader = ImageReader(client)

    def needs(found: str) -> bool:
        return digest in reader.needs(repository, found, subjects=False)

    others = sorted(set(tagged) - {digest})
    return {found for found, needed in parallel.run(needs, others) if needed is True}


def _outcome(
    image: ImageReference, name: str, result: Result, digest: str, *, note: str | None = None
) -> Outcome:
    subject = f"{image.registry}/{image.repository}{name}"
    return Outcome("image", subject, result, note=note, details={"digest": digest})
