"""
Candidates for the word at the cursor: users, namespaces, contexts, registries, images and more.

Each public function is the `shell_complete` of a parameter. A person waits at the prompt: what a
server does not tell within two seconds is left out, without a message.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
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
_PULL_SECRETS = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")

POD = "pod/"
"""What begins the name of a Pod where an image may be named, too."""

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
                for value in sorted(itertools.islice(found, _LIMIT))
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
def readers(_ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Return the readers of auth files."""
    from regctl.authfile.readers import READERS

    return READERS


@_completer
def readers_or_all(_ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Return the readers of auth files, and `all`."""
    from regctl.authfile.readers import READERS

    return [*READERS, "all"]


@_completer
def cluster_commands(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the next words of the commands that need rights in the cluster."""
    from regctl.workflows.rbac import COMMANDS

    typed = list(ctx.params.get("command") or ())
    for words in map(str.split, COMMANDS):
        if len(words) > len(typed) and words[: len(typed)] == typed:
            yield words[len(typed)]


@_completer
def namespaces(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Yield the namespaces of the cluster; after a comma, those that are not named yet."""
    return _after_comma(incomplete, (one.name for one in _cluster(ctx).namespaces()))


@_completer
def service_accounts(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Yield the service accounts of the namespace; after a comma, those not named yet."""
    return _after_comma(incomplete, _names(_metadata(ctx, "serviceaccounts", _namespace(ctx))))


@_completer
def pull_secrets(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the pull secrets of the namespace."""
    return _secrets(ctx, _namespace(ctx), _PULL_SECRETS)


@_completer
def namespaced_pull_secrets(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Yield namespaces up to the slash, then pull secrets, as NAMESPACE/NAME."""
    return _in_namespace(ctx, incomplete, _PULL_SECRETS)


@_completer
def auth_secrets(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Yield namespaces up to the slash, then Secrets without a special type."""
    return _in_namespace(ctx, incomplete, ("Opaque",))


@_completer
def storage_classes(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the cluster's storage classes."""
    return _names(_metadata(ctx, "storageclasses", prefix="/apis/storage.k8s.io/v1"))


@_completer
def cluster_issuers(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the cluster issuers of cert-manager."""
    return _names(_metadata(ctx, "clusterissuers", prefix="/apis/cert-manager.io/v1"))


@_completer
def tls_secrets(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the Secrets that hold a certificate, in the command's namespace."""
    return _secrets(ctx, _namespace(ctx), ("kubernetes.io/tls",))


@_completer
def gateways(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the Gateways, each as NAMESPACE/NAME."""
    for metadata in _metadata(ctx, "gateways", prefix="/apis/gateway.networking.k8s.io/v1"):
        yield f"{metadata['namespace']}/{metadata['name']}"


@_completer
def installed_registries(ctx: click.Context, _incomplete: str) -> Iterator[str]:
    """Yield the registries that regctl installed in the command's namespace."""
    from regctl.provisioning.objects import SELECTOR

    found = _metadata(
        ctx, "deployments", _namespace(ctx), prefix="/apis/apps/v1", label_selector=SELECTOR
    )
    return _names(found)


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
    return _images(ctx, incomplete)


@_completer
def pull_subjects(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """Return images, and `pod/` with the Pods of the namespace."""
    if incomplete.startswith(POD):
        return (f"{POD}{name}" for name in _names(_metadata(ctx, "pods", _namespace(ctx))))
    return itertools.chain([POD], _images(ctx, incomplete))


@_completer
def tags(ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Return the tags in the repository of the image before."""
    host, _, rest = str(ctx.params.get("image") or "").partition("/")
    return _registry(ctx, host).tags(rest.partition("@")[0].partition(":")[0])


def files(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list["CompletionItem[str]"]:
    """Let the shell complete the name of a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def _images(ctx: click.Context, incomplete: str) -> Iterator[str]:
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
        settings=replace(app.registry_settings.within(_SECONDS), backoff=Backoff(tries=1)),
    )


def _cluster(ctx: click.Context) -> "Cluster":
    app = ctx.ensure_object(App)
    app.connections.timeout = _SECONDS
    return app.cluster


def _namespace(ctx: click.Context) -> str:
    """Return the namespace on the line, the first of several, else that of the context."""
    given = ctx.params.get("namespace") or ()
    first = given if isinstance(given, str) else next(iter(given), "")
    return first.partition(",")[0] or _cluster(ctx).context_namespace


def _after_comma(incomplete: str, names: Iterable[str]) -> Iterator[str]:
    before, comma, _ = incomplete.rpartition(",")
    named = before.split(",")
    return (f"{before}{comma}{name}" for name in names if name not in named)


def _in_namespace(ctx: click.Context, incomplete: str, types: Iterable[str]) -> Iterator[str]:
    namespace, slash, _ = incomplete.partition("/")
    if not slash:
        return (f"{one.name}/" for one in _cluster(ctx).namespaces())
    return (f"{namespace}/{name}" for name in _secrets(ctx, namespace, types))


def _secrets(ctx: click.Context, namespace: str, types: Iterable[str]) -> Iterator[str]:
    for kind in types:
        yield from _names(_metadata(ctx, "secrets", namespace, field_selector=f"type={kind}"))


def _metadata(
    ctx: click.Context,
    plural: str,
    namespace: str | None = None,
    *,
    prefix: str = "/api/v1",
    **query: str,
) -> Iterator[dict[str, Any]]:
    from regctl.cluster.resource import Resource

    found = _cluster(ctx).list(Resource(plural, plural, prefix), namespace=namespace, **query)
    return (item["metadata"] for item in found)


def _names(metadata: Iterable[dict[str, Any]]) -> Iterator[str]:
    return (one["name"] for one in metadata)
