"""Add tags to images in a registry, and delete tags and images."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from regctl import parallel
from regctl.errors import DeletionByDigestOnlyError, NotInRegistryError
from regctl.outcome import Outcome, Result
from regctl.reference import ImageReference
from regctl.registry.client import RegistryClient


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
    the tags that are deleted, *kept_tags* the other tags of the digest.
    """

    client: RegistryClient = field(repr=False)
    image: ImageReference
    digest: str
    reference: str
    tags: tuple[str, ...]
    kept_tags: tuple[str, ...] = ()

    def run(self, *, dry_run: bool = False) -> list[Outcome]:
        """
        Delete it; return an outcome for each deleted tag, or for the digest if it has no tag.

        Raises NotInRegistryError, and DeletionRefusedError if the registry does not delete. A
        DeletionByDigestOnlyError names the tags that would be deleted too.
        """
        try:
            if not dry_run:
                self.client.delete_manifest(self.image.repository, self.reference)
        except DeletionByDigestOnlyError as error:
            raise DeletionByDigestOnlyError(
                f"{error.message}, which also deletes {', '.join(self.kept_tags)}",
                hint="pass --all-tags to delete all of them",
            ) from error
        names = [f":{tag}" for tag in self.tags] or [f"@{self.digest}"]
        return [_outcome(self.image, name, "deleted", self.digest) for name in names]


def plan_deletion(
    client: RegistryClient, image: ImageReference, *, all_tags: bool = False
) -> Deletion:
    """
    Return what deleting *image* deletes: its tag, or the digest with all its tags.

    The digest is deleted if *image* has one, if it has no other tag, or with *all_tags*. Raises
    NotInRegistryError.
    """
    digest = client.manifest_head(image.repository, image.reference).digest
    listed = tag_digests(client, image.repository, client.tags(image.repository))
    tags = tuple(sorted(tag for tag, found in listed.items() if found == digest))
    if image.digest or all_tags or tags == (image.tag,):
        return Deletion(client, image, digest, digest, tags)
    others = tuple(tag for tag in tags if tag != image.tag)
    return Deletion(client, image, digest, image.reference, (image.reference,), others)


def _outcome(
    image: ImageReference, name: str, result: Result, digest: str, *, note: str | None = None
) -> Outcome:
    subject = f"{image.registry}/{image.repository}{name}"
    return Outcome("image", subject, result, note=note, details={"digest": digest})
