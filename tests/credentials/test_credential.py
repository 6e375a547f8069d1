"""A credential and its `auth` field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.credentials.credential import Credential, check_username, decode_auth, encode_auth
from regctl.errors import InvalidUserError

text = st.text(st.characters(codec="utf-8"), max_size=40)
names = text.filter(lambda name: ":" not in name)


@given(names, text)
def test_auth_is_read_padded_unpadded_and_folded_over_lines(user: str, password: str) -> None:
    auth = encode_auth(user, password)
    folded = "\r\n".join(auth[at : at + 10] for at in range(0, len(auth), 10))
    for form in (auth, auth.rstrip("="), folded):
        assert decode_auth(form, source="x") == (user, password)


def test_the_repr_of_a_credential_has_no_sensitive_value() -> None:
    credential = Credential("u", "hunter2", identity_token="idtoken", registry_token="regtoken")
    for secret in credential.sensitive_values:
        assert secret not in repr(credential)


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "a\x7fb"])
def test_a_user_name_that_basic_authentication_cannot_carry_is_rejected(name: str) -> None:
    with pytest.raises(InvalidUserError):
        check_username(name)
