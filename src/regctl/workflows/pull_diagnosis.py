"""
Why an image can't be pulled: the kubelet's way from the pod's Secrets to the image, step by step.

The first failure is the cause. What went before it is told as it is, and what comes after it
depends on it and is not looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.checks import Check
from regctl.cluster.client import Cluster
from regctl.cluster.resource import PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from regctl.cluster.secret import Secret, read_secret
from regctl.cluster.serviceaccounts import read_service_account
from regctl.credentials.credential import Credential, decode_secret
from regctl.credentials.kubelet import KubeletKeyring, Match, PullSecretData
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

_NODES = Resource("Node", "nodes")
_FEW = 5

Connect = Callable[[Registry, Credential | None], RegistryClient]


@dataclass(frozen=True)
class Pull:
    """
    What a kubelet is asked for: *image* with the Secrets of *names*, which *source* lists.

    *account* is whose pods it is about; *platform* is the node's, None where it is not known.
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
    """Return the pull of a pod that *account* would make now. Raises ObjectNotFoundError."""
    item = cluster.get(SERVICE_ACCOUNTS, namespace, account)
    if item is None:
        raise ObjectNotFoundError(f"there is no service account {account} in namespace {namespace}")
    names = read_service_account(item).pull_secrets
    return Pull(image, namespace, names, f"service account {account}", account, platform)


def of_pod(
    cluster: Cluster, namespace: str, name: str, platform: Platform | None
) -> tuple[Pull, ...]:
    """
    Return the pulls of a pod's images, each once.

    A pod has the list that it was made with: its account's at that moment, unless it names its
    own. Raises ObjectNotFoundError.
    """
    item = cluster.get(PODS, namespace, name)
    if item is None:
        raise ObjectNotFoundError(f"there is no pod {name} in namespace {namespace}")
    spec: dict[str, Any] = item["spec"]
    names = tuple(str(one.get("name", "")) for one in spec.get("imagePullSecrets") or ())
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    account = str(spec.get("serviceAccountName") or "default")
    found = platform or _node_platform(cluster, spec.get("nodeName"))
    return tuple(
        Pull(ImageReference.parse(image), namespace, names, f"pod {name}", account, found)
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


@dataclass(frozen=True)
class Doctor:
    """Looks at pulls: with *connect* at registries, and in the auth *file* where there is one."""

    cluster: Cluster = field(repr=False)
    connect: Connect
    file: HtpasswdFile | None = None

    def examine(self, pull: Pull) -> Iterator[Check]:
        """Yield the steps of *pull* up to the first that fails."""
        contents: list[PullSecretData] = []
        passed_over: list[Check] = []
        for check, content in self._secrets(pull):
            if content is not None:
                contents.append(content)
                yield check
            elif check.name == "spoilt":
                yield Check("pull secret", "failure", check.message, check.hint)
                return
            else:
                passed_over.append(check)
        matches = KubeletKeyring.of(contents).lookup(
            f"{pull.image.registry}/{pull.image.repository}"
        )
        if not matches:
            yield from self._anonymous(pull, passed_over)
            return
        yield from (_as_warning(check) for check in passed_over)
        yield from self._with(pull, matches)

    # The Secrets

    def _secrets(self, pull: Pull) -> Iterator[tuple[Check, PullSecretData | None]]:
        """Yield a Check for each Secret listed, with its content where the kubelet uses it."""
        for name in pull.names:
            found = self.cluster.get(SECRETS, pull.namespace, name)
            create = f"regctl secret create {name} --server {pull.image.registry}"
            create = f"`{create} -n {pull.namespace}`"
            if found is None:
                said = f"{pull.source} lists the secret {name}, which is not there"
                yield Check("missing", "failure", said, f"{create} makes it"), None
                continue
            secret = read_secret(found)
            try:
                usable = decode_secret(secret.type, secret.data, source=secret.subject)
            except MalformedError as error:
                said = f"secret {name} spoils every pull: {error.message}"
                yield Check("spoilt", "failure", said, f"{create} --replace makes it anew"), None
                continue
            if usable is None:
                said = f"secret {name} has the type {secret.type}, which the kubelet passes over"
                yield Check("type", "failure", said, f"{create} --replace makes it anew"), None
                continue
            yield (
                Check("pull secret", "ok", f"{name}, listed by {pull.source}"),
                kubelet_data(secret),
            )

    def _anonymous(self, pull: Pull, passed_over: Sequence[Check]) -> Iterator[Check]:
        """Yield why the kubelet has no credential, where it needs one."""
        image = f"{pull.image.registry}/{pull.image.repository}"
        try:
            found = self._found(pull, None)
        except AccessError:
            yield from (
                Check("pull secret", "failure", check.message, check.hint)
                for check in passed_over[:1]
            )
            if not passed_over:
                yield self._why_none(pull, image)
            return
        except RegctlError as error:
            yield self._refused(pull, None, error)
            return
        yield from (_as_warning(check) for check in passed_over)
        yield Check("credential", "ok", f"none, and {pull.image.registry} asks for none")
        yield from _images(pull, found)

    def _why_none(self, pull: Pull, image: str) -> Check:
        host = str(pull.image.registry)
        create = f"regctl secret create --server {host} -n {pull.namespace}"
        others = list(self._in_namespace(pull.namespace))
        for secret in others:
            if secret.name not in pull.names and _serves(secret, image):
                return Check(
                    "credential",
                    "failure",
                    f"secret {secret.name} would do, and {pull.source} does not list it",
                    f"`{create} --service-account {pull.account}` attaches it; pods made before "
                    "keep their list",
                )
        for secret in others:
            for key in _keys(secret) if secret.name in pull.names else ():
                if _bare(key) == _bare(host):
                    return Check(
                        "credential",
                        "failure",
                        f"secret {secret.name} is for {key}, and the image is at {host}: the port "
                        "belongs to the name",
                        f"`{create}` files it under the right name",
                    )
        listed = [key for secret in others if secret.name in pull.names for key in _keys(secret)]
        if listed:
            return Check(
                "credential",
                "failure",
                f"the pull secrets are for {', '.join(sorted(set(listed))[:_FEW])}, and the image "
                f"is at {host}",
                f"`{create} --service-account {pull.account}`",
            )
        return Check(
            "credential",
            "failure",
            f"{pull.source} lists no pull secret, and {host} asks for a password",
            f"`{create} --service-account {pull.account}`",
        )

    def _in_namespace(self, namespace: str) -> Iterator[Secret]:
        for kind in PULL_SECRET_TYPES:
            try:
                for item in self.cluster.objects(
                    SECRETS, namespace=namespace, field_selector=f"type={kind}"
                ):
                    yield read_secret(item)
            except NotPermittedError:
                return

    # The registry

    def _with(self, pull: Pull, matches: Sequence[Match]) -> Iterator[Check]:
        """Yield what comes of the credentials, in the kubelet's order: a good one ends it."""
        failure: Check | None = None
        for match in matches:
            user = match.credential.username
            try:
                found = self._found(pull, match.credential)
            except RegctlError as error:
                failure = failure or self._refused(pull, match, error)
                if not isinstance(error, AccessError):
                    break
                continue
            said = f"{user} of secret {match.secret}, filed under {match.key}"
            yield Check("credential", "ok", said)
            yield from _images(pull, found)
            return
        if failure is not None:
            yield failure

    def _found(self, pull: Pull, credential: Credential | None) -> Image:
        client = self.connect(pull.image.registry, credential)
        return ImageReader(client).image(pull.image.repository, pull.image.reference)

    def _refused(self, pull: Pull, match: Match | None, error: RegctlError) -> Check:
        if isinstance(error, NotInRegistryError):
            return self._not_found(pull, match, error)
        if isinstance(error, NotAuthenticatedError) and match is not None:
            return self._wrong(pull, match)
        return Check("registry", "failure", error.message, error.hint, error)

    def _not_found(self, pull: Pull, match: Match | None, error: RegctlError) -> Check:
        image = pull.image
        client = self.connect(image.registry, match.credential if match else None)
        try:
            tags = client.tags(image.repository)
        except RegctlError:
            return Check(
                "image",
                "failure",
                f"there is no repository {image.repository} at {image.registry}",
                f"`regctl catalog {image.registry}` lists them",
                error,
            )
        some = ", ".join(tags[-_FEW:]) or "none"
        return Check(
            "image",
            "failure",
            f"{image.repository} has no {image.digest or f'tag {image.reference}'}; it has {some}",
            f"`regctl tags {image.registry}/{image.repository}` lists all",
            error,
        )

    def _wrong(self, pull: Pull, match: Match) -> Check:
        """Say why a registry refuses a user, by the auth file where there is one."""
        user, registry = match.credential.username, pull.image.registry
        told = f"{registry} refuses {user} of secret {match.secret}"
        renew = (
            f"`regctl secret create {match.secret} --server {registry} --username {user} "
            f"-n {pull.namespace}`"
        )
        known = self.file.user(user) if self.file is not None else None
        if self.file is None:
            return Check("password", "failure", told, f"{renew} with the right password")
        if known is None:
            why, hint = "the auth file has no such user", f"`regctl adduser {user}`"
        elif known.locked:
            why, hint = "it is locked in the auth file", f"`regctl auth unlock {user}`"
        elif known.scheme.name != "bcrypt":
            why = f"its hash is {known.scheme.name}, which the registry does not read"
            hint = f"`regctl adduser {user}` hashes it anew"
        elif len(known.lines) > 1 and self._one_opens(match):
            why = (
                f"it stands on lines {' and '.join(map(str, known.lines))} of the auth file, and "
                "the last one counts"
            )
            hint = "`regctl auth fix` leaves one"
        else:
            why, hint = "the password is another one in the auth file", f"{renew} with that one"
        return Check("password", "failure", f"{told}: {why}", hint)

    def _one_opens(self, match: Match) -> bool:
        secrets = self.file.secrets(match.credential.username) if self.file is not None else ()
        return any(hashes.verify(match.credential.password, secret) for secret in secrets)


def _images(pull: Pull, found: Image) -> Iterator[Check]:
    yield Check("image", "ok", f"{pull.image} is {found.digest}")
    if pull.platform is None:
        yield Check("platform", "skipped", "the node's is not known", "pass --platform")
        return
    fitting = [one for one in found.variants if one.platform and pull.platform.runs(one.platform)]
    if fitting or not found.platforms:
        yield Check("platform", "ok", f"{pull.platform} is among its platforms")
        return
    yield Check(
        "platform",
        "failure",
        f"the image is for {', '.join(found.platforms)}, and the node is {pull.platform}",
        "build and push it for that platform too",
    )


def _as_warning(check: Check) -> Check:
    return Check("pull secret", "warning", check.message, check.hint)


def _serves(secret: Secret, image: str) -> bool:
    try:
        return bool(KubeletKeyring.of([kubelet_data(secret)]).lookup(image))
    except MalformedError:
        return False


def _keys(secret: Secret) -> list[str]:
    try:
        return list(credentials_of(secret))
    except MalformedError:
        return []


def _bare(key: str) -> str:
    """Return a registry's host without its port."""
    try:
        host = Registry.parse(key).host
    except InvalidReferenceError:
        return key
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
