"""The address of a profile's server, as the connection and the request's head have it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.client import endpoint
from jobworker.client.exchange import Request, path_of
from jobworker.client.profiles import Profile
from jobworker.errors import ConfigurationInvalid


def profile(server: str) -> Profile:
    return Profile("p", server=server, ca="/ca.pem", token="t")


@pytest.mark.parametrize(
    ("server", "address", "host_header"),
    [
        ("https://h", ("h", 443), "h:443"),
        ("https://H.Example:8443/", ("h.example", 8443), "h.example:8443"),
        ("HTTPS://h:", ("h", 443), "h:443"),
        ("https://127.0.0.1:1", ("127.0.0.1", 1), "127.0.0.1:1"),
        ("https://[::1]:8443", ("::1", 8443), "[::1]:8443"),
        ("https://[::1]", ("::1", 443), "[::1]:443"),
        ("https://bücher.example:1", ("bücher.example", 1), "xn--bcher-kva.example:1"),
    ],
)
def test_addresses(server: str, address: tuple[str, int], host_header: str) -> None:
    assert endpoint.address(profile(server)) == address
    headers = endpoint.headers(profile(server), Request("GET", "/"))
    assert headers == {"Host": host_header, "Authorization": "Bearer t"}


@pytest.mark.parametrize(
    "server",
    [
        *("http://h:1", "https://", "https:///", "https://:1", "h:1", "https:h", ""),
        *("https://h:x", "https://h:-1", "https://h:65536", "https://h:1000000", "https://h:²"),
        *("https://h/path", "https://h:1/path", "https://h?q", "https://h#f", "https://u@h:1"),
        *("https://u:p@h:1", "https://h b", "https://h\r\n", "https://[::1", "https://[h]:1"),
        *("https://[::1]1", "https://[::1]:x", "https://::1", "https://h\\@g"),
    ],
)
def test_what_is_no_address(server: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="must be https://HOST:PORT"):
        endpoint.address(profile(server))


def test_a_body_goes_with_its_length_and_the_token_is_nobody_elses() -> None:
    request = Request("POST", "/", {}, headers={"Authorization": "no", "X-A": "1"})
    assert endpoint.headers(profile("https://h"), request) == {
        "Host": "h:443",
        "Content-Length": "2",
        "X-A": "1",
        "Content-Type": "application/json",
        "Authorization": "Bearer t",
    }


@given(st.text(st.characters(codec="utf-8")))
def test_what_is_no_id_stays_one_part_of_a_path(text: str) -> None:
    assert path_of(text, "stop") == f"/jobs/{quote(text, safe='')}/stop"
