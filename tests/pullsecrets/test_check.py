"""The check of pull secrets, without a cluster and with a trial that is counted."""

import random
from dataclasses import replace

from regctl.cluster.serviceaccounts import ServiceAccount
from regctl.credentials.credential import Credential
from regctl.errors import RegctlError, WrongPasswordError
from regctl.pullsecrets.check import check
from regctl.pullsecrets.content import serves
from regctl.pullsecrets.inventory import Inventory, PullSecretUse
from regctl.reference import Registry
from tests.credentials.test_kubelet_differential import hostile
from tests.pullsecrets.secrets import ALICE, pull_secret

BOB = Credential("bob", "wrong")


def inventory(*secrets: PullSecretUse, lists: tuple[str, ...] = ()) -> Inventory:
    entries = tuple({"name": name} for name in lists)
    return Inventory(secrets, accounts=(ServiceAccount("team-a", "default", "1", entries),))


def named(name: str, credentials: dict[str, Credential], content: bytes | None = None) -> Inventory:
    return inventory(PullSecretUse(pull_secret(credentials, content=content, name=name)))


def test_each_credential_is_tried_once_at_its_registry() -> None:
    tried: list[tuple[str, str]] = []

    def trial(registry: Registry, credential: Credential) -> RegctlError | None:
        tried.append((registry.host, credential.username))
        return None if credential == ALICE else WrongPasswordError("the registry rejects bob")

    one = pull_secret({"r.io": ALICE, "b.io": BOB, "*.foo.com": ALICE})
    two = replace(one, namespace="team-b")
    findings = check(inventory(PullSecretUse(one), PullSecretUse(two)), trial)
    assert sorted(tried) == [("b.io", "bob"), ("r.io", "alice")]
    assert [(f.namespace, f.key, f.verdict) for f in findings] == [
        (namespace, key, verdict)
        for namespace in ("team-a", "team-b")
        for key, verdict in (("*.foo.com", "unknown"), ("b.io", "problem"), ("r.io", "ok"))
    ]
    assert findings[1].message == "the registry rejects bob"
    assert "glob" in findings[0].message


def test_without_a_trial_an_entry_is_unknown() -> None:
    (finding,) = check(named("regcred", {"r.io": ALICE}), None)
    assert (finding.verdict, finding.username) == ("unknown", "alice")


def test_keys_and_entries_that_the_kubelet_cannot_use_are_problems() -> None:
    empty = Credential("", "")
    keys = {"https://r.io/v2": ALICE, "a b": ALICE, "r.io": empty}
    findings = check(named("regcred", keys), None)
    assert {finding.key: finding.message for finding in findings} == {
        "https://r.io/v2": "the kubelet reads the end of the key as a path, which no image has",
        "a b": "the kubelet ignores the key: it is not an address",
        "r.io": "has no user and no password",
    }
    assert {finding.verdict for finding in findings} == {"problem"}


def test_secrets_that_the_kubelet_cannot_use_are_problems() -> None:
    (broken,) = check(named("regcred", {}, b"{"), None)
    assert broken.message.startswith("every Pod that lists it fails to pull: cannot read secret")
    (empty,) = check(named("regcred", {}), None)
    assert empty.message == "has no registry"
    (opaque,) = check(inventory(PullSecretUse(pull_secret(kind="Opaque"))), None)
    assert opaque.message == "the kubelet ignores it: its type is Opaque"


def test_a_broken_secret_blocks_those_that_an_account_lists_with_it() -> None:
    good, bad = pull_secret(name="good"), pull_secret(name="bad", content=b"{")
    found = inventory(PullSecretUse(good), PullSecretUse(bad), lists=("good", "bad"))
    messages = [
        finding.message for finding in check(found, None) if finding.subject.endswith("good")
    ]
    assert "service account default also lists bad, which cannot be decoded" in messages


def test_an_account_that_lists_a_missing_secret_is_a_problem() -> None:
    found = inventory(PullSecretUse(pull_secret()), lists=("regcred", "gone"))
    subjects = [finding.subject for finding in check(found, None)]
    assert subjects == ["secret/regcred", "serviceaccount/default"]
    assert check(found, None, complete=False)[-1].subject == "secret/regcred"


def test_only_the_first_entries_of_a_secret_are_tried() -> None:
    """Somebody who may write one Secret cannot keep the check busy with a thousand registries."""
    tried: list[str] = []
    many = {f"r{number:03}.io": ALICE for number in range(200)}

    def trial(registry: Registry, _credential: Credential) -> None:
        tried.append(registry.host)

    findings = check(named("regcred", many), trial)
    assert sorted(tried) == [f"r{number:03}.io" for number in range(20)]
    assert [f.verdict for f in findings] == ["ok"] * 20 + ["unknown"] * 180
    assert findings[-1].message == "valid; not tried: only the first 20 entries of a Secret are"


def test_whatever_a_secret_holds_is_a_finding() -> None:
    """The hostile Secrets are those of the comparison with the kubelet's code."""
    chance = random.Random("hostile")  # noqa: S311 - the same cases in every run
    found = 0
    for _ in range(2000):
        for name, kind, content in hostile(chance).secrets:
            key = ".dockercfg" if kind.endswith("cfg") else ".dockerconfigjson"
            secret = replace(pull_secret(name=name), type=kind, data={key: content})
            use = PullSecretUse(secret)
            found += len(check(inventory(use), lambda _registry, _credential: None))
            found += use.broken is None and serves(
                content.decode(errors="replace"), Registry("r.io")
            )
            assert use.broken is None or use.registries == ()
    assert found > 2000
