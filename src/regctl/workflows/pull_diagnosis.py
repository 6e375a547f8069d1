"""
Why an image cannot be pulled: what the kubelet does, from the pod's Secrets to the image.

Each step is a Check. The first failure is the cause and ends the diagnosis, because every later
step depends on it.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from regctl.checks import Check, State
from regctl.cluster.client import Cluster
from regctl.cluster.resource import Namespace
from regctl.cluster.secret import Secret, get_secret
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import entry_fault, read_entries
from regctl.credentials.kubelet import Match, kubelet_key, match_image
from regctl.errors import (
    AccessError,
    CertificateError,
    InvalidReferenceError,
    MalformedError,
    NotAuthenticatedError,
    NotInRegistryError,
    RegctlError,
    RegistryUnreachableError,
    UntrustedUrlError,
)
from regctl.images.manifests import INDEX_TYPES
from regctl.images.reader import Image, ImageReader
from regctl.pullsecrets.content import credentials_of
from regctl.pullsecrets.inventory import PullSecretUse, list_pull_secrets
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.wording import some_of
from regctl.workflows.pull import Pull
from regctl.workflows.pull_repair import AuthFile, Repair

_SHOWN_TAGS = 5
# Another credential gets no other answer.
_NO_ANSWER = (RegistryUnreachableError, CertificateError, UntrustedUrlError)

Connect = Callable[[Registry, Credential | None], RegistryClient]


def diagnose_pulls(
    pulls: Sequence[Pull | InvalidReferenceError],
    cluster: Cluster,
    connect: Connect,
    file: AuthFile | None = None,
) -> Iterator[Check]:
    """Yield the checks of each pull; of several, each message names its image."""
    for pull in pulls:
        if isinstance(pull, InvalidReferenceError):
            yield Check("image", "failure", pull.message, pull.hint, pull)
            continue
        for check in PullDiagnosis(pull, cluster, connect, file).checks():
            message = check.message if len(pulls) == 1 else f"{pull.image}: {check.message}"
            yield replace(check, message=message)


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
    file: AuthFile | None = None

    def checks(self) -> Iterator[Check]:
        """
        Yield a Check for each step, up to the first failure.

        If the node has the image and uses it in any case, the failure is only a warning.
        """
        for check in self._steps():
            held = self._held() if check.state == "failure" else None
            if held is not None:
                yield held
                yield replace(check, state="warning") if held.state == "ok" else check
            else:
                yield check

    def _held(self) -> Check | None:
        """Return what a node does that has the image, if it may do so without a pull."""
        pull = self.pull
        if not pull.reuses or pull.status or (pull.node is not None and not pull.on_node):
            return None
        who = f"node {pull.node.name} has the image and" if pull.node else "a node with the image"
        if pull.node is not None and not pull.node.verifies:
            return Check("node", "ok", f"{who} runs it without a pull")
        since = "" if pull.node else "; before Kubernetes 1.35 in any case"
        message = (
            f"{who} runs it without a pull if it was preloaded, or pulled with one of these "
            f"Secrets or the same user and password{since}"
        )
        return Check("node", "skipped", message)

    def _steps(self) -> Iterator[Check]:
        if self.pull.never:
            yield self._never_pulled()
            return
        if self.pull.status:
            yield Check("kubelet", "warning", f"the kubelet says: {self.pull.status}")
        ignored: list[Check] = []
        for name in self.pull.names:
            check = self._check_secret(name)
            if check.state == "warning":
                ignored.append(check)
                continue
            yield check
            if check.state == "failure":
                return
        credentials = {name: credentials_of(secret) for name, secret in self._usable.items()}
        matches = match_image(credentials, self.pull.image.kubelet_name)
        if matches:
            yield from ignored
            yield from self._with_credentials(matches)
        else:
            yield from self._anonymously(ignored)

    @cached_property
    def _secrets(self) -> dict[str, Secret | None]:
        """The Secrets that the pod or service account lists."""
        names = dict.fromkeys(self.pull.names)
        return {name: get_secret(self.cluster, self.pull.namespace, name) for name in names}

    @cached_property
    def _entries(self) -> dict[str, dict[str, object]]:
        """The entries of each Secret that the kubelet uses."""
        found = {}
        for name, secret in self._secrets.items():
            if secret is not None:
                entries = read_entries(secret.type, secret.data, source=secret.subject)
                if entries is not None:
                    found[name] = entries
        return found

    @property
    def _usable(self) -> dict[str, Secret]:
        held = self._secrets
        return {name: secret for name in self._entries if (secret := held[name]) is not None}

    @property
    def _repair(self) -> Repair:
        return Repair(self.pull, self.cluster)

    def _never_pulled(self) -> Check:
        """Return what the pull policy Never means for the pod."""
        words = "imagePullPolicy is Never: the kubelet does not pull the image"
        if self.pull.present:
            return Check("pull policy", "ok", f"{words}, which is on the node")
        state: State = "failure" if self.pull.status else "warning"
        message = f"{words}, and says: {self.pull.status}" if self.pull.status else words
        hint = "with imagePullPolicy IfNotPresent in the pod's template it pulls a missing image"
        return Check("pull policy", state, message, hint)

    def _check_secret(self, name: str) -> Check:
        """
        Return what the kubelet makes of a Secret that the pod or service account lists.

        A warning is one that it ignores. With one that it cannot decode every pull fails.
        """
        source, secret = self.pull.source, self._secrets[name]
        state: State = "warning"
        if secret is None:
            message = f"{source} lists secret {name}, which does not exist"
            return Check("pull secret", state, message, self._repair.secret(name, None))
        try:
            entries = read_entries(secret.type, secret.data, source=secret.subject)
        except MalformedError as error:
            state, message = "failure", f"secret {name} breaks every pull: {error.message}"
        else:
            if entries:
                return Check("pull secret", "ok", f"{name}, listed by {source}")
            message = f"secret {name} has no entries"
            if entries is None:
                message = f"secret {name} has type {secret.type}, which the kubelet ignores"
        return Check("pull secret", state, message, self._repair.secret(name, secret))

    # With the credentials that match

    def _with_credentials(self, matches: Sequence[Match]) -> Iterator[Check]:
        """
        Yield a Check for each credential in the order in which the kubelet tries them.

        The first that the registry accepts is the one that pulls. The kubelet tries the next one
        after any answer, also after that there is no such image.
        """
        failures: list[tuple[Match, RegctlError]] = []
        result: Iterable[Check] = ()
        rows = iter([(f"credential {number}", m) for number, m in enumerate(matches, 1)])
        for name, match in rows:
            fault = entry_fault(self._entries[match.secret][match.key])
            entry = _entry(match)
            try:
                image = self._read_image(match.credential if fault is None else None)
            except _NO_ANSWER as error:
                failures.append((match, error))
                yield Check(name, "skipped", f"{entry}: could not be verified")
            except RegctlError as error:
                failures.append((match, error))
                yield Check(name, "warning", f"{entry}: {fault or self._answer(error)}")
                continue
            else:
                result = self._image(image)
                yield Check(name, "ok", entry)
            break
        for name, match in rows:
            yield Check(name, "skipped", f"{_entry(match)}: not tried")
        yield from result or [self._cause(failures)]

    def _answer(self, error: RegctlError) -> str:
        if isinstance(error, AccessError):
            return f"rejected by {self.pull.image.registry}"
        return error.message

    def _cause(self, failures: Sequence[tuple[Match, RegctlError]]) -> Check:
        """Return the failure that is named: that of a credential which the registry accepts."""
        accepted = (one for one in failures if isinstance(one[1], NotInRegistryError))
        return self._failure(*next(accepted, failures[0]))

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
        hint = "build and push it for that platform too"
        if image.media_type in INDEX_TYPES:
            yield Check("platform", "failure", message, hint)
        else:
            message += ": it is pulled and does not run"
            yield Check("platform", "warning", message, hint)

    # Without a credential

    def _anonymously(self, ignored: Sequence[Check]) -> Iterator[Check]:
        """Yield the result of a pull without a password, and of each Secret that was ignored."""
        image = self.pull.image
        anonymous = f"no pull secret is for {image.kubelet_name}: the kubelet pulls anonymously"
        try:
            found = self._read_image(None)
        except AccessError:
            yield from ignored[1:]
            if ignored:
                yield replace(ignored[0], state="failure")
            else:
                yield Check("credential", "failure", *self._why_no_credential())
        except RegctlError as error:
            yield from ignored
            yield Check("credential", "warning", anonymous, self._add_credential())
            yield self._failure(None, error)
        else:
            yield from ignored
            yield Check("credential", "ok", f"{anonymous}, which {image.registry} allows")
            yield from self._image(found)

    @property
    def _usable_entries(self) -> list[tuple[str, str]]:
        """The registry keys that the kubelet reads, each with its Secret, sorted."""
        return sorted((key, name) for name, some in self._entries.items() for key in some)

    def _add_credential(self) -> str:
        return self._repair.listed(list(self._usable.values()))

    def _why_no_credential(self) -> tuple[str, str]:
        """Return why the kubelet has no credential for the registry, and a hint."""
        host = self.pull.image.kubelet_name.partition("/")[0]
        if secret := self._unlisted():
            message = f"secret {secret.name} matches, but {self.pull.source} does not list it"
            listed = [one for one in self._usable.values() if one.ownership.controller is None]
            if self.pull.pod and listed:
                return message, self._repair.secret(listed[0].name, listed[0], source=secret.name)
            return message, self._repair.attach_present(secret)
        hint = self._add_credential()
        for key, name in self._usable_entries:
            read_as = (kubelet_key(key) or key).partition("/")[0]
            differs = f"secret {name} is for {key}, and the image is at {host}"
            if _without_port(read_as) == _without_port(host) and read_as != host:
                return f"{differs}: the ports differ", hint
        if not self._usable_entries:
            message = f"{self.pull.source} lists no pull secret, and {host} requires a password"
            return message, hint
        registries = some_of(list(dict.fromkeys(key for key, _ in self._usable_entries)))
        message = f"the pull secrets are for {registries}, and the image is at {host}"
        if host != host.lower():
            hint = "write the host in lower case in the pod's image: a key never has capitals"
        return message, hint

    def _unlisted(self) -> Secret | None:
        """Return a Secret of the namespace that matches, and that the pod does not list."""
        space = [Namespace(self.pull.namespace)]
        found = list_pull_secrets(self.cluster, space, everywhere=False)
        others = (item for item in found.items if item.secret.name not in self._secrets)
        return next((item.secret for item in others if self._matches(item)), None)

    def _matches(self, item: PullSecretUse) -> bool:
        """Whether an entry with a password matches the image."""
        matches = match_image({"": item.credentials}, self.pull.image.kubelet_name)
        return any(one.credential.username and one.credential.password for one in matches)

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
            if match:
                message += f", or {match.credential.username} may not see it"
            hint = f"`regctl catalog {image.registry}` lists the repositories"
        else:
            missing = image.digest or f"tag {image.reference}"
            newest = ", ".join(tags[-_SHOWN_TAGS:]) or "none"
            message = f"{image.repository} has no {missing}; it has {newest}"
            hint = f"`regctl tags {image.registry}/{image.repository}` lists all tags"
        return Check("image", "failure", message, hint, error)

    def _wrong_password(self, match: Match) -> Check:
        """Return why the registry rejects a user, by the auth file if there is one."""
        registry, credential = self.pull.image.registry, match.credential
        fault = entry_fault(self._entries[match.secret][match.key])
        flags = ["--username", shlex.quote(credential.username)] if credential.username else []
        update = self._repair.secret(match.secret, self._secrets[match.secret], *flags)
        if fault:
            message = f"secret {match.secret}, entry {match.key} {fault}"
            return Check("password", "failure", message, f"{update} with a password")
        message = f"{registry} rejects {credential.username} of secret {match.secret}"
        if self.file is None:
            hint = f"{update} with the password that the registry accepts"
            return Check("password", "failure", message, hint)
        why, hint_for_file = self.file.explain(credential)
        hint = hint_for_file or f"{update} with the password that the auth file accepts"
        return Check("password", "failure", f"{message}: {why}", hint)


def _entry(match: Match) -> str:
    return f"secret {match.secret}, entry {match.key}, user {match.credential.username}"


def _without_port(host: str) -> str:
    return re.sub(r":\d+(/.*)?$", "", host)
