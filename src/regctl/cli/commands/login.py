"""`regctl login` and `regctl logout`: docker's `config.json`, with a password that was tried."""

from http import HTTPStatus
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.credential_options import CredentialOptions, credential_options
from regctl.cli.option_groups import (
    TransportOptions,
    output_option,
    registry_argument,
    transport_options,
)
from regctl.cli.output import Outcome, Result
from regctl.cli.params import Command

if TYPE_CHECKING:
    from regctl.credentials.dockerconfig import DockerConfig, StoreResult

_KIND = "login"


@click.command(
    cls=Command,
    examples=[
        "regctl login registry.foo.com",
        "pass show registry/ci | regctl login registry.foo.com --username ci --password-stdin",
    ],
)
@registry_argument
@credential_options
@transport_options
@output_option("json", "yaml", "name")
@pass_app
def login(
    app: App,
    *,
    registry: str | None,
    credential: CredentialOptions,
    transport: TransportOptions,
) -> None:
    """
    Try a password at a registry and keep it where docker does.

    docker, skopeo and podman find it there too: in docker's config.json, or with the credential
    helper that is named in it. A password that the registry refuses is not kept.
    """
    where = app.named_registry(registry)
    who = credential.require(app, where)
    client = app.registry_as(where, who, transport)
    client.ping()
    if client.knock().status == HTTPStatus.OK:
        app.output.warning(f"{where} lets everybody in: it did not look at the password")
    config = app.docker_config()
    kept = config.store(where, who)
    if kept.helper is None and kept.changed:
        app.output.warning(
            f"the password is kept in {config.path} as it is; a credential helper would encrypt it"
        )
    if app.environ.get("DOCKER_AUTH_CONFIG"):
        app.output.warning("$DOCKER_AUTH_CONFIG is set, and docker looks there first")
    note = f"{who.username or 'a token'}, in {_place(config, kept)}"
    outcome: Outcome = "configured" if kept.changed else "unchanged"
    app.output.results([Result(_KIND, str(where), outcome, note=note)])


@click.command(cls=Command, examples=["regctl logout registry.foo.com"])
@registry_argument
@output_option("json", "yaml", "name")
@pass_app
def logout(app: App, *, registry: str | None) -> None:
    """Remove a registry's password from docker's config, and from its credential helper."""
    where = app.named_registry(registry)
    config = app.docker_config()
    kept = config.erase(where)
    note = f"in {_place(config, kept)}" if kept.changed else "there was none"
    outcome: Outcome = "deleted" if kept.changed else "unchanged"
    app.output.results([Result(_KIND, str(where), outcome, note=note)])


def _place(config: "DockerConfig", kept: "StoreResult") -> str:
    return f"docker-credential-{kept.helper}" if kept.helper else str(config.path)
