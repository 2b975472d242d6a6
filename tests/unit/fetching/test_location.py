"""URLs taken apart, and what is shown of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imframework.fetching.errors import FetchRefused
from imframework.fetching.location import MAX_LENGTH, Location


def test_a_location_is_shown_without_its_secrets():
    location = Location.parse("https://user:s3cret@Example.org:8443/a/b.yml?token=s3cret#s3cret")

    assert str(location) == "https://example.org:8443/a/b.yml"
    assert "s3cret" not in repr(location)
    assert (location.host, location.port, location.target) == ("example.org", 8443, "/a/b.yml?token=s3cret")
    assert location.login == "user:s3cret"
    assert "#" not in location.url


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("http://a.example", "a.example", 80, "a.example"),
        ("https://a.example/x", "a.example", 443, "a.example"),
        ("https://a.example:80/x", "a.example", 80, "a.example:80"),
        ("http://[2001:DB8::1]:8080/x", "2001:db8::1", 8080, "[2001:db8::1]:8080"),
        ("http://a.example\\@b.example/", "a.example", 80, "a.example"),
        ("http://bücher.example/", "xn--bcher-kva.example", 80, "xn--bcher-kva.example"),
    ],
)
def test_host_and_port_are_those_that_are_asked(url, host, port, authority):
    location = Location.parse(url)

    assert (location.host, location.port, location.authority) == (host, port, authority)


def test_what_a_request_line_cannot_hold_is_encoded():
    assert Location.parse("http://a.example/ä b\r\nX: y").target == "/%C3%A4%20b%0D%0AX:%20y"


@pytest.mark.parametrize("url", ["", "a/b.yml", "http://", "http:///x", "https://a:b:c/", "http://a:99999/", "//a/x"])
def test_what_is_no_complete_url_is_refused(url):
    with pytest.raises(FetchRefused, match="URL"):
        Location.parse(url)


def test_an_endless_url_is_refused_in_a_short_text():
    with pytest.raises(FetchRefused, match="more than 4096 characters") as raised:
        Location.parse("http://a.example/" + "x" * MAX_LENGTH)

    assert len(str(raised.value)) < 300


@given(st.sampled_from(["http://", "https://a.example/", "http://[", "http://a:b@"]), st.text())
def test_whatever_is_sent_is_a_location_that_stays_the_same_or_is_refused(start, rest):
    try:
        location = Location.parse(start + rest)
        target = Location.parse("https://a.example/x/y").follow(start + rest)
    except FetchRefused as error:
        shown = str(error)
    else:
        shown = str(location)
        again = Location.parse(location.url)
        assert (again.host, again.port, again.login) == (location.host, location.port, location.login)
        assert target.target.isascii()
    assert shown.isprintable()


def test_only_the_same_server_gets_the_login_again():
    start = Location.parse("https://me:pass@a.example/x")

    assert start.follow("/y").login == "me:pass"
    assert start.follow("https://a.example/y").login == "me:pass"
    assert start.follow("https://b.example/y").login == ""
    assert start.follow("https://a.example:8443/y").login == ""
    assert start.follow("http://a.example/y").login == ""
