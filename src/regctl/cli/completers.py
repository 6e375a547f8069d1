"""
Candidates for the word at the cursor: users, namespaces, contexts, registries, images and more.

Each public function is the `shell_complete` of a parameter. A person waits at the prompt: what a
server does not tell within two seconds is left out, without a message.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App
from regctl.errors import RegctlError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from regctl.cluster.client import Cluster
    from regctl.registry.client import RegistryClient

_SECONDS = 2.0
_LIMIT = 500

_Complete = Callable[[click.Context, click.Parameter, str], list["CompletionItem[str]"]]


def _completer(candidates: Callable[[click.Context, str], Iterable[str]]) -> _Complete:
    """Make a `shell_complete` of *candidates*; one that ends with a slash is not complete yet."""

    @functools.wraps(candidates)
    def complete(
        ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list["CompletionItem[str]"]:
        from click.shell_completion import CompletionItem

        with contextlib.suppress(RegctlError):
            found = (one for one in candidates(ctx, incomplete) if one.startswith(incomplete))
            return [
                CompletionItem(value, type="more" if value.endswith("/") else "plain")
                for value in sorted(islice(found, _LIMIT))
            ]
        return []

    return complete


@_completer
def users(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the users of the auth file that are not on the line yet."""
    from regctl.authfile.htpasswd import HtpasswdFile

    named = ctx.params.get("names") or ()
    file = HtpasswdFile.read(ctx.ensure_object(App).auth_file(ctx.params.get("path")))
    yield from (user.name for user in file.users() if user.name not in named)


@_completer
def contexts(ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Return the contexts of the kubeconfig."""
    from regctl.cluster.kubeconfig import Kubeconfig

    app = ctx.ensure_object(App)
    return Kubeconfig(app.environ, app.connections.kubeconfig).contexts()


@_completer
def namespaces(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Yield the namespaces of the cluster; after a comma, those that are not named yet."""
    before, comma, _ = incomplete.rpartition(",")
    named = before.split(",")
    for namespace in _cluster(ctx).namespaces():
        if namespace.name not in named:
            yield f"{before}{comma}{namespace.name}"


@_completer
def storage_classes(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the cluster's storage classes."""
    return _names(_metadata(ctx, "storageclasses", "/apis/storage.k8s.io/v1"))


@_completer
def cluster_issuers(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the cluster issuers of cert-manager."""
    return _names(_metadata(ctx, "clusterissuers", "/apis/cert-manager.io/v1"))


@_completer
def tls_secrets(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the Secrets that hold a certificate, in the command's namespace."""
    query = {"namespace": _namespace(ctx), "field_selector": "type=kubernetes.io/tls"}
    return _names(_metadata(ctx, "secrets", "/api/v1", **query))


@_completer
def gateways(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the Gateways, each as NAMESPACE/NAME."""
    for metadata in _metadata(ctx, "gateways", "/apis/gateway.networking.k8s.io/v1"):
        yield f"{metadata['namespace']}/{metadata['name']}"


@_completer
def installed_registries(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the registries that regctl installed in the command's namespace."""
    from regctl.provisioning.objects import SELECTOR

    query = {"namespace": _namespace(ctx), "label_selector": SELECTOR}
    return _names(_metadata(ctx, "deployments", "/apis/apps/v1", **query))


@_completer
def registries(ctx: click.Context, _incomplete: str) -> set[str]:
    """Return the registries that docker's config knows, and `$REGCTL_REGISTRY`."""
    return _registries(ctx)


@_completer
def repositories(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Yield registries up to the first slash, then repositories of that registry."""
    return _repositories(ctx, incomplete)


@_completer
def images(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Yield repositories, and after a colon their tags."""
    host, _, rest = incomplete.partition("/")
    name, colon, _ = rest.partition(":")
    if not colon:
        return _repositories(ctx, incomplete)
    return (f"{host}/{name}:{tag}" for tag in _registry(ctx, host).tags(name))


def _registries(ctx: click.Context) -> set[str]:
    app = ctx.ensure_object(App)
    known = {app.environ.get("REGCTL_REGISTRY") or ""} - {""}
    with contextlib.suppress(RegctlError):
        known |= {str(registry) for registry in app.docker_config().registries()}
    return known


def _repositories(ctx: click.Context, incomplete: str) -> Iterator[str]:
    host, slash, rest = incomplete.partition("/")
    if not slash:
        return (f"{registry}/" for registry in _registries(ctx))
    names = _registry(ctx, host).repositories()
    return (f"{host}/{name}" for name in names if name.startswith(rest))


def _registry(ctx: click.Context, host: str) -> "RegistryClient":
    from dataclasses import replace

    from regctl.reference import Registry
    from regctl.registry.client import RegistryClient
    from regctl.retry import Backoff

    app, registry = ctx.ensure_object(App), Registry.parse(host)
    return RegistryClient(
        registry,
        credential=app.docker_config().credential_for(registry),
        settings=replace(
            app.registry_settings,
            connect_seconds=_SECONDS,
            read_seconds=_SECONDS,
            backoff=Backoff(tries=1),
        ),
    )


def _cluster(ctx: click.Context) -> "Cluster":
    app = ctx.ensure_object(App)
    app.connections.timeout = _SECONDS
    return app.cluster


def _namespace(ctx: click.Context) -> str:
    return ctx.params.get("namespace") or _cluster(ctx).context_namespace


def _metadata(
    ctx: click.Context, plural: str, prefix: str, **query: str
) -> Iterator[dict[str, Any]]:
    from regctl.cluster.resource import Resource

    found = _cluster(ctx).list(Resource(plural, plural, prefix), **query)
    return (item["metadata"] for item in found)


def _names(metadata: Iterable[dict[str, Any]]) -> Iterator[str]:
    return (one["name"] for one in metadata)
