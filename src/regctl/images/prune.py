"""Delete old images from a repository, as the retention rules decide."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from regctl import parallel
from regctl.errors import NotInRegistryError, RegctlError
from regctl.images.retention import TagDecision, build_date, digests_to_delete
from regctl.images.tags import tag_digests
from regctl.outcome import Outcome, Result
from regctl.reference import ImageReference
from regctl.registry.client import RegistryClient


@dataclass(frozen=True)
class PrunePlan:
    """What to delete from *repository*, with a decision for each of its tags."""

    client: RegistryClient = field(repr=False)
    repository: ImageReference
    decisions: tuple[TagDecision, ...]
    workers: int = parallel.DEFAULT_WORKERS

    @property
    def deletions(self) -> dict[str, TagDecision]:
        """Return the decisions to delete, by tag."""
        return {one.tagged.tag: one for one in self.decisions if one.keep_reason is None}

    def run(self, *, dry_run: bool = False) -> Iterator[list[Outcome]]:
        """
        Delete the images, and yield the outcomes of the tags: first the kept ones, then by digest.

        The digests of all tags are read again before: somebody may have pushed an image or moved
        a tag since the decision.
        """
        yield [_kept(self.repository, one) for one in self.decisions if one.keep_reason is not None]
        deletions = self.deletions
        outcome = partial(_outcome, self.repository)
        if dry_run:
            yield [outcome(one, "deleted") for one in deletions.values()]
        elif deletions:
            name = self.repository.repository
            current = tag_digests(self.client, name, self.client.tags(name), workers=self.workers)
            for digest, tags in digests_to_delete(self.decisions, current).items():
                error = self._delete(digest)
                result: Result = "deleted" if error is None else "failed"
                yield [outcome(deletions.pop(tag), result, error=error) for tag in tags]
            changed = "its tags have changed since"
            yield [outcome(one, "skipped", note=changed) for one in deletions.values()]

    def _delete(self, digest: str) -> RegctlError | None:
        try:
            self.client.delete_manifest(self.repository.repository, digest)
        except RegctlError as error:
            return error
        return None


def _kept(repository: ImageReference, decision: TagDecision) -> Outcome:
    error = decision.tagged.error
    # A tag that was deleted since it was listed is no failure.
    if error is not None and not isinstance(error, NotInRegistryError):
        return _outcome(repository, decision, "failed", error=error)
    return _outcome(repository, decision, "unchanged", note=decision.keep_reason)


def _outcome(
    repository: ImageReference,
    decision: TagDecision,
    result: Result,
    *,
    note: str | None = None,
    error: RegctlError | None = None,
) -> Outcome:
    image = decision.tagged.image
    built = build_date(image) if image is not None else None
    if note is None and built is not None:
        note = f"built {built:%Y-%m-%d}"
    return Outcome(
        "image",
        f"{repository.registry}/{repository.repository}:{decision.tagged.tag}",
        result,
        note=note,
        error=error,
        differences=("no rule keeps it",) if decision.keep_reason is None else (),
        details={
            "digest": image.digest if image is not None else None,
            "created": image.created.isoformat() if image and image.created else None,
            "size": image.size if image is not None else None,
        },
    )
