"""The operator's folder of artifacts, and nothing outside it."""

import os

import pytest

from imframework.fetching import ArtifactFolder, FetchFailed


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret.yml").write_text("secret")
    (tmp_path / "artifacts" / "nfs").mkdir(parents=True)
    (tmp_path / "artifacts" / "nfs" / "server.yml").write_text("- tasks: [] # ñ", encoding="utf-8")
    return ArtifactFolder(tmp_path / "artifacts", max_bytes=1000)


def test_a_file_is_found_by_its_relative_path(folder):
    assert folder("nfs/server.yml") == "- tasks: [] # ñ"


def test_a_file_that_is_not_there_is_none(folder):
    assert [folder(path) for path in ("nfs/client.yml", "nfs", "", "nfs/server.yml/x", "a\0b")] == [None] * 5


def test_no_path_leads_out_of_the_folder(folder, tmp_path):
    (folder.directory / "link.yml").symlink_to(tmp_path / "secret.yml")
    (folder.directory / "up").symlink_to(tmp_path)

    for path in ("../secret.yml", "nfs/../../secret.yml", str(tmp_path / "secret.yml"), "link.yml", "up/secret.yml"):
        assert folder(path) is None


def test_links_within_the_folder_are_followed(folder, tmp_path):
    (folder.directory / "alias.yml").symlink_to(folder.directory / "nfs" / "server.yml")
    (tmp_path / "current").symlink_to(folder.directory)

    assert folder("alias.yml") == "- tasks: [] # ñ"
    assert ArtifactFolder(tmp_path / "current")("nfs/server.yml") == "- tasks: [] # ñ"


def test_what_is_no_file_is_not_opened(folder):
    os.mkfifo(folder.directory / "pipe.yml")

    assert folder("pipe.yml") is None


def test_a_name_too_long_or_links_in_a_circle_are_errors_without_the_servers_paths(folder):
    (folder.directory / "loop.yml").symlink_to(folder.directory / "loop.yml")

    for path in ("x" * 300, "loop.yml"):
        with pytest.raises(FetchFailed, match="cannot read this file in its artifact folder") as raised:
            folder(path)
        assert str(folder.directory) not in str(raised.value)


@pytest.mark.parametrize(("data", "reason"), [(b"x" * 1001, "more than 1000 bytes"), (b"\xff", "not UTF-8 text")])
def test_what_is_too_large_or_no_text_is_an_error(folder, data, reason):
    (folder.directory / "bad.yml").write_bytes(data)

    with pytest.raises(FetchFailed, match=reason):
        folder("bad.yml")
