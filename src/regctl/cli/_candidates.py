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

from regctl.cli._app import App
from regctl.errors import RegctlError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from regctl.cluster import Cluster

_SECONDS = 2.0
_LIMIT = 500

Candidates = list["CompletionItem[str]"]


def users(ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
    """Return the users of the auth file that are not on the line yet."""
    from regctl.htpasswd import HtpasswdFile

    given = ctx.params.get(param.name or "")
    with contextlib.suppress(RegctlError):
        file = HtpasswdFile.read(ctx.ensure_object(App).auth_file(ctx.params.get("path")))
        named = set(given) if isinstance(given, tuple) else set()
        return _items((user.name for user in file.users() if user.name not in named), incomplete)
    return []


def contexts(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Candidates:
    """Return the contexts of the kubeconfig."""
    from regctl.kubeconfig import Kubeconfig

    with contextlib.suppress(RegctlError):
        environ = ctx.ensure_object(App).environ
        return _items(Kubeconfig(environ, ctx.params.get("kubeconfig")).contexts(), incomplete)
    return []


def namespaces(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Candidates:
    """Return the namespaces of the cluster; after a comma, those that are not named yet."""
    before, comma, _ = incomplete.rpartition(",")
    with contextlib.suppress(RegctlError):
        named = before.split(",")
        names = (namespace.name for namespace in _cluster(ctx).namespaces())
        return _items((f"{before}{comma}{name}" for name in names if name not in named), incomplete)
    return []


def _cluster(ctx: click.Context) -> "Cluster":
    from regctl.cluster import Cluster

    return Cluster.from_environment(
        ctx.ensure_object(App).environ,
        kubeconfig=ctx.params.get("kubeconfig"),
        context=ctx.params.get("context"),
        timeout=_SECONDS,
    )


def _items(values: Iterable[str], incomplete: str, *, kind: str = "plain") -> Candidates:
    from click.shell_completion import CompletionItem

    fitting = (value for value in values if value.startswith(incomplete))
    return [CompletionItem(value, type=kind) for value in sorted(islice(fitting, _LIMIT))]
