import re
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.errors import BadAuthentication
from jobworker.identity.tokens import Secret, mint, parse, redact


def test_a_token_has_the_documented_form() -> None:
    token, credential = mint()
    assert re.fullmatch(r"jw_[0-9a-f]{12}_[A-Za-z0-9_-]{43}[0-9a-f]{8}", token.reveal())
    assert token.reveal().split("_")[1] == credential.id


def test_what_is_kept_is_the_hash_of_the_secret_alone() -> None:
    token, credential = mint()
    secret = token.reveal().split("_", 2)[2][:43]
    assert credential.digest == sha256(secret.encode()).digest()


def test_a_token_is_parsed_to_what_was_kept_of_it() -> None:
    token, credential = mint()
    assert parse(token.reveal()) == credential


def test_tokens_differ() -> None:
    assert len({mint()[0].reveal() for _ in range(100)}) == 100


@pytest.mark.parametrize("position", range(67))
def test_a_changed_character_is_noticed_anywhere(position: int) -> None:
    text = mint()[0].reveal()
    assert len(text) == 67
    other = "1" if text[position] != "1" else "2"
    with pytest.raises(BadAuthentication):
        parse(text[:position] + other + text[position + 1 :])


@pytest.mark.parametrize(
    "change", [str.upper, lambda t: t + "\n", lambda t: " " + t, lambda t: t[:-1]]
)
def test_only_the_exact_form_will_do(change: Callable[[str], str]) -> None:
    with pytest.raises(BadAuthentication):
        parse(change(mint()[0].reveal()))


@given(st.text())
def test_any_text_is_a_token_or_bad_authentication(text: str) -> None:
    with pytest.raises(BadAuthentication):
        parse(text)


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=8))
def test_no_text_in_the_place_of_the_secret_raises_anything_else(text: str) -> None:
    """Surrogates and digits of other scripts included."""
    with pytest.raises(BadAuthentication):
        parse(f"jw_0123456789ab_{text:a<43}00000000")


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("canary")
    assert "canary" not in f"{secret} {secret!r} {[secret]} %s" % secret
    assert secret.reveal() == "canary"


def test_redacting_leaves_the_id_and_takes_the_secret() -> None:
    text = mint()[0].reveal()
    line = redact(f"Authorization: Bearer {text}, {text[:30]}")
    assert text[16:] not in line
    assert text[16:30] not in line
    assert line.count(text[:16]) == 2
