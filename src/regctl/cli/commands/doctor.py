"""`regctl doctor`: all checks at once, and why a pull fails."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.checks import report
from regctl.cli.command import Command, option
from regctl.cli.completers import POD, pull_subjects, service_accounts
from regctl.cli.options import CredentialFlags, NamespacedName, TargetFlags
from regctl.cli.params import (
    auth_secret_option,
    cluster_options,
    credential_options,
    file_option,
    output_option,
    reader_option,
    registry_options,
    target_options,
    workers_option,
)
from regctl.cli.verification import try_credential
from regctl.errors import DifferenceError, InvalidInputError, InvalidReferenceError, RegctlError

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.checks import Check
    from regctl.workflows.pull import Pull


@click.command(
    cls=Command,
    examples=[
        "regctl doctor registry.foo.com",
        "regctl doctor registry.foo.com --auth-secret registry/registry-basic-auth -o json",
        "regctl doctor registry.foo.com/team/app:1.0 -n team-a --platform linux/arm64",
        "regctl doctor pod/web-7d4b9 -n team-a",
    ],
)
@click.argument(
    "subject", metavar="[REGISTRY|IMAGE|pod/NAME]", required=False, shell_complete=pull_subjects
)
@option(
    "--service-account",
    metavar="NAME",
    shell_complete=service_accounts,
    default="default",
    show_default=True,
    help="The service account of the pod that pulls IMAGE.",
)
@option(
    "--platform", metavar="OS/ARCH", help="The node's platform.  [default: that of the pod's node]"
)
@file_option
@reader_option
@auth_secret_option
@credential_options
@target_options
@workers_option
@registry_options
@cluster_options
@output_option("table", "json", "yaml")
@pass_app
def doctor(
    app: App,
    *,
    subject: str | None,
    service_account: str,
    platform: str | None,
    path: "Path | None",
    reader: str | None,
    auth_secret: NamespacedName | None,
    credential: CredentialFlags,
    targets: TargetFlags,
) -> None:
    """
    Check users, registry and pull secrets, or find out why a pull fails.

    For a registry it checks the auth file, the registry, the auth Secret, the pull secrets and
    your rights. It skips what does not exist. For an image or a pod it does what the kubelet does,
    up to the first failure. A name after the host's slash makes it an image. Exit code 1 means that
    a check failed.

    Without --for, the ingress or the auth Secret decides who reads the auth file; if there is
    neither, it is the registry.
    """
    from regctl.authfile.readers import get_reader
    from regctl.workflows.doctor import Doctor
    from regctl.workflows.pull_diagnosis import diagnose_pulls
    from regctl.workflows.pull_repair import AuthFile
    from regctl.workflows.registry_access import RegistryAccess

    file = _auth_file(app, path)
    options = {"-f": str(path)} if path is not None else {}
    chosen = get_reader(reader) if reader is not None else None
    pulls = _pulls(app, subject, targets, service_account, platform)
    if pulls is not None:
        explained = None
        registries = [pull.image.registry for pull in pulls if not isinstance(pull, RegctlError)]
        if file is not None:
            access = RegistryAccess(
                lambda: app.cluster, registries[0] if registries else None, auth_secret, chosen
            )
            explained = AuthFile(
                file,
                app.today(),
                lambda: access.used_reader,
                f" --auth-secret {'/'.join(auth_secret)}" if auth_secret is not None else "",
            )
        checks = diagnose_pulls(pulls, app.cluster, app.registry_as, explained)
        report(app, checks, _first_failure, options)
        return
    named = subject or app.environ.get("REGCTL_REGISTRY")
    registry = app.named_registry(named) if named else None
    examination = Doctor(
        app.registry_as,
        partial(try_credential, app),
        lambda: app.cluster,
        app.targets(targets),
        file,
        registry,
        app.credential(credential, registry) if registry is not None else None,
        auth_secret,
        app.today(),
        chosen,
    )
    report(app, examination.checks(), _first_failure, options)


def _auth_file(app: App, path: "Path | None") -> "HtpasswdFile | None":
    """Return the auth file, or None if none is named and the default one does not exist."""
    from regctl.authfile.htpasswd import HtpasswdFile

    file = app.auth_file(path)
    return HtpasswdFile.read(file) if path is not None or file.exists() else None


def _pulls(
    app: App, subject: str | None, flags: TargetFlags, account: str, platform: str | None
) -> "Sequence[Pull | InvalidReferenceError] | None":
    """Return the pulls of a pod's images or of one image; None if *subject* is a registry."""
    from regctl.images.manifests import Platform
    from regctl.reference import Registry, parse_registry_or_image
    from regctl.workflows.pull import of_account, of_pod

    if subject is None:
        return None
    image = None if subject.startswith(POD) else parse_registry_or_image(subject)
    app.obey_scheme(subject)
    if isinstance(image, Registry):
        return None
    node = Platform.parse(platform) if platform is not None else None
    namespace = _one_namespace(app, flags)
    if image is None:
        return of_pod(app.cluster, namespace, subject.removeprefix(POD), node)
    return (of_account(app.cluster, image, namespace, account, node),)


def _one_namespace(app: App, flags: TargetFlags) -> str:
    targets = app.targets(flags)
    if targets.listed or len(targets.named) > 1:
        raise InvalidInputError("a pull is in one namespace", hint="pass -n once")
    return targets.named[0] if targets.named else app.cluster.context_namespace


def _first_failure(checks: "Sequence[Check]") -> RegctlError | None:
    """Return the first failure, as the error that ends the run."""
    failed = next((check for check in checks if check.state == "failure"), None)
    return DifferenceError(failed.message, hint=failed.hint) if failed is not None else None
