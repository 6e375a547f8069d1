"""Which images the workloads of a cluster use."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from regctl.cluster.workloads import Workload
from regctl.errors import InvalidReferenceError
from regctl.reference import ImageReference, Registry


@dataclass(frozen=True)
class UsedImage:
    """
    An image that workloads use.

    *digests* are those that nodes report for it, each as `host/app@sha256:…`.
    """

    image: ImageReference
    workloads: tuple[Workload, ...]
    digests: tuple[str, ...] = ()

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces of the workloads, sorted."""
        return tuple(sorted({one.namespace for one in self.workloads}))


def users_of(images: Iterable[UsedImage], repository: ImageReference) -> dict[str, str]:
    """Return the tags and digests of *repository* that are in use, each with a workload."""
    found: dict[str, str] = {}
    for used in images:
        subject = min((one.subject for one in used.workloads), default="a workload")
        here = (used.image.registry, used.image.repository) == _place(repository)
        references = [used.image.tag, used.image.digest] if here else []
        if here and not any(references):
            references = ["latest"]
        for text in used.digests:
            # A node may report the content under the name of another repository.
            with suppress(InvalidReferenceError):
                reported = ImageReference.parse(text)
                if here or _place(reported) == _place(repository):
                    references.append(reported.digest)
        found |= {reference: subject for reference in references if reference}
    return found


def _place(image: ImageReference) -> tuple[Registry, str]:
    return image.registry, image.repository


def images_in_use(
    workloads: Iterable[Workload], registry: Registry | None = None
) -> list[UsedImage]:
    """
    Return the images of *registry*, or of all registries, sorted by name.

    A text that is no image cannot be pulled, and is left out.
    """
    users: dict[ImageReference, list[Workload]] = {}
    digests: dict[ImageReference, set[str]] = {}
    for workload in workloads:
        for use in workload.images:
            try:
                image = ImageReference.parse(use.name)
            except InvalidReferenceError:
                continue
            if registry is None or image.registry == registry:
                users.setdefault(image, []).append(workload)
                digests.setdefault(image, set()).update(use.running)
    return [
        UsedImage(image, tuple(users[image]), tuple(sorted(digests[image])))
        for image in sorted(users, key=str)
    ]
