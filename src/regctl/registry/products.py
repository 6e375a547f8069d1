"""
What registry products do in a way of their own: a row for each in PRODUCTS.

A peculiarity that needs no product's name to be handled is handled where it shows: several
products send it.
"""

from collections.abc import Callable, Iterator
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
from regctl.registry.pagination import ListQuery
from regctl.registry.response import Response
from regctl.registry.session import Request, Session

Pages = Iterator[list[str]]


@dataclass(frozen=True)
class Product:
    """
    A registry product.

    *mark* is a word in its challenges or its `Server` header, in lower case. *host* is its public
    registry, which has no catalog: *no_catalog* says so, and *hint* where the list is. *own_list*
    returns the repositories that a user may see by the product's own API, a page at a time, or
    None if another product answers.
    """

    name: str
    mark: str
    host: str | None = None
    no_catalog: str = ""
    hint: str = ""
    own_list: Callable[[Session, ListQuery], Pages | None] | None = None


# Harbor gives `/v2/_catalog` to administrators only, and answers 401 to everybody else whatever
# the password (goharbor/harbor, src/server/middleware/v2auth). Its API lists what a user may pull.
_HARBOR_PAGE_SIZE = 100  # the most that Harbor gives


def _harbor_list(session: Session, query: ListQuery) -> Pages | None:
    reply = session.send(Request("GET", "/api/v2.0/ping", query.attempt))
    is_harbor = reply.status == HTTPStatus.OK and reply.body.strip(b'"\n ') == b"Pong"
    return _harbor_pages(session, query) if is_harbor else None


def _harbor_pages(session: Session, query: ListQuery) -> Pages:
    """Yield PROJECT/REPOSITORY of all that the user may see, by name, a page at a time."""
    page, received = 1, 0
    while True:
        target = f"/api/v2.0/repositories?page={page}&page_size={_HARBOR_PAGE_SIZE}&sort=name"
        attempt = query.attempt_on(page)
        reply = session.send(Request("GET", target, attempt))
        names = _harbor_names(reply, attempt)
        yield names
        received += len(names)
        total = reply.headers.get("X-Total-Count", "")
        if not names or (total.isdecimal() and received >= int(total)):
            return
        page += 1


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


# In the order in which their marks are looked for.
PRODUCTS = (
    Product("Harbor", "harbor", own_list=_harbor_list),
    Product(
        "GitLab",
        "/jwt/auth",
        "registry.gitlab.com",
        "GitLab shows the catalog to its administrators only",
        "its own API lists the repositories of a project or a group",
    ),
    Product("Quay", "quay"),
    Product("zot", "zot"),
    Product("Nexus", "nexus"),
    Product("Artifactory", "artifactory"),
    Product(
        "ECR",
        "amazonaws",
        "public.ecr.aws",
        "the public ECR has no catalog",
        "its web site lists the repositories",
    ),
    Product(
        "Docker Hub",
        "docker.io",
        DOCKER_HUB,
        "Docker Hub has no catalog",
        "its web site lists the repositories",
    ),
    Product(
        "GitHub",
        "ghcr.io",
        "ghcr.io",
        "GitHub has no catalog",
        "its web site lists an owner's packages",
    ),
)


def identify(words: str) -> Product | None:
    """Return the product whose mark is in *words*: its challenges and `Server` header."""
    return next((product for product in PRODUCTS if product.mark in words.lower()), None)


def own_list(session: Session, query: ListQuery) -> tuple[str, Pages] | None:
    """Return the name of the product that answers here, and the pages of its own list, or None."""
    for product in PRODUCTS:
        pages = product.own_list(session, query) if product.own_list is not None else None
        if pages is not None:
            return product.name, pages
    return None


def catalog_error(registry: Registry, error: RegctlError) -> RegctlError | None:
    """Return why this registry has no catalog, if that is what *error* means, or None."""
    for product in PRODUCTS:
        if product.host == registry.host:
            return NoCatalogError(
                f"cannot list the repositories of {registry}: {product.no_catalog}",
                hint=product.hint,
            )
    if isinstance(error, NotInRegistryError):
        return NoCatalogError(f"{error}: the registry has no catalog")
    return None
