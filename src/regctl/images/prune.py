"""Delete old images from a repository, as the retention rules decide."""

from collections.abc import Iterator
from dataclasses import dataclass, field

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
        yield [self._kept(one) for one in self.decisions if one.keep_reason is not None]
        deletions = self.deletions
        if dry_run:
            yield [self._outcome(one, "deleted") for one in deletions.values()]
        elif deletions:
            name = self.repository.repository
            current = tag_digests(self.client, name, self.client.tags(name), workers=self.workers)
            for digest, tags in digests_to_delete(self.decisions, current).items():
                result: Result = "deleted"
                error = None
                try:
                    self.client.delete_manifest(name, digest)
                except RegctlError as failure:
                    result, error = "failed", failure
                yield [self._outcome(deletions.pop(tag), result, error=error) for tag in tags]
            changed = "its tags have changed since"
            yield [self._outcome(one, "skipped", note=changed) for one in deletions.values()]

    def _kept(self, decision: TagDecision) -> Outcome:
        error, reason = decision.tagged.error, decision.keep_reason
        # A tag that was deleted since it was listed is no failure.
        if error is None or isinstance(error, NotInRegistryError):
            return self._outcome(decision, "unchanged", note=reason)
        return self._outcome(decision, "failed", note=reason, error=error)

    def _outcome(
        self,
        decision: TagDecision,
        result: Result,
        *,
        note: str | None = None,
        error: RegctlError | None = None,
    ) -> Outcome:
        image = decision.tagged.image
        details: dict[str, str | int | None] = {"digest": None, "created": None, "size": None}
        if image is not None:
            created = image.created.isoformat() if image.created else None
            details = {"digest": image.digest, "created": created, "size": image.size}
            if note is None and (built := build_date(image)):
                note = f"built {built:%Y-%m-%d}"
        return Outcome(
            "image",
            f"{self.repository.registry}/{self.repository.repository}:{decision.tagged.tag}",
            result,
            note=note,
            error=error,
            differences=("no rule keeps it",) if decision.keep_reason is None else (),
            details=details,
        )
