"""
Checks of everything that a password passes through.

That is the auth file, the registry, the auth Secret, the pull secrets of all namespaces, and the
rights of the user who asks. A part that does not exist is skipped.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property, partial

from regctl import parallel
from regctl.authfile import audit
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import DEFAULT_READER, AuthFileReader
from regctl.authsecret.compare import compare
from regctl.authsecret.secret import fetch, read
from regctl.checks import Check, State
from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import Targets
from regctl.cluster.resource import Namespace
from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential
from regctl.errors import RegctlError
from regctl.pullsecrets import check as secretcheck
from regctl.pullsecrets.inventory import Inventory, list_pull_secrets
from regctl.pullsecrets.trial import Trial
from regctl.reference import Registry
from regctl.registry.ping import diagnose
from regctl.wording import count, some_of
from regctl.workflows.pull_diagnosis import Connect
from regctl.workflows.pull_repair import change_at_source, flags_for
from regctl.workflows.registry_access import RegistryAccess

_STATES: Mapping[str, State] = {"error": "failure", "warning": "warning"}
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True)
class Doctor:
    """
    Checks an auth file, a registry and a cluster.

    *connect* returns a client for a registry and a credential. *trial* tries a
    credential at a registry. *cluster* returns the cluster, or raises the reason if it has none.
    *targets* without namespaces are all of them. *credential* is the one to try at *registry*,
    *auth_secret* a namespace and a name. Users of *file* that expired by *today* (UTC) are treated
    as locked. *reader* reads the auth file; None finds out which one does.
    """

    connect: Connect
    trial: Trial
    cluster: Callable[[], Cluster]
    targets: Targets = field(default_factory=Targets)
    file: HtpasswdFile | None = None
    registry: Registry | None = None
    credential: Credential | None = None
    auth_secret: tuple[str, str] | None = None
    today: date | None = None
    reader: AuthFileReader | None = None

    def checks(self) -> Iterator[Check]:
        """Yield each check when it is done."""
        if self.file is None:
            yield Check("auth file", "skipped", "there is no auth file here", "pass --file")
        else:
            yield from check_auth_file(self.file, self._access.used_reader, self.today)
        if self.registry is not None:
            yield from self._check_registry(self.registry)
        try:
            cluster = self.cluster()
        except RegctlError as error:
            yield Check("cluster", "skipped", error.message, error.hint, error)
            return
        if self.auth_secret is not None:
            file = self.file and (self.file.as_of(self.today) if self.today else self.file)
            yield check_auth_secret(cluster, *self.auth_secret, file, self._access.used_reader)
        yield from self._access.checks()
        try:
            yield from self._check_cluster(cluster)
        except RegctlError as error:
            yield Check("cluster", "failure", error.message, error.hint, error)

    @cached_property
    def _access(self) -> RegistryAccess:
        named = self.targets.named
        return RegistryAccess(self.cluster, self.registry, self.auth_secret, self.reader, named)

    def _check_registry(self, registry: Registry) -> Iterator[Check]:
        private = self.file is not None or self.auth_secret is not None
        for check in diagnose(partial(self.connect, registry), self.credential):
            if private and check.name == "authentication" and check.state == "warning":
                hint = "let the registry or its ingress ask for a password: the users are not used"
                yield replace(check, state="failure", hint=hint)
            else:
                yield check

    def _check_cluster(self, cluster: Cluster) -> Iterator[Check]:
        targets = self.targets.or_everywhere()
        namespaces = targets.resolve(cluster)
        found = list_pull_secrets(cluster, namespaces, everywhere=targets.listed)
        yield from check_pull_secrets(found, self.trial, self.registry, workers=cluster.workers)
        if self.registry is not None:
            yield check_coverage(found, namespaces, self.registry)
        yield from check_rights(cluster, namespaces)


def check_auth_file(
    file: HtpasswdFile, reader: AuthFileReader, today: date | None = None
) -> Iterator[Check]:
    """Yield the errors and warnings that the audit finds for *reader*, or the number of users."""
    findings = audit.check(file, reader, today=today)
    for one in findings:
        if (state := _STATES.get(one.severity)) is not None:
            lines = some_of([str(number) for number in one.lines])
            where = f"{'lines' if len(one.lines) > 1 else 'line'} {lines}: " if lines else ""
            yield Check("auth file", state, f"{where}{one.problem}: {one.effect}", one.remedy)
    if not any(one.severity == "error" for one in findings):
        users = count(len(file.users()), "user")
        yield Check("auth file", "ok", f"{users}, as {reader.name} reads it")


def check_auth_secret(
    cluster: Cluster,
    namespace: str,
    name: str,
    file: HtpasswdFile | None,
    reader: AuthFileReader = DEFAULT_READER,
) -> Check:
    """Return whether the auth Secret is readable, and has the users of *file* if there is one."""
    subject = f"{namespace}/secret/{name}"
    try:
        secret = fetch(cluster, namespace, name)
        live = read(secret, reader)
    except RegctlError as error:
        return Check("auth secret", "failure", error.message, error.hint, error)
    if file is None:
        return Check("auth secret", "ok", f"{subject} has {count(len(live.users()), 'user')}")
    changes = compare(live, HtpasswdFile(file.active_lines()))
    if not changes:
        return Check("auth secret", "ok", f"{subject} has the users of the auth file")
    users = some_of([f"{user.name} ({user.change})" for user in changes])
    message = f"{subject} differs from the auth file: {users}"
    return Check("auth secret", "failure", message, _push(secret, reader))


def _push(secret: Secret, reader: AuthFileReader) -> str:
    """Return the hint that uploads the auth file to *secret*."""
    if secret.ownership.controller is not None:
        return change_at_source(secret)
    words = ["regctl auth push --auth-secret", f"{secret.namespace}/{secret.name}"]
    if reader is not DEFAULT_READER:
        words += ["--for", reader.name]
    if not secret.ownership.managed:
        words += ["--adopt"]
    return f"`{' '.join(words)}` updates it"


def check_pull_secrets(
    found: Inventory,
    trial: Trial,
    registry: Registry | None,
    *,
    workers: int = parallel.DEFAULT_WORKERS,
) -> Iterator[Check]:
    """
    Yield a check for each problem of the pull secrets that were *found*.

    *trial* tries their credentials. A user whose password differs between namespaces is a warning,
    for *registry* only if it is given.
    """
    name = "pull secrets"
    for namespace, error in sorted(found.errors.items()):
        message = f"cannot check namespace {namespace}: {error.message}"
        yield Check(name, "failure", message, error.hint, error)
    if found.accounts is None:
        message = "you may not list service accounts: one may list a Secret that does not exist"
        yield Check(
            "accounts", "failure", message, "`regctl rbac doctor` prints the Role to ask for"
        )
    findings = secretcheck.check(found, trial, workers=workers)
    for finding in findings:
        if finding.verdict != "ok":
            yield Check(
                name,
                "failure" if finding.verdict == "problem" else "warning",
                f"{finding.namespace}/{finding.subject}: {finding.message}",
                f"`regctl secret check -n {finding.namespace}` lists its findings",
            )
    working = sum(finding.verdict == "ok" for finding in findings)
    if working or not findings:
        entries = "1 entry works" if working == 1 else f"{working} entries work"
        yield Check(name, "ok", entries)
    yield from _different_passwords(found, registry)


def _different_passwords(found: Inventory, registry: Registry | None) -> Iterator[Check]:
    """Yield a warning for each user whose password is not the same in every namespace."""
    found_in: dict[tuple[str, str], dict[str, list[Secret]]] = {}
    for item in found.items:
        for key, credential in item.credentials.items():
            if registry is not None and Registry.find(key) != registry:
                continue
            passwords = found_in.setdefault((key, credential.username), {})
            passwords.setdefault(credential.password, []).append(item.secret)
    for (key, user), passwords in sorted(found_in.items()):
        if len(passwords) > 1:
            rarest = min(passwords.values(), key=len)
            yield Check(
                "pull secrets",
                "warning",
                f"{user} at {key} has {len(passwords)} different passwords; the rarest is in "
                f"{some_of(sorted({secret.namespace for secret in rarest}))}",
                _set_password(key, user, rarest),
            )


def _set_password(key: str, user: str, secrets: Sequence[Secret]) -> str:
    """Return the hint that sets a user's password in the first of *secrets*, and in its like."""
    first = secrets[0]
    if first.ownership.controller is not None:
        return change_at_source(first)
    flags = flags_for(first)
    like = [one for one in secrets if one.name == first.name and flags_for(one) == flags]
    spaces = ",".join(one.namespace for one in like if one.ownership.controller is None)
    command = ["regctl", "secret", "create", first.name, "--server", key, "--username", user]
    return f"`{shlex.join([*command, '-n', spaces, *flags])}` sets the same one"


def check_coverage(found: Inventory, namespaces: Sequence[Namespace], registry: Registry) -> Check:
    """Return which namespaces have no pull secret for *registry*."""
    covered = {
        item.secret.namespace
        for item in found.items
        if registry in map(Registry.find, item.registries)
    }
    missing = sorted({namespace.name for namespace in namespaces} - covered - found.errors.keys())
    if not missing:
        spaces = count(len(namespaces), "namespace")
        return Check("namespaces", "ok", f"{spaces}, each with a pull secret for {registry}")
    return Check(
        "namespaces",
        "warning",
        f"no pull secret for {registry} in {some_of(missing)}",
        f"`regctl secret create --server {registry} -n {missing[0]} --attach default` creates one",
    )


def check_rights(cluster: Cluster, namespaces: Sequence[Namespace]) -> Iterator[Check]:
    """Yield whether the user may read and change pull secrets in *namespaces*."""
    for verb, action in (("get", "read"), ("patch", "change")):
        if _may(cluster, verb):
            continue
        denied = [one.name for one in namespaces if not _may(cluster, verb, one.name)]
        if denied:
            message = f"you may not {action} Secrets in {some_of(denied)}"
            yield Check("rights", "warning", message, "`regctl rbac` prints the Role to ask for")
            return
    yield Check("rights", "ok", "you may read and change pull secrets")


def _may(cluster: Cluster, verb: str, namespace: str = "") -> bool:
    """Whether the user may do *verb* with Secrets in *namespace*, or in all namespaces."""
    attributes = {"namespace": namespace, "verb": verb, "resource": "secrets"}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = cluster.create(_REVIEWS, body, "cannot check your rights")
    return bool((answer.get("status") or {}).get("allowed"))
