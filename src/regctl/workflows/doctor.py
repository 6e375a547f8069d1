"""
Everything along the way of a password, looked at: the auth file, the Secret made of it, the
registry, the pull secrets of all namespaces, and the rights of whoever asks.

Each part yields Checks of its own; what can't be looked at is skipped, with the reason.
"""

from collections.abc import Iterator, Sequence

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import AuthFileReader
from regctl.authsecret.compare import compare
from regctl.authsecret.secret import fetch, read
from regctl.checks import Check, State
from regctl.cluster.client import Cluster
from regctl.cluster.resource import Namespace
from regctl.errors import RegctlError
from regctl.pullsecrets import check as secretcheck
from regctl.pullsecrets.check import Trial
from regctl.pullsecrets.content import credentials_for
from regctl.pullsecrets.inventory import Inventory
from regctl.reference import Registry
from regctl.wording import count, some_of

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def auth_file(file: HtpasswdFile, consumer: AuthFileReader) -> Iterator[Check]:
    """Look at the file as *consumer* reads it."""
    users = file.users()
    if malformed := file.malformed():
        said = f"line {malformed[0].number} is not NAME:HASH: the registry reads none of the file"
        yield Check("auth file", "failure", said, "`regctl auth fix` makes it a comment")
    doubled = [user.name for user in users if len(user.lines) > 1]
    if doubled:
        said = f"on several lines: {some_of(doubled)}; readers differ on which one counts"
        yield Check("auth file", "failure", said, "`regctl auth fix` leaves one")
    odd = [u.name for u in users if not u.locked and u.scheme.name not in consumer.readable]
    if odd:
        said = f"{consumer.name} does not read the hash of {some_of(odd)}"
        yield Check("auth file", "failure", said, f"`regctl adduser {odd[0]}` hashes it anew")
    if not malformed and not doubled and not odd:
        yield Check("auth file", "ok", count(len(users), "user"))


def auth_secret(
    cluster: Cluster, namespace: str, name: str, consumer: AuthFileReader, file: HtpasswdFile | None
) -> Check:
    """Look whether the Secret that a registry's users are read from lets in whom the file does."""
    subject = f"{namespace}/secret/{name}"
    try:
        live = read(fetch(cluster, namespace, name), consumer)
    except RegctlError as error:
        return Check("auth secret", "failure", error.message, error.hint, error)
    if file is None:
        return Check("auth secret", "ok", f"{subject} has {count(len(live.users()), 'user')}")
    changes = compare(live, HtpasswdFile(file.published()))
    if changes:
        named = some_of([f"{user.name} ({user.change})" for user in changes])
        return Check(
            "auth secret",
            "failure",
            f"{subject} is not what the auth file would make of it: {named}",
            f"`regctl auth push -n {namespace} --secret {name}`",
        )
    return Check("auth secret", "ok", f"{subject} lets in whom the auth file lets in")


def pull_secrets(
    found: Inventory, trial: Trial | None, registry: Registry | None
) -> Iterator[Check]:
    """Look at every pull secret that was *found*: does it work, and is it the same everywhere?"""
    for namespace, error in sorted(found.errors.items()):
        said = f"{namespace} is not looked at: {error.message}"
        yield Check("pull secrets", "failure", said, error.hint, error)
    if found.accounts is None:
        said = "service accounts may not be listed: one may name a Secret that is not there"
        yield Check("accounts", "failure", said, "`regctl rbac --for doctor` prints the Role")
    findings = secretcheck.check(found, trial)
    good = [finding for finding in findings if finding.verdict == "ok"]
    for finding in findings:
        if finding.verdict != "ok":
            state: State = "failure" if finding.verdict == "problem" else "warning"
            said = f"{finding.namespace}/{finding.subject}: {finding.message}"
            yield Check(
                "pull secrets", state, said, f"`regctl secret check -n {finding.namespace}`"
            )
    if good or not findings:
        entries = "1 entry works" if len(good) == 1 else f"{len(good)} entries work"
        yield Check("pull secrets", "ok", entries)
    yield from _differing(found, registry)


def _differing(found: Inventory, registry: Registry | None) -> Iterator[Check]:
    """Yield a warning for each user whose password is not the same everywhere."""
    seen: dict[tuple[str, str], dict[str, list[str]]] = {}
    for item in found.items:
        for key, credential in credentials_for(item.secret, registry).items():
            passwords = seen.setdefault((key, credential.username), {})
            passwords.setdefault(credential.password, []).append(item.secret.namespace)
    for (key, user), passwords in sorted(seen.items()):
        if len(passwords) > 1:
            fewest = min(passwords.values(), key=len)
            yield Check(
                "pull secrets",
                "warning",
                f"{user} at {key} has {len(passwords)} different passwords; another one in "
                f"{some_of(sorted(fewest))}",
                f"`regctl secret create --server {key} --username {user} -A` makes them one",
            )


def coverage(found: Inventory, namespaces: Sequence[Namespace], registry: Registry) -> Check:
    """Look which namespaces have a pull secret for *registry*, and which lack one."""
    having = {
        item.secret.namespace for item in found.items if credentials_for(item.secret, registry)
    }
    lacking = sorted({namespace.name for namespace in namespaces} - having - found.errors.keys())
    if not lacking:
        return Check("namespaces", "ok", f"all {len(namespaces)} have a pull secret for {registry}")
    return Check(
        "namespaces",
        "warning",
        f"no pull secret for {registry} in {some_of(lacking)}",
        f"`regctl secret create --server {registry} -n {lacking[0]}`",
    )


def rights(cluster: Cluster, namespaces: Sequence[Namespace]) -> Iterator[Check]:
    """Ask the API server whether pull secrets may be read and changed where they are wanted."""
    for verb in ("get", "patch"):
        if _may(cluster, verb, None):
            continue
        refused = [one.name for one in namespaces if not _may(cluster, verb, one.name)]
        if refused:
            yield Check(
                "rights",
                "warning",
                f"secrets may not be {'read' if verb == 'get' else 'changed'} in "
                f"{some_of(refused)}",
                "`regctl rbac` prints the Role to ask for",
            )
            return
    yield Check("rights", "ok", "pull secrets may be read and changed")


def _may(cluster: Cluster, verb: str, namespace: str | None) -> bool:
    """Whether the asker may do that with Secrets of a namespace, or None: of all at once."""
    where = {"namespace": namespace} if namespace else {}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {**where, "verb": verb, "resource": "secrets"}},
    }
    answer = cluster.create(_REVIEWS, body, "cannot ask for one's own rights")
    return bool((answer.get("status") or {}).get("allowed"))
