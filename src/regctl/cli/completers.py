"""
What may come next on the line: users, namespaces, contexts, registries, repositories and tags.

Each function is the `shell_complete` of a parameter. Somebody waits at the prompt: what can't be
found out within a second or two is left out, without a word.
"""

import contextlib
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App
from regctl.errors import RegctlError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from regctl.cluster.client import Cluster
    from regctl.registry.client import RegistryClient

_SECONDS = 2.0
_LIMIT = 500

Candidates = list["CompletionItem[str]"]


def users(ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
    """Return the users of the auth file that are not on the line yet."""
    from regctl.authfile.htpasswd import HtpasswdFile

    given = ctx.params.get(param.name or "")
    with contextlib.suppress(RegctlError):
        file = HtpasswdFile.read(ctx.ensure_object(App).auth_file(ctx.params.get("path")))
        named = set(given) if isinstance(given, tuple) else set()
        return _items((user.name for user in file.users() if user.name not in named), incomplete)
    return []


def contexts(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Candidates:
    """Return the contexts of the kubeconfig."""
    from regctl.cluster.kubeconfig import Kubeconfig

    with contextlib.suppress(RegctlError):
        app = ctx.ensure_object(App)
        return _items(Kubeconfig(app.environ, app.connections.kubeconfig).contexts(), incomplete)
    return []


def namespaces(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Candidates:
    """Return the namespaces of the cluster; after a comma, those that are not named yet."""
    before, comma, _ = incomplete.rpartition(",")
    with contextlib.suppress(RegctlError):
        named = before.split(",")
        names = (namespace.name for namespace in _cluster(ctx).namespaces())
        return _items((f"{before}{comma}{name}" for name in names if name not in named), incomplete)
    return []


def storage_classes(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Candidates:
    """Return the cluster's storage classes."""
    return _objects(ctx, incomplete, "storageclasses", "/apis/storage.k8s.io/v1")


def cluster_issuers(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Candidates:
    """Return the cluster issuers of cert-manager."""
    return _objects(ctx, incomplete, "clusterissuers", "/apis/cert-manager.io/v1")


def tls_secrets(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Candidates:
    """Return the Secrets that hold a certificate, in the namespace that is named."""
    kind = "type=kubernetes.io/tls"
    return _objects(ctx, incomplete, "secrets", "/api/v1", near=True, field_selector=kind)


def gateways(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Candidates:
    """Return the Gateways, each as NAMESPACE/NAME."""
    prefix = "/apis/gateway.networking.k8s.io/v1"
    return _objects(ctx, incomplete, "gateways", prefix, qualified=True)


def installed_registries(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> Candidates:
    """Return the registries in the namespace given, or in the context's."""
    from regctl.provisioning.objects import SELECTOR

    return _objects(
        ctx, incomplete, "deployments", "/apis/apps/v1", near=True, label_selector=SELECTOR
    )


def registries(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Candidates:
    """Return the registries that docker's config knows, and `$REGCTL_REGISTRY`."""
    app = ctx.ensure_object(App)
    known = {app.environ.get("REGCTL_REGISTRY") or ""} - {""}
    with contextlib.suppress(RegctlError):
        known |= {str(registry) for registry in app.docker_config().registries()}
    return _items(known, incomplete)


def repositories(ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
    """Return registries up to the first slash, then repositories of that registry."""
    host, slash, rest = incomplete.partition("/")
    if not slash:
        return _items(
            (f"{item.value}/" for item in registries(ctx, param, incomplete)),
            incomplete,
            kind="more",
        )
    with contextlib.suppress(RegctlError):
        names = (n for n in _registry(ctx, host).repositories() if n.startswith(rest))
        return _items((f"{host}/{name}" for name in names), incomplete)
    return []


def images(ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
    """Return repositories, and after a colon their tags."""
    host, _, rest = incomplete.partition("/")
    name, colon, _ = rest.partition(":")
    if not colon:
        return repositories(ctx, param, incomplete)
    with contextlib.suppress(RegctlError):
        tags = _registry(ctx, host).tags(name)
        return _items((f"{host}/{name}:{tag}" for tag in tags), incomplete)
    return []


def _objects(
    ctx: click.Context,
    incomplete: str,
    plural: str,
    prefix: str,
    *,
    near: bool = False,
    qualified: bool = False,
    **selector: str,
) -> Candidates:
    """Return the names of objects; *near*: of the one namespace, *qualified*: NAMESPACE/NAME."""
    from regctl.cluster.resource import Resource

    with contextlib.suppress(RegctlError):
        cluster = _cluster(ctx)
        space = ctx.params.get("namespace") or cluster.context_namespace if near else None
        found = cluster.list(Resource(plural, plural, prefix), namespace=space, **selector)
        metadata = (item["metadata"] for item in found)
        names = (f"{m['namespace']}/{m['name']}" if qualified else m["name"] for m in metadata)
        return _items(names, incomplete)
    return []


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


def _items(values: Iterable[str], incomplete: str, *, kind: str = "plain") -> Candidates:
    from click.shell_completion import CompletionItem

    fitting = (value for value in values if value.startswith(incomplete))
    return [CompletionItem(value, type=kind) for value in sorted(islice(fitting, _LIMIT))]
