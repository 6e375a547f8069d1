"""
Why an image cannot be pulled: what the kubelet does, from the pod's Secrets to the image.

Each step is a Check. The first failure is the cause and ends the diagnosis, because every later
step depends on it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.checks import Check
from regctl.cluster.client import Cluster
from regctl.cluster.resource import PODS, SERVICE_ACCOUNTS, Namespace, Resource
from regctl.cluster.secret import Secret, get_secret
from regctl.cluster.serviceaccounts import read_service_account
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import decode_secret
from regctl.credentials.kubelet import Match, kubelet_key, match_image
from regctl.errors import (
    AccessError,
    ClusterError,
    MalformedError,
    NotAuthenticatedError,
    NotInRegistryError,
    NotPermittedError,
    ObjectNotFoundError,
    RegctlError,
)
from regctl.images.manifests import Platform
from regctl.images.reader import Image, ImageReader
from regctl.pullsecrets.content import credentials_of
from regctl.pullsecrets.inventory import PullSecretUse, list_pull_secrets
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
        for name in self.pull.names:
            secret = get_secret(self.cluster, self.pull.namespace, name)
            check = self._check_secret(name, secret)
            if secret is None or check.state == "warning":
                ignored.append(check)
                continue
            yield check
            if check.state == "failure":
                return
            usable.append(secret)
        credentials = {secret.name: credentials_of(secret) for secret in usable}
        matches = match_image(credentials, self._image_name)
        if matches:
            yield from ignored
            yield from self._with_credentials(matches)
        else:
            yield from self._anonymously(ignored)

    @property
    def _image_name(self) -> str:
        """The image as the kubelet compares it with keys: without tag and digest."""
        return f"{self.pull.image.registry}/{self.pull.image.repository}"

    def _create(self, name: str = "", *flags: str) -> str:
        """Return the command that creates or updates a pull secret for this image."""
        where = ["--server", str(self.pull.image.registry), "-n", self.pull.namespace]
        command = ["regctl secret create", *([name] if name else []), *where, *flags]
        return f"`{' '.join(command)}`"

    @property
    def _attach(self) -> str:
        """The command that creates a pull secret and attaches it to the pod's account."""
        return self._create("", "--attach", self.pull.account)

    def _check_secret(self, name: str, secret: Secret | None) -> Check:
        """
        Return what the kubelet makes of a Secret that the pod or service account lists.

        A warning is one that it ignores. With one that it cannot decode every pull fails.
        """
        source, recreate = self.pull.source, f"{self._create(name, '--replace')} recreates it"
        if secret is None:
            message = f"{source} lists secret {name}, which does not exist"
            return Check("pull secret", "warning", message, f"{self._create(name)} creates it")
        try:
            credentials = decode_secret(secret.type, secret.data, source=secret.subject)
        except MalformedError as error:
            message = f"secret {name} breaks every pull: {error.message}"
            return Check("pull secret", "failure", message, recreate)
        if credentials is None:
            message = f"secret {name} has type {secret.type}, which the kubelet ignores"
            return Check("pull secret", "warning", message, recreate)
        return Check("pull secret", "ok", f"{name}, listed by {source}")

    # With the credentials that match

    def _with_credentials(self, matches: Sequence[Match]) -> Iterator[Check]:
        """
        Yield a Check for each credential in the order in which the kubelet tries them.

        The first that the registry accepts is the one that pulls. An error that is not about the
        credential ends the trials.
        """
        result: Iterable[Check] = ()
        rows = (
            (
                f"credential {number}",
                f"secret {m.secret}, entry {m.key}, user {m.credential.username}",
                m,
            )
            for number, m in enumerate(matches, 1)
        )
        for name, entry, match in rows:
            try:
                image = self._read_image(match.credential)
            except AccessError as error:
                result = result or [self._failure(match, error)]
                yield Check(name, "warning", f"{entry}: rejected by {self.pull.image.registry}")
                continue
            except RegctlError as error:
                result = result or [self._failure(match, error)]
                yield Check(name, "skipped", f"{entry}: could not be verified")
            else:
                result = self._image(image)
                yield Check(name, "ok", entry)
            break
        for name, entry, _ in rows:
            yield Check(name, "skipped", f"{entry}: not tried")
        yield from result

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
            yield from ignored[1:]
            if ignored:
                yield replace(ignored[0], state="failure")
            else:
                yield Check("credential", "failure", *self._why_no_credential())
        except RegctlError as error:
            yield from ignored
            yield Check("credential", "warning", anonymous, f"{self._attach} creates one")
            yield self._failure(None, error)
        else:
            yield from ignored
            yield Check("credential", "ok", f"{anonymous}, which {registry} allows")
            yield from self._image(image)

    def _why_no_credential(self) -> tuple[str, str]:
        """Return why the kubelet has no credential for the registry, and a hint."""
        host, source = str(self.pull.image.registry), self.pull.source
        namespace = self.pull.namespace
        found = list_pull_secrets(self.cluster, [Namespace(namespace)], everywhere=False)
        listed = [item for item in found.items if item.secret.name in self.pull.names]
        for item in found.items:
            if item not in listed and self._matches(item):
                name = item.secret.name
                command = f"regctl secret create {name} --from-secret {namespace}/{name}"
                attach = f"`{command} -n {namespace} --attach {self.pull.account}` attaches it"
                return (
                    f"secret {name} matches, but {source} does not list it",
                    f"{attach}; existing pods keep their list",
                )
        keys = sorted((key, item.secret.name) for item in listed for key in item.registries)
        for key, name in keys:
            if _without_port(kubelet_key(key) or key) == _without_port(host):
                return (
                    f"secret {name} is for {key}, and the image is at {host}: the ports differ",
                    f"{self._attach} creates one with the right key",
                )
        if keys:
            registries = some_of(list(dict.fromkeys(key for key, _ in keys)))
            message = f"the pull secrets are for {registries}, and the image is at {host}"
        else:
            message = f"{source} lists no pull secret, and {host} requires a password"
        return message, f"{self._attach} creates one for {host}"

    def _matches(self, item: PullSecretUse) -> bool:
        if item.broken:
            return False
        return bool(match_image({item.secret.name: credentials_of(item.secret)}, self._image_name))

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
        command = self._create(match.secret, "--username", user, "--merge")
        update = f"{command} with the password that"
        if self.file is None:
            return Check("password", "failure", message, f"{update} the registry accepts")
        known = self.file.user(user)
        if known is None:
            why = f"the auth file has no user {user}"
            hint = f"`regctl adduser {user}` adds it"
        elif known.locked:
            why = f"{user} is locked in the auth file"
            hint = f"`regctl auth unlock {user}` unlocks it"
            if known.expires is not None:
                why = f"{user} is locked in the auth file, or expired on {known.expires}"
                hint = f"{hint}, `regctl adduser {user} --expires never` keeps it active"
        elif known.scheme.name != "bcrypt":
            why = f"its hash is {known.scheme.name}, which the registry does not read"
            hint = f"`regctl adduser {user}` replaces the hash"
        elif len(known.lines) > 1 and self.file.matches(user, match.credential.password):
            lines = " and ".join(map(str, known.lines))
            why = f"{user} is on lines {lines} of the auth file, and the last one counts"
            hint = f"`regctl adduser {user}` with the Secret's password leaves one line"
        else:
            why = f"the auth file has a different password for {user}"
            hint = f"{update} the auth file accepts"
        return Check("password", "failure", f"{message}: {why}", hint)


def _without_port(host: str) -> str:
    return re.sub(r":\d+(/.*)?$", "", host)
