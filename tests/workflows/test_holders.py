"""The entries of pull secrets that name a registry's user."""

from regctl.credentials.credential import Credential
from regctl.reference import Registry
from regctl.workflows.holders import Survey, holders_of
from tests.pullsecrets.secrets import pull_secret


def test_one_secret_gets_a_bounded_number_of_passwords_verified() -> None:
    """Each takes a tenth of a second, and one Secret can have twenty thousand."""
    many = {f"r.io/{number:05}": Credential("ci", f"p{number}") for number in range(10_000)}
    same = {f"r.io/{number:05}": Credential("ci", "p") for number in range(50)}
    survey = Survey((pull_secret(many), pull_secret(same, name="other")), frozenset({"team-a"}))
    found = list(holders_of(["ci"], Registry("r.io"), survey))
    assert [one.secret.name for one in found] == ["regcred"] * 20 + ["other"] * 50
