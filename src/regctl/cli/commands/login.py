"""`regctl login` and `regctl logout`: credentials in docker's `config.json`."""

from http import HTTPStatus
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import namespaced_pull_secrets
from regctl.cli.options import CredentialFlags, NamespacedName, at_most_one
from regctl.cli.params import (
    NAMESPACED_NAME,
    cluster_options,
    credential_options,
    output_option,
    registry_argument,
    registry_options,
)
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from regctl.credentials.credential import Credential
    from regctl.credentials.dockerconfig import DockerConfig, StoreResult
    from regctl.outcome import Result
    from regctl.reference import Registry


@click.command(
    cls=Command,
    examples=[
        "regctl login registry.foo.com",
        "pass show registry/ci | regctl login registry.foo.com --username ci --password-stdin",
        "regctl login registry.foo.com --from-secret team-a/registry.foo.com",
    ],
)
@registry_argument
@option(
    "--from-secret",
    type=NAMESPACED_NAME,
    metavar="NS/NAME",
    shell_complete=namespaced_pull_secrets,
    help="Take the credential from this pull secret.",
    heading="Credentials",
)
# docker's flag; hidden, for there are safer ways.
@option("-p", "--password", hidden=True)
@credential_options
@registry_options
@cluster_options
@output_option("json", "yaml", "name")
@pass_app
def login(
    app: App,
    *,
    registry: str | None,
    from_secret: NamespacedName | None,
    password: str | None,
    credential: CredentialFlags,
) -> None:
    """
    Log in to a registry and save the credential in docker's config.

    It goes into config.json, or into the credential helper that config.json names. docker and
    crane read both; skopeo and podman read config.json and the helpers of `credHelpers`, and their
    own logins first. A password that the registry rejects is not saved. With --from-secret
    the registry may be left out if the Secret has only one.
    """
    from regctl.outcome import Outcome

    if password is not None:
        credential = credential._replace(docker_password=password)
    if from_secret is not None:
        where, who = _from_secret(app, registry, from_secret, credential)
    else:
        where = app.named_registry(registry)
        who = app.require_credential(credential, where)
    client = app.registry_as(where, who)
    client.ping()
    is_open = client.ping_anonymously().status == HTTPStatus.OK
    if is_open:
        app.output.warning(f"{where} needs no password: it did not check this one")
    config = app.docker_config()
    kept = config.store(where, who)
    if kept.helper is None and kept.changed:
        app.output.warning(
            f"the password is not encrypted in {config.path}; a credential helper would encrypt it"
        )
    if app.environ.get("DOCKER_AUTH_CONFIG"):
        app.output.warning("$DOCKER_AUTH_CONFIG is set, and docker reads that first")
    user = f"{who.username or 'a token'}{', not checked' if is_open else ''}"
    note = f"{user}, in {_place(config, kept)}"
    result: Result = "configured" if kept.changed else "unchanged"
    app.output.results([Outcome("login", str(where), result, note=note)])


@click.command(cls=Command, examples=["regctl logout registry.foo.com"])
@registry_argument
@output_option("json", "yaml", "name")
@pass_app
def logout(app: App, *, registry: str | None) -> None:
    """Remove the credential of a registry from docker's config and its credential helper."""
    from regctl.outcome import Outcome

    where = app.named_registry(registry)
    config = app.docker_config()
    kept = config.erase(where)
    note = f"from {_place(config, kept)}" if kept.changed else "not logged in"
    result: Result = "deleted" if kept.changed else "unchanged"
    app.output.results([Outcome("login", str(where), result, note=note)])


def _from_secret(
    app: App, named: str | None, secret: NamespacedName, flags: CredentialFlags
) -> "tuple[Registry, Credential]":
    """Return the registry that was named, or the only one of the Secret, and its credential."""
    from regctl.pullsecrets.content import read_credentials
    from regctl.reference import Registry

    at_most_one({"--from-secret": True, "a user or a password": flags.given})
    wanted = app.named_registry(named) if named or "REGCTL_REGISTRY" in app.environ else None
    found = read_credentials(app.cluster, *secret, wanted.key if wanted else None)
    (key, credential), *others = found.items()
    where = wanted or Registry.find(key)
    if where is None or (others and wanted is None):
        raise InvalidInputError(
            f"{secret} names no single registry: it has {', '.join(found)}",
            hint="pass REGISTRY, or set $REGCTL_REGISTRY",
        )
    return where, credential


def _place(config: "DockerConfig", kept: "StoreResult") -> str:
    return f"docker-credential-{kept.helper}" if kept.helper else str(config.path)
