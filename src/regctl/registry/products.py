"""
What only some registry products do, and how to recognize a product.

What several products do is handled where the response is read, whichever product sends it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from regctl.errors import (
    NoCatalogError,
    NotAuthenticatedError,
    NotInRegistryError,
    RegctlError,
    RegistryError,
)
from regctl.reference import DOCKER_HUB, Registry
from regctl.registry.pagination import ListQuery, page_request
from regctl.registry.request import Request
from regctl.registry.response import Response, whole_number
from regctl.registry.session import Session


@dataclass(frozen=True)
class Product:
    """
    A registry product.

    *mark* is a word in its challenges or its `Server` header, in lower case. *host* is its public
    registry, which has no catalog for users: *hint* says where the list is.
    """

    name: str
    mark: str
    host: str | None = None
    hint: str = ""


_WEB_SITE = "its web site lists the repositories"
_GITLAB_API = "GitLab's own API lists the repositories of a project or a group"

# The first product whose mark is found is the one: the order matters.
PRODUCTS = (
    Product("Harbor", "harbor"),
    Product("GitLab", "/jwt/auth", "registry.gitlab.com", _GITLAB_API),
    Product("Quay", "quay"),
    Product("zot", "zot"),
    Product("Nexus", "nexus"),
    Product("Artifactory", "artifactory"),
    Product("ECR", "amazonaws", "public.ecr.aws", _WEB_SITE),
    Product("Docker Hub", "docker.io", DOCKER_HUB, _WEB_SITE),
    Product("GitHub", "ghcr.io", "ghcr.io", "GitHub's web site lists an owner's packages"),
)


def identify(words: str) -> Product | None:
    """Return the product whose mark is in *words*: its challenges and `Server` header."""
    return next((product for product in PRODUCTS if product.mark in words.lower()), None)


def catalog_error(registry: Registry, error: RegctlError) -> RegctlError | None:
    """
    Return why this registry has no catalog, if that is what *error* means, or None.

    A response whose status or codes mean this is recognized in `error_responses.error_for`, which
    sees the whole response and may return NoCatalogError itself.
    """
    for product in PRODUCTS:
        if product.host == registry.host:
            return NoCatalogError(
                f"cannot list the repositories of {registry}: it has no catalog for users",
                hint=product.hint,
            )
    if isinstance(error, NotInRegistryError):
        return NoCatalogError(
            f"{error}: the registry has no catalog",
            hint=f"`regctl tags {registry}/NAME` lists the tags of a repository",
        )
    return None


# Harbor gives `/v2/_catalog` to administrators only, and answers 401 to everybody else whatever
# the password (goharbor/harbor, src/server/middleware/v2auth). Its API lists what a user may pull.
_HARBOR_PAGE_SIZE = 100  # the most that Harbor gives


def is_harbor(session: Session, attempt: str) -> bool:
    """Return whether Harbor's API answers."""
    reply = session.send(Request("GET", "/api/v2.0/ping", attempt))
    return reply.status == HTTPStatus.OK and reply.body.strip(b'"\n ') == b"Pong"


def harbor_pages(session: Session, query: ListQuery) -> Iterator[list[str]]:
    """Yield PROJECT/REPOSITORY of all that the user may see, by name, a page at a time."""
    received = 0
    for page in itertools.count(1):
        target = f"/api/v2.0/repositories?page={page}&page_size={_HARBOR_PAGE_SIZE}&sort=name"
        attempt = query.attempt_on(page)
        reply = session.send(page_request(target, attempt))
        names = _harbor_names(reply, attempt)
        yield names
        received += len(names)
        total = whole_number(reply.headers.get("X-Total-Count", ""))
        if not names or (total is not None and received >= total):
            return


def _harbor_names(reply: Response, attempt: str) -> list[str]:
    if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise NotAuthenticatedError(
            f"{attempt}: Harbor rejects the user or the password",
            hint="a robot account's name contains a $: put it in single quotes",
        )
    if reply.status != HTTPStatus.OK:
        raise RegistryError(f"{attempt}: Harbor's API answers {reply.status}")
    if not isinstance(reply.document, list):
        raise RegistryError(f"{attempt}: the response of Harbor's API is not a JSON list")
    names = (entry.get("name") for entry in reply.document if isinstance(entry, dict))
    return [name for name in names if isinstance(name, str)]
