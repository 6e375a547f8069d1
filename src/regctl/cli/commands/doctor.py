"""`regctl doctor`: every check along the way, and why a pull fails."""

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import click

from regctl.cli.app import App, old_cluster, old_registry_as, old_transport, pass_app
from regctl.cli.checks import report
from regctl.cli.completers import images
from regctl.cli.old.credential_options import CredentialOptions, credential_options
from regctl.cli.old.option_groups import (
    ClusterOptions,
    TargetOptions,
    TransportOptions,
    cluster_options,
    file_option,
    output_option,
    registry_argument,
    target_options,
    transport_options,
    workers_option,
)
from regctl.cli.old.params import Command
from regctl.errors import DifferenceError, InvalidInputError, RegctlError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.checks import Check
    from regctl.cluster.client import Cluster
    from regctl.credentials.credential import Credential
    from regctl.reference import Registry
    from regctl.registry.client import RegistryClient
    from regctl.workflows.pull_diagnosis import Connect, Pull


@click.command(
    cls=Command,
    examples=[
        "regctl doctor registry.foo.com",
        "regctl doctor registry.foo.com --auth-secret registry/registry-basic-auth -o json",
        "regctl doctor --pod web-7d4b9 -n team-a",
        "regctl doctor --image registry.foo.com/team/app:1.0 -n team-a --platform linux/arm64",
    ],
)
@registry_argument
@click.option("--pod", metavar="NAME", help="Why do the images of this pod fail to pull?")
@click.option(
    "--image", metavar="IMAGE", shell_complete=images, help="Why would this image fail to pull?"
)
@click.option(
    "--service-account",
    metavar="NAME",
    default="default",
    show_default=True,
    help="Whose pod it is that would pull --image.",
)
@click.option("--platform", metavar="OS/ARCH", help="The node's platform, where it is not known.")
@file_option
@click.option("--auth-secret", metavar="NS/NAME", help="The Secret that users are read from.")
@credential_options
@target_options
@workers_option
@transport_options
@cluster_options
@output_option("table", "json", "yaml")
@pass_app
def doctor(
    app: App,
    *,
    registry: str | None,
    pod: str | None,
    image: str | None,
    service_account: str,
    platform: str | None,
    path: "Path | None",
    auth_secret: str | None,
    credential: CredentialOptions,
    target_options: TargetOptions,
    workers: int,
    transport: TransportOptions,
    cluster_options: ClusterOptions,
) -> None:
    """
    Check everything along the way, or say why a pull fails.

    The auth file, the Secret made of it, the registry, the pull secrets and the rights; what is
    not there is skipped. With --pod or --image the kubelet's way is followed up to the first thing
    that is wrong. Exit code 1 is a failure of any check.
    """
    if pod is not None and image is not None:
        raise InvalidInputError("--pod and --image at once", hint="pass one of them")

    def connect(where: "Registry", who: "Credential | None") -> "RegistryClient":
        for secret in who.sensitive_values if who is not None else ():
            app.output.redact(secret)
        return old_registry_as(app, where, who, transport)

    file = _file(app, path)
    if pod is not None or image is not None:
        asked = _Asked(pod, image, service_account, platform)
        cluster = old_cluster(app, cluster_options)
        pulls = _pulls(cluster, asked, _one_namespace(cluster, target_options))
        report(app, _examined(cluster, connect, file, pulls), _first_failure)
        return
    parts: list[Iterator[Check]] = [_of_file(file)]
    where = app.named_registry(registry) if registry or app.environ.get("REGCTL_REGISTRY") else None
    if where is not None:
        parts.append(_of_registry(app, where, credential.resolve(app, where), transport, connect))
    try:
        cluster = old_cluster(app, cluster_options)
    except RegctlError as error:
        app.output.note(f"the cluster is not looked at: {error.message}")
    else:
        if auth_secret is not None:
            parts.append(_of_auth_secret(cluster, auth_secret, file))
        parts.append(_of_cluster(cluster, where, target_options, workers, connect))
    report(app, chain.from_iterable(parts), _first_failure)


class _Asked(NamedTuple):
    """The pull that is asked about."""

    pod: str | None
    image: str | None
    account: str
    platform: str | None


def _one_namespace(cluster: "Cluster", options: TargetOptions) -> str:
    named = options.targets().named
    if len(named) > 1:
        raise InvalidInputError("--pod and --image are for one namespace", hint="pass -n once")
    return named[0] if named else cluster.context_namespace


def _file(app: App, path: "Path | None") -> "HtpasswdFile | None":
    """Return the auth file, or None where none is named and none is here."""
    from regctl.authfile.htpasswd import HtpasswdFile

    file = app.auth_file(path)
    if path is None and not file.exists():
        return None
    return HtpasswdFile.read(file)


# Pulls


def _pulls(cluster: "Cluster", asked: _Asked, namespace: str) -> "tuple[Pull, ...]":
    from regctl.images.manifests import Platform
    from regctl.reference import ImageReference
    from regctl.workflows import pull_diagnosis as pull

    node = Platform.parse(asked.platform) if asked.platform is not None else None
    if asked.pod is not None:
        return pull.of_pod(cluster, namespace, asked.pod, node)
    image = ImageReference.parse(asked.image or "")
    return (pull.of_account(cluster, image, namespace, asked.account, node),)


def _examined(
    cluster: "Cluster", connect: "Connect", file: "HtpasswdFile | None", pulls: "tuple[Pull, ...]"
) -> "Iterator[Check]":
    from regctl.workflows.pull_diagnosis import PullDiagnosis

    for pull in pulls:
        yield from PullDiagnosis(pull, cluster, connect, file).checks()


def _first_failure(checks: "list[Check]") -> RegctlError | None:
    """Return the first thing that is wrong, as the error that ends the run."""
    failed = next((check for check in checks if check.state == "failure"), None)
    return DifferenceError(failed.message, hint=failed.hint) if failed is not None else None


# The whole


def _of_file(file: "HtpasswdFile | None") -> "Iterator[Check]":
    from regctl.authfile import readers as consumers
    from regctl.checks import Check
    from regctl.workflows import doctor

    if file is None:
        yield Check("auth file", "skipped", "there is none here", "pass -f")
        return
    yield from doctor.auth_file(file, consumers.READERS["distribution"])


def _of_auth_secret(
    cluster: "Cluster", named: str, file: "HtpasswdFile | None"
) -> "Iterator[Check]":
    from regctl.authfile import readers as consumers
    from regctl.workflows import doctor

    namespace, slash, name = named.partition("/")
    if not slash or not namespace or not name:
        raise InvalidInputError(f"not a Secret: {named!r}", hint="--auth-secret takes NS/NAME")
    yield doctor.auth_secret(cluster, namespace, name, consumers.DEFAULT, file)


def _of_registry(
    app: App,
    where: "Registry",
    who: "Credential | None",
    transport: TransportOptions,
    connect: "Connect",
) -> "Iterator[Check]":
    from regctl.registry.ping import diagnose

    user = (who.username or "the token's user") if who is not None else None
    yield from diagnose(
        lambda as_user: connect(where, who if as_user else None),
        old_transport(app, transport),
        user=user,
    )


def _of_cluster(
    cluster: "Cluster",
    where: "Registry | None",
    target_options: TargetOptions,
    workers: int,
    connect: "Connect",
) -> "Iterator[Check]":
    from regctl.checks import Check
    from regctl.cluster.namespaces import Targets
    from regctl.pullsecrets import inventory
    from regctl.workflows import doctor

    def trial(registry: "Registry", credential: "Credential") -> RegctlError | None:
        try:
            connect(registry, credential).ping()
        except RegctlError as error:
            return error
        return None

    targets = target_options.targets()
    if not targets.named and not targets.listed:
        targets = Targets(everywhere=True, exclude=targets.exclude)
    try:
        cluster.workers = workers
        spaces = targets.resolve(cluster)
        found = inventory.list_pull_secrets(cluster, spaces, everywhere=targets.listed)
        yield from doctor.pull_secrets(found, trial, where)
        if where is not None:
            yield doctor.coverage(found, spaces, where)
        yield from doctor.rights(cluster, spaces)
    except RegctlError as error:
        yield Check("cluster", "failure", error.message, error.hint, error)
