"""
Why an image cannot be pulled: what the kubelet does, from the pod's Secrets to the image.

Each step is a Check. The first failure is the cause and ends the diagnosis, because every later
step depends on it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.checks import Check
from regctl.cluster.client import Cluster
from regctl.cluster.resource import PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from regctl.cluster.secret import Secret, read_secret
from regctl.cluster.serviceaccounts import read_service_account
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import decode_secret
from regctl.credentials.kubelet import KubeletKeyring, Match
from regctl.errors import (
    AccessError,
    ClusterError,
    InvalidReferenceError,
    MalformedError,
    NotAuthenticatedError,
    NotInRegistryError,
    NotPermittedError,
    ObjectNotFoundError,
    RegctlError,
)
from regctl.images.manifests import Platform
from regctl.images.reader import Image, ImageReader
from regctl.pullsecrets.content import PULL_SECRET_TYPES, credentials_of, kubelet_data
from regctl.reference import ImageReference, Registry
from regctl.registry.client import RegistryClient
from regctl.wording import some_of

_NODES = Resource("Node", "nodes")
_SHOWN_TAGS = 5

Connect = Callable[[Registry, Credential | None], RegistryClient]


# The pull


@dataclass(frozen=True)
class Pull:
    """
    What a kubelet pulls: *image*, with the Secrets of *names*, which *source* lists.

    *account* is the pod's service account. *platform* is the node's, or None if it is unknown.
    """

    image: ImageReference
    namespace: str
    names: tuple[str, ...]
    source: str
    account: str
    platform: Platform | None = None


def of_account(
    cluster: Cluster, image: ImageReference, namespace: str, account: str, platform: Platform | None
) -> Pull:
    """Return the pull of a pod that *account* would create now. Raises ObjectNotFoundError."""
    item = cluster.get(SERVICE_ACCOUNTS, namespace, account)
    if item is None:
        raise ObjectNotFoundError(f"there is no service account {account} in namespace {namespace}")
    names = read_service_account(item).pull_secrets
    return Pull(image, namespace, names, f"service account {account}", account, platform)


def of_pod(
    cluster: Cluster, namespace: str, name: str, platform: Platform | None
) -> tuple[Pull, ...]:
    """
    Return the pulls of a pod's images, each image once.

    A pod keeps the list that it got at its creation: its own, else that of its service account.
    Raises ObjectNotFoundError.
    """
    item = cluster.get(PODS, namespace, name)
    if item is None:
        raise ObjectNotFoundError(f"there is no pod {name} in namespace {namespace}")
    spec: dict[str, Any] = item["spec"]
    names = tuple(str(one.get("name", "")) for one in spec.get("imagePullSecrets") or ())
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    account = str(spec.get("serviceAccountName") or "default")
    node_platform = platform or _node_platform(cluster, spec.get("nodeName"))
    return tuple(
        Pull(ImageReference.parse(image), namespace, names, f"pod {name}", account, node_platform)
        for image in dict.fromkeys(str(container["image"]) for container in containers)
    )


def _node_platform(cluster: Cluster, name: str | None) -> Platform | None:
    if not name:
        return None
    try:
        item = cluster.get(_NODES, None, name)
    except (ClusterError, NotPermittedError):
        return None
    info = ((item or {}).get("status") or {}).get("nodeInfo") or {}
    system, architecture = info.get("operatingSystem"), info.get("architecture")
    return Platform(system, architecture) if system and architecture else None


# The Secrets that it lists


@dataclass(frozen=True)
class ListedSecret:
    """
    A Secret that a pod or service account lists, as the kubelet sees it.

    The kubelet ignores one that is `missing` or of the `wrong type`. With one that is
    `undecodable` every pull of the pod fails; *reason* says what is wrong with it.
    """

    name: str
    secret: Secret | None
    problem: Literal["missing", "wrong type", "undecodable"] | None = None
    reason: str = ""


def read_listed(cluster: Cluster, namespace: str, names: Sequence[str]) -> Iterator[ListedSecret]:
    """Yield the Secrets of *names* in their order, each read when its turn comes."""
    for name in names:
        item = cluster.get(SECRETS, namespace, name)
        if item is None:
            yield ListedSecret(name, None, "missing")
            continue
        secret = read_secret(item)
        try:
            credentials = decode_secret(secret.type, secret.data, source=secret.subject)
        except MalformedError as error:
            yield ListedSecret(name, secret, "undecodable", error.message)
        else:
            yield ListedSecret(name, secret, "wrong type" if credentials is None else None)


# The diagnosis


@dataclass(frozen=True)
class PullDiagnosis:
    """
    Follows one *pull* in the cluster and at the image's registry.

    *connect* returns a client for a registry and a credential. *file* is the registry's auth file,
    if it is at hand: it explains why the registry rejects a password.
    """

    pull: Pull
    cluster: Cluster = field(repr=False)
    connect: Connect
    file: HtpasswdFile | None = None

    def checks(self) -> Iterator[Check]:
        """Yield a Check for each step, up to the first failure."""
        usable: list[Secret] = []
        ignored: list[Check] = []
        for listed in read_listed(self.cluster, self.pull.namespace, self.pull.names):
            check = self._listed(listed)
            if listed.secret is not None and listed.problem is None:
                usable.append(listed.secret)
                yield check
            elif listed.problem == "undecodable":
                yield check
                return
            else:
                ignored.append(check)
        matches = KubeletKeyring.of(map(kubelet_data, usable)).lookup(self._image_name)
        if matches:
            yield from map(_as_warning, ignored)
            yield from self._with_credentials(matches)
        else:
            yield from self._anonymously(ignored)

    @property
    def _image_name(self) -> str:
        """The image as the kubelet compares it with keys: without tag and digest."""
        return f"{self.pull.image.registry}/{self.pull.image.repository}"

    @property
    def _create(self) -> str:
        """The command that creates a pull secret for this image."""
        return f"secret create --server {self.pull.image.registry} -n {self.pull.namespace}"

    @property
    def _attach(self) -> str:
        return f"`regctl {self._create} --attach {self.pull.account}`"

    def _listed(self, listed: ListedSecret) -> Check:
        name, source, image = listed.name, self.pull.source, self.pull.image
        create = f"`regctl secret create {name} --server {image.registry}"
        recreate = f"{create} -n {self.pull.namespace} --replace` recreates it"
        if listed.secret is None:
            message = f"{source} lists secret {name}, which does not exist"
            return _pull_secret(message, f"{create} -n {self.pull.namespace}` creates it")
        if listed.problem == "undecodable":
            return _pull_secret(f"secret {name} breaks every pull: {listed.reason}", recreate)
        if listed.problem == "wrong type":
            message = f"secret {name} has type {listed.secret.type}, which the kubelet ignores"
            return _pull_secret(message, recreate)
        return Check("pull secret", "ok", f"{name}, listed by {source}")

    # With the credentials that match

    def _with_credentials(self, matches: Sequence[Match]) -> Iterator[Check]:
        """
        Yield a Check for each credential in the order in which the kubelet tries them.

        The first that the registry accepts is the one that pulls. An error that is not about the
        credential ends the trials.
        """
        found: Image | None = None
        failure: Check | None = None
        decided = False
        for number, match in enumerate(matches, 1):
            name, user = f"credential {number}", match.credential.username
            entry = f"secret {match.secret}, entry {match.key}, user {user}"
            if decided:
                yield Check(name, "skipped", f"{entry}: not tried")
                continue
            try:
                found = self._read_image(match.credential)
            except AccessError as error:
                failure = failure or self._failure(match, error)
                yield Check(name, "warning", f"{entry}: rejected by {self.pull.image.registry}")
            except RegctlError as error:
                failure, decided = failure or self._failure(match, error), True
                yield Check(name, "skipped", f"{entry}: could not be verified")
            else:
                decided = True
                yield Check(name, "ok", entry)
        if found is not None:
            yield from self._image(found)
        elif failure is not None:
            yield failure

    def _read_image(self, credential: Credential | None) -> Image:
        client = self.connect(self.pull.image.registry, credential)
        return ImageReader(client).image(self.pull.image.repository, self.pull.image.reference)

    def _image(self, image: Image) -> Iterator[Check]:
        yield Check("image", "ok", f"{self.pull.image} is {image.digest}")
        platform = self.pull.platform
        if platform is None:
            yield Check("platform", "skipped", "the node's platform is unknown", "pass --platform")
            return
        runs = any(one.platform and platform.runs(one.platform) for one in image.variants)
        if runs or not image.platforms:
            yield Check("platform", "ok", f"{platform} is among its platforms")
            return
        message = f"the image is for {', '.join(image.platforms)}, and the node is {platform}"
        yield Check("platform", "failure", message, "build and push it for that platform too")

    # Without a credential

    def _anonymously(self, ignored: Sequence[Check]) -> Iterator[Check]:
        """Yield the result of a pull without a password, and of each Secret that was ignored."""
        registry = self.pull.image.registry
        anonymous = f"no pull secret is for {self._image_name}: the kubelet pulls anonymously"
        try:
            image = self._read_image(None)
        except AccessError:
            yield from map(_as_warning, ignored[1:])
            yield ignored[0] if ignored else self._why_no_credential()
        except RegctlError as error:
            yield from map(_as_warning, ignored)
            yield Check("credential", "warning", anonymous, self._attach)
            yield self._failure(None, error)
        else:
            yield from map(_as_warning, ignored)
            yield Check("credential", "ok", f"{anonymous}, which {registry} allows")
            yield from self._image(image)

    def _why_no_credential(self) -> Check:
        """Return why the kubelet has no credential for a registry that requires one."""
        message, hint = self._reason_and_hint()
        return Check("credential", "failure", message, hint)

    def _reason_and_hint(self) -> tuple[str, str]:
        host, source = str(self.pull.image.registry), self.pull.source
        secrets = list(self._pull_secrets())
        listed = [secret for secret in secrets if secret.name in self.pull.names]
        for secret in secrets:
            if secret not in listed and _matches(secret, self._image_name):
                return (
                    f"secret {secret.name} matches, but {source} does not list it",
                    f"{self._attach} attaches it; existing pods keep their list",
                )
        keys = sorted({(key, secret.name) for secret in listed for key in _keys(secret)})
        for key, name in keys:
            if _without_port(key) == _without_port(host):
                return (
                    f"secret {name} is for {key}, and the image is at {host}: the ports differ",
                    f"`regctl {self._create}` creates one with the right key",
                )
        if keys:
            registries = some_of(list(dict.fromkeys(key for key, _ in keys)))
            return (
                f"the pull secrets are for {registries}, and the image is at {host}",
                self._attach,
            )
        return f"{source} lists no pull secret, and {host} requires a password", self._attach

    def _pull_secrets(self) -> Iterator[Secret]:
        """Yield the pull secrets of the namespace, as far as they may be listed."""
        for kind in PULL_SECRET_TYPES:
            try:
                for item in self.cluster.list(
                    SECRETS, namespace=self.pull.namespace, field_selector=f"type={kind}"
                ):
                    yield read_secret(item)
            except NotPermittedError:
                return

    # What the registry answered

    def _failure(self, match: Match | None, error: RegctlError) -> Check:
        if isinstance(error, NotInRegistryError):
            return self._no_image(match, error)
        if isinstance(error, NotAuthenticatedError) and match is not None:
            return self._wrong_password(match)
        return Check("registry", "failure", error.message, error.hint, error)

    def _no_image(self, match: Match | None, error: RegctlError) -> Check:
        image = self.pull.image
        client = self.connect(image.registry, match.credential if match else None)
        try:
            tags = client.tags(image.repository)
        except RegctlError:
            message = f"there is no repository {image.repository} at {image.registry}"
            hint = f"`regctl catalog {image.registry}` lists the repositories"
        else:
            missing = image.digest or f"tag {image.reference}"
            newest = ", ".join(tags[-_SHOWN_TAGS:]) or "none"
            message = f"{image.repository} has no {missing}; it has {newest}"
            hint = f"`regctl tags {image.registry}/{image.repository}` lists all tags"
        return Check("image", "failure", message, hint, error)

    def _wrong_password(self, match: Match) -> Check:
        """Return why the registry rejects a user, by the auth file if there is one."""
        user, registry = match.credential.username, self.pull.image.registry
        message = f"{registry} rejects {user} of secret {match.secret}"
        update = (
            f"`regctl secret create {match.secret} --server {registry} --username {user} "
            f"-n {self.pull.namespace}`"
        )
        if self.file is None:
            return Check("password", "failure", message, f"{update} with the right password")
        known = self.file.user(user)
        if known is None:
            why, hint = f"the auth file has no user {user}", f"`regctl adduser {user}` adds it"
        elif known.locked:
            why, hint = (
                f"{user} is locked in the auth file",
                f"`regctl auth unlock {user}` unlocks it",
            )
        elif known.scheme.name != "bcrypt":
            why = f"its hash is {known.scheme.name}, which the registry does not read"
            hint = f"`regctl adduser {user}` replaces the hash"
        elif len(known.lines) > 1 and self.file.matches(user, match.credential.password):
            lines = " and ".join(map(str, known.lines))
            why = f"{user} is on lines {lines} of the auth file, and the last one counts"
            hint = "`regctl auth check --fix` leaves one line"
        else:
            why = f"the auth file has a different password for {user}"
            hint = f"{update} with that one"
        return Check("password", "failure", f"{message}: {why}", hint)


def _pull_secret(message: str, hint: str) -> Check:
    return Check("pull secret", "failure", message, hint)


def _as_warning(check: Check) -> Check:
    return replace(check, state="warning")


def _matches(secret: Secret, image: str) -> bool:
    try:
        return bool(KubeletKeyring.of([kubelet_data(secret)]).lookup(image))
    except MalformedError:
        return False


def _keys(secret: Secret) -> list[str]:
    try:
        return list(credentials_of(secret))
    except MalformedError:
        return []


def _without_port(key: str) -> str:
    """Return a registry's host without its port."""
    try:
        host = Registry.parse(key).host
    except InvalidReferenceError:
        return key
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
