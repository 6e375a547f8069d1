"""Delete old images from a repository, as the retention rules decide."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from regctl import parallel
from regctl.errors import NotInRegistryError, PartlyDoneError, RegctlError
from regctl.images.reader import ImageReader
from regctl.images.retention import TagDecision, build_date
from regctl.images.tags import LOOKS, Deletion, tag_digests
from regctl.outcome import Outcome, Result
from regctl.reference import ImageReference
from regctl.registry.client import RegistryClient

# How often all tags are read while as many are deleted. More often costs more requests.
_LOOKS = 10


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

        Somebody may have pushed an image or moved a tag since the decision. So all tags are read
        again at the beginning and after each tenth of them, and the tags of a digest right before
        its deletion; if one was moved, all again. If they cannot be read, nothing more is deleted.
        Registries have no deletion with a condition: another tag that is moved to an old image
        within that tenth loses it.
        """
        yield [self._kept(one) for one in self.decisions if one.keep_reason is not None]
        if dry_run:
            yield [self._outcome(one, "deleted") for one in self.deletions.values()]
        else:
            yield from self._delete()

    def _delete(self) -> Iterator[list[Outcome]]:
        look = _Look(self)
        accepted: list[tuple[Deletion, list[TagDecision]]] = []
        changed = "its tags have changed since"
        unseen: RegctlError | None = None
        for digest, decisions in _by_digest(self.deletions.values()).items():
            there: list[TagDecision] = []
            try:
                if unseen is None:
                    found = look.deletable_tags(digest, _tags(decisions))
                    there = [one for one in decisions if one.tagged.tag in found]
            except RegctlError as error:
                attempt = (
                    f"nothing more is deleted from {self.repository}: cannot read its tags again"
                )
                unseen = PartlyDoneError(f"{attempt}: {error.message}", hint=error.hint)
            if unseen is not None:
                yield [self._outcome(one, "failed", error=unseen) for one in decisions]
                continue
            yield [self._outcome(o, "skipped", note=changed) for o in decisions if o not in there]
            outcomes: list[Outcome] = []
            if there:
                tags = tuple(_tags(there))
                deletion = Deletion(self.client, self.repository, digest, digest, tags)
                outcomes = self._delete_digest(deletion, there)
                if not outcomes:
                    accepted.append((deletion, there))
                yield outcomes
            if not outcomes or outcomes[0].error is not None:
                look.keep(digest)
        yield from self._wait(accepted)

    def _delete_digest(self, deletion: Deletion, decisions: list[TagDecision]) -> list[Outcome]:
        """Delete a digest; return the outcomes, or none if the registry deletes it later."""
        try:
            if not deletion.start():
                return []
        except RegctlError as error:
            return [self._outcome(one, "failed", error=error) for one in decisions]
        return [self._outcome(one, "deleted") for one in decisions]

    def _wait(self, accepted: list[tuple[Deletion, list[TagDecision]]]) -> Iterator[list[Outcome]]:
        """Wait for the deletions that the registry carries out later."""
        pauses = LOOKS.pauses()
        for deletion, decisions in accepted:
            result: Result = "accepted"
            error = None
            try:
                deletion.wait(pauses)
            except RegctlError as failure:
                result, error = "failed", failure
            yield [self._outcome(one, result, error=error) for one in decisions]

    def _kept(self, decision: TagDecision) -> Outcome:
        tagged, reason = decision.tagged, decision.keep_reason
        error = tagged.error
        if tagged.unseen is not None:
            error = PartlyDoneError(
                f"nothing is deleted from {self.repository}: cannot read what tag {tagged.tag} "
                f"needs: {tagged.unseen.message}",
                hint=tagged.unseen.hint,
            )
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


class _Look:
    """What the tags of a repository need now, other than those that are to be deleted."""

    def __init__(self, plan: PrunePlan) -> None:
        self._plan, self._reader = plan, ImageReader(plan.client)
        digests = _by_digest(plan.deletions.values())
        self._planned = {tag: digest for digest, some in digests.items() for tag in _tags(some)}
        # What a digest refers to does not change.
        images = (one.tagged for one in plan.decisions if one.tagged.unseen is None)
        self._needs = {one.image.digest: one.needs for one in images if one.image is not None}
        self._kept: list[str] = []
        self._needed: set[str] = set()
        self._needed_by_kept: set[str] = set()
        self._until_next = 0

    def keep(self, digest: str) -> None:
        """Count a digest as kept: it was not deleted, so it needs what it refers to."""
        self._kept.append(digest)

    def deletable_tags(self, digest: str, tags: Sequence[str]) -> Collection[str]:
        """
        Return those of *tags* that refer to *digest* now, or none if another tag needs it.

        Raises what RegistryClient raises, and MalformedError.
        """
        if self._until_next == 0:
            self._read_all()
        self._until_next -= 1
        while self._kept:
            self._needed_by_kept |= self._needed_by(self._kept.pop())
        if digest in self._needed or digest in self._needed_by_kept:
            return ()
        found = self._digests(tags)
        if any(one != digest for one in found.values()):
            self._until_next = 0  # a moved tag may need what is deleted next
        return [tag for tag, one in found.items() if one == digest]

    def _read_all(self) -> None:
        tags = self._plan.client.tags(self._plan.repository.repository)
        digests = self._digests(tags)
        self._needed = set().union(
            *(self._needed_by(one) for tag, one in digests.items() if self._planned.get(tag) != one)
        )
        self._until_next = max(1, len(tags) // _LOOKS)

    def _digests(self, tags: Sequence[str]) -> dict[str, str]:
        name = self._plan.repository.repository
        return tag_digests(self._plan.client, name, tags, workers=self._plan.workers)

    def _needed_by(self, digest: str) -> frozenset[str]:
        if digest not in self._needs:
            name = self._plan.repository.repository
            self._needs[digest] = self._reader.needs(name, digest)
        return self._needs[digest] | {digest}


def _by_digest(decisions: Iterable[TagDecision]) -> dict[str, list[TagDecision]]:
    """Return the decisions by digest, an index before what it refers to."""
    found: dict[str, list[TagDecision]] = {}
    for one in sorted(decisions, key=lambda one: len(one.tagged.needs), reverse=True):
        if one.tagged.image is not None:
            found.setdefault(one.tagged.image.digest, []).append(one)
    return found


def _tags(decisions: Iterable[TagDecision]) -> list[str]:
    return [one.tagged.tag for one in decisions]
