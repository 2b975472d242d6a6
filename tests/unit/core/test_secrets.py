"""Secrets at rest: sealing, moving, rotating, and the care for the key file."""

import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imframework.api.errors import ConfigurationError, StorageError
from imframework.core.secrets import SecretBox

VALUE = {"password": "corréct horse 🐎", "nested": [1, None, {"k": True}]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def box(path: Path) -> SecretBox:
    return SecretBox.load(path)


def test_what_is_sealed_comes_back_for_its_context(box: SecretBox) -> None:
    assert box.open(box.seal(VALUE, "inf-1"), "inf-1") == VALUE


def test_sealed_text_shows_nothing_and_differs_each_time(box: SecretBox) -> None:
    first, second = box.seal(VALUE, "inf-1"), box.seal(VALUE, "inf-1")
    assert first != second
    assert first.isascii()
    assert "horse" not in first
    assert "inf-1" not in first


def test_a_secret_moved_to_another_infrastructure_is_refused(box: SecretBox) -> None:
    sealed = box.seal(VALUE, "inf-1")
    with pytest.raises(StorageError, match="inf-2") as caught:
        box.open(sealed, "inf-2")
    assert "horse" not in str(caught.value)


@pytest.mark.parametrize(
    "damage", [lambda t: t[:-4], lambda t: t[:30] + "AAAA" + t[34:], lambda t: "", lambda t: "é\ud800"]
)
def test_a_changed_secret_is_refused(box: SecretBox, damage: Callable[[str], str]) -> None:
    with pytest.raises(StorageError, match="inf-1"):
        box.open(damage(box.seal(VALUE, "inf-1")), "inf-1")


def test_another_service_cannot_open_it(box: SecretBox, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not in the key file"):
        SecretBox.load(tmp_path / "other").open(box.seal(VALUE, "inf-1"), "inf-1")


def test_errors_for_users_name_no_path(box: SecretBox, path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        box.open("garbage", "inf-1")
    assert str(path.parent) not in str(caught.value)


# --- owners -------------------------------------------------------------------------------------------------


def test_an_owner_has_one_opaque_key(box: SecretBox, path: Path) -> None:
    key = box.owner_key("alice\0secret")
    assert key == SecretBox.load(path).owner_key("alice\0secret")
    assert len({key, box.owner_key("alice\0secreT"), box.owner_key("alice"), box.owner_key("")}) == 4
    assert len(key) == 64
    assert "alice" not in key


def test_owner_keys_of_another_service_are_others(box: SecretBox, tmp_path: Path) -> None:
    assert box.owner_key("alice") != SecretBox.load(tmp_path / "other").owner_key("alice")


def test_an_owner_key_cannot_be_computed_from_the_sealing_keys(box: SecretBox, path: Path) -> None:
    before = box.owner_key("alice")
    kept = [line for line in path.read_text().splitlines() if not line.startswith("index")]
    path.write_text("\n".join([*kept, "index " + "A" * 43 + "="]))
    assert SecretBox.load(path).owner_key("alice") != before


# --- rotation -----------------------------------------------------------------------------------------------


def test_after_a_rotation_the_new_key_seals_and_the_old_ones_still_open(box: SecretBox, path: Path) -> None:
    old = box.seal(VALUE, "inf-1")
    owner = box.owner_key("alice")
    box.rotate()
    new = box.seal(VALUE, "inf-1")
    lines = path.read_text().splitlines()
    sealing = [line for line in lines if line.startswith("sealing")]
    assert len(sealing) == 2
    restarted = SecretBox.load(path)
    for either in (box, restarted):
        assert either.open(old, "inf-1") == either.open(new, "inf-1") == VALUE
        assert either.owner_key("alice") == owner
    path.write_text("\n".join(line for line in lines if line != sealing[0]))
    without_new = SecretBox.load(path)
    assert without_new.open(old, "inf-1") == VALUE
    with pytest.raises(StorageError):
        without_new.open(new, "inf-1")


def test_a_running_service_opens_what_was_sealed_with_a_key_added_meanwhile(box: SecretBox, path: Path) -> None:
    command = SecretBox.load(path)
    command.rotate()
    assert box.open(command.seal(VALUE, "inf-1"), "inf-1") == VALUE


def test_rotations_at_the_same_time_lose_no_key(box: SecretBox, path: Path) -> None:
    boxes = [SecretBox.load(path) for _ in range(6)]

    def rotate_and_seal(one: SecretBox) -> str:
        one.rotate()
        return one.seal(VALUE, "inf-1")

    with ThreadPoolExecutor(len(boxes)) as threads:
        sealed = list(threads.map(rotate_and_seal, boxes))
    assert path.read_text().count("sealing") == 7
    assert [box.open(text, "inf-1") for text in sealed] == [VALUE] * 6


def test_a_rotation_that_cannot_be_written_changes_nothing(box: SecretBox, path: Path) -> None:
    sealed = box.seal(VALUE, "inf-1")
    before = path.read_bytes()
    path.with_name("keys.new").mkdir()
    with pytest.raises(ConfigurationError, match="keys"):
        box.rotate()
    assert path.read_bytes() == before
    assert box.open(sealed, "inf-1") == VALUE


@pytest.mark.parametrize("replacement", ["", "another"])
def test_a_key_file_replaced_by_a_wrong_one_leaves_the_keys_in_use(
    box: SecretBox, path: Path, tmp_path: Path, replacement: str, caplog: pytest.LogCaptureFixture
) -> None:
    sealed, owner = box.seal(VALUE, "inf-1"), box.owner_key("alice")
    if replacement:
        SecretBox.load(tmp_path / replacement)
        (tmp_path / replacement).replace(path)
    else:
        path.write_text("garbage\n")
    with caplog.at_level(logging.ERROR), pytest.raises(StorageError):
        box.open("garbage", "inf-1")
    assert "key file was replaced" in caplog.text
    assert box.open(sealed, "inf-1") == VALUE
    assert box.owner_key("alice") == owner
    with pytest.raises(ConfigurationError):
        box.rotate()


# --- the file -----------------------------------------------------------------------------------------------


def test_the_key_file_is_private_and_leaves_nothing_beside_it(box: SecretBox, path: Path) -> None:
    box.rotate()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_first_start_of_several_processes_makes_one_file(path: Path) -> None:
    program = (
        "import sys, pathlib; from imframework.core.secrets import SecretBox;"
        "print(SecretBox.load(pathlib.Path(sys.argv[1])).owner_key('x'))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = {process.communicate(timeout=60)[0] for process in processes}
    assert answers == {SecretBox.load(path).owner_key("x") + "\n"}


def test_the_remains_of_a_killed_first_start_are_no_obstacle(path: Path) -> None:
    path.with_name("keys.new").write_text("half a ke")
    SecretBox.load(path)
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_file_is_not_made_when_that_is_not_wanted(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        SecretBox.load(path, create=False)
    assert not path.exists()


def test_a_symbolic_link_to_the_key_file_is_followed(tmp_path: Path, path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path.symlink_to(tmp_path / "elsewhere" / "real")
    box = SecretBox.load(path)
    box.rotate()
    assert path.is_symlink()
    assert (tmp_path / "elsewhere" / "real").read_text().count("sealing") == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622, 0o601])
def test_a_key_file_that_others_can_use_is_refused(box: SecretBox, path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"{path}.*{mode:04o}"):
        SecretBox.load(path)


def test_a_directory_that_everybody_can_write_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "open"
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(ConfigurationError, match="everybody can write"):
        SecretBox.load(directory / "keys")
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "", "garbage\n", "sealing short\n", "index {0}\n", "sealing {0}\n", "index {0}\nindex {0}\nsealing {0}\n",
        "index {0}\nsealing {0}!\n", "index {0}\nother {0}\n", "index {0} {0}\nsealing {0}\n",
    ],
)  # fmt: skip
def test_a_file_with_other_contents_is_refused_without_repeating_them(path: Path, text: str) -> None:
    key = "c2VjcmV0" * 5 + "A0s="
    path.touch(0o600)
    path.write_text(text.format(key[:43] + "="))
    with pytest.raises(ConfigurationError, match=str(path)) as caught:
        SecretBox.load(path)
    assert "c2VjcmV0" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_bytes_that_are_no_text_are_refused(path: Path) -> None:
    path.touch(0o600)
    path.write_bytes(b"\xff\xfe\x00key")
    with pytest.raises(ConfigurationError, match="is not a key file"):
        SecretBox.load(path)


def test_places_that_cannot_hold_a_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "fifo", 0o600)
    for wrong in (tmp_path / "missing" / "keys", tmp_path / "directory", tmp_path / "fifo"):
        with pytest.raises(ConfigurationError, match=str(wrong)):
            SecretBox.load(wrong)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_rotating_as_root_keeps_the_owner_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    box = SecretBox.load(path)
    os.chown(path, 65534, 65534)
    box.rotate()
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    assert path.read_text().count("sealing") == 2
