"""Static files: what is in the directory, and nothing beside it."""

from __future__ import annotations

import os
import time

import pytest


@pytest.fixture
def files(tmp_path):
    directory = tmp_path / "static"
    directory.mkdir()
    return directory


@pytest.fixture
def site(serve, files):
    return serve(STATIC_FILES_DIR=files)


def get(server, path, **headers):
    return server.get(path, auth=None, **headers)


def test_there_are_none_without_a_directory(server):
    answer = get(server, "/static/a.txt")
    assert (answer.status, answer.text) == (404, "Static files not enabled.")


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("page.html", "text/html; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("picture.png", "image/png"),
        ("data.json", "application/json"),
        ("archive.tar.gz", "application/gzip"),
        ("nothing-known", "application/octet-stream"),
        ("with space é.txt", "text/plain; charset=utf-8"),
    ],
)
def test_a_file_is_served_with_its_type(site, files, name, content_type):
    (files / name).write_bytes(b"content")
    answer = get(site, f"/static/{name}".replace(" ", "%20").replace("é", "%C3%A9"))
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"content", content_type)


def test_a_large_file_comes_whole(site, files):
    content = os.urandom(3 * 1024 * 1024 + 17)
    (files / "large").write_bytes(content)
    assert get(site, "/static/large").body == content


def test_an_empty_file_is_a_file(site, files):
    (files / "empty.txt").touch()
    answer = get(site, "/static/empty.txt")
    assert (answer.status, answer.body) == (200, b"")


def test_the_head_of_a_file_tells_its_size(site, files):
    (files / "a.txt").write_bytes(b"content")
    answer = site.request("HEAD", "/static/a.txt", auth=None)
    assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "7", b"")


def test_who_has_the_file_is_not_sent_it_again(site, files):
    (files / "a.txt").write_bytes(b"content")
    first = get(site, "/static/a.txt")
    tag, changed = first.headers["ETag"], first.headers["Last-Modified"]
    for headers in (
        {"If_None_Match": tag},
        {"If_None_Match": f'"other", W/{tag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": changed},
    ):
        answer = get(site, "/static/a.txt", **headers)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
    (files / "a.txt").write_bytes(b"other content")
    os.utime(files / "a.txt", (time.time() + 10, time.time() + 10))
    for headers in ({"If_None_Match": tag}, {"If_Modified_Since": changed}, {"If_Modified_Since": "once"}):
        assert get(site, "/static/a.txt", **headers).body == b"other content"


@pytest.mark.parametrize(
    "path",
    ["missing", "..", ".", "%2e%2e%2fsecret", "..%2Fsecret", "%2Fetc%2Fpasswd", "a%00b", "link", "inside%2Fa", "inside",
     "dangling", "pipe", "x" * 3000],
)  # fmt: skip
def test_nothing_else_is_found(site, files, path):
    (files.parent / "secret").write_text("secret")
    (files / "link").symlink_to(files.parent / "secret")
    (files / "dangling").symlink_to("nowhere")
    (files / "inside").mkdir()
    (files / "inside" / "a").write_text("a")
    os.mkfifo(files / "pipe")
    answer = get(site, f"/static/{path}")
    assert (answer.status, answer.text) == (404, "File not found")


def test_a_path_of_several_segments_is_no_file(site, files):
    (files / "inside").mkdir()
    (files / "inside" / "a").write_text("a")
    assert get(site, "/static/inside/a").status == 404


def test_a_link_within_the_directory_is_followed(site, files):
    (files / "now.txt").write_text("now")
    (files / "link").symlink_to("now.txt")
    assert get(site, "/static/link").text == "now"


def test_files_that_are_served_are_closed_again(site, files):
    (files / "a.txt").write_bytes(b"content" * 1000)
    tag = get(site, "/static/a.txt").headers["ETag"]
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        get(site, "/static/a.txt")
        get(site, "/static/a.txt", If_None_Match=tag)
        site.request("HEAD", "/static/a.txt", auth=None)
    site.until(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_a_file_that_becomes_shorter_is_not_passed_off_as_whole(site, files):
    """The client sees a connection that ends too early, not an answer that is padded or goes on for ever."""
    with (files / "large").open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    with site.connect() as connection:
        connection.sendall(b"GET /static/large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        os.truncate(files / "large", 0)
        received = sum(len(piece) for piece in iter(lambda: connection.recv(1 << 20), b""))
    assert received < 64 * 1024 * 1024
