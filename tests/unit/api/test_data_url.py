"""DATA_DB in all its forms."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imframework.api.data_url import DataUrl, Host


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///etc/im/inf.dat", "/etc/im/inf.dat"),
        ("sqlite:////etc/im/inf.dat", "/etc/im/inf.dat"),
        ("SQLite:///etc/im/inf.dat", "/etc/im/inf.dat"),
        ("file:///db/inf.dat", "/db/inf.dat"),
        ("/db/inf.dat", "/db/inf.dat"),
        ("inf.dat", "inf.dat"),
        ("  /db/inf.dat ", "/db/inf.dat"),
        ("/db/100%25.dat", "/db/100%25.dat"),
        ("sqlite:///db/with%20blank", "/db/with blank"),
        ("sqlite:///db/a@b", "/db/a@b"),
    ],
)
def test_every_form_of_a_file_is_sqlite_at_that_path(text, path):
    url = DataUrl.parse(text)

    assert (url.scheme, url.path, url.hosts) == ("sqlite", Path(path), ())


def test_a_mysql_url_is_taken_apart():
    url = DataUrl.parse("mysql://im:secret@db.example.org:3307/imdb")

    assert (url.scheme, url.hosts, url.user, url.password, url.database) == (
        "mysql",
        (Host("db.example.org", 3307),),
        "im",
        "secret",
        "imdb",
    )


def test_a_port_that_is_not_given_is_left_to_the_storage_plugin():
    assert DataUrl.parse("mysql://db/imdb").hosts == (Host("db", None),)


def test_user_and_password_end_at_the_last_at_sign_and_are_decoded():
    url = DataUrl.parse("mysql://u%40dom:p@ss:w/o?r#d%21@db/im%20db")

    assert (url.user, url.password, url.database) == ("u@dom", "p@ss:w/o?r#d!", "im db")


def test_a_mongodb_url_keeps_its_hosts_and_its_query():
    url = DataUrl.parse("mongodb://u:p@one:27017,two,[::1]:27019/im?replicaSet=rs0&w=majority")

    assert url.hosts == (Host("one", 27017), Host("two"), Host("::1", 27019))
    assert url.query == "replicaSet=rs0&w=majority"
    assert str(url) == "mongodb://u:***@one:27017,two,[::1]:27019/im?replicaSet=rs0&w=majority"


def test_schemes_of_third_party_plugins_are_parsed_too():
    assert DataUrl.parse("duckdb:///var/lib/im.duck?threads=2").query == "threads=2"
    assert DataUrl.parse("postgresql+psycopg://im@db/im").scheme == "postgresql+psycopg"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "sqlite://",
        "sqlite:///",
        "sqlite://relative/path",
        "mysql://u:p@/db",
        "my sql://h/db",
        "://h/db",
        "mysql://h:port/db",
        "mysql://h:0/db",
        "mysql://h:99999/db",
        "mysql://h h/db",
        "mongodb://a,,b/db",
        "/a\0b",
        "sqlite:///%00",
        "mysql:/u:p@h/db",
        "sqlite:inf.dat",
    ],
)
def test_what_names_no_database_is_refused(text):
    with pytest.raises(ValueError, match=r"database|server|path"):
        DataUrl.parse(text)


@settings(deadline=None)
@given(secret=st.text().map(lambda text: f"§{text}§"), tail=st.sampled_from(["", ":x", " y", ":99999", "/db?a=b"]))
def test_no_password_is_shown_in_the_text_of_the_url_or_of_an_error(secret, tail):
    text = f"mysql://im:{secret}@db{tail}"
    try:
        shown = "{0} {0!r}".format(DataUrl.parse(text))
    except ValueError as error:
        shown = str(error)
    assert "§" not in shown
