"""The site: how machines come and go as a whole. Nothing is started; records and folders are real."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from imframework.api.errors import CloudError, CloudRefused, QuotaExceeded
from imframework_plugins.connectors.local.folder import Folder, Record, machine_id
from imframework_plugins.connectors.local.site import Site

PORT = 22622


@pytest.fixture
def site(directory: Path) -> Callable[..., Site]:
    def make(network: str = "127.89.0.0/24") -> Site:
        return Site(directory, [ip_network(network)], PORT)

    return make


def draft(token: str) -> Record:
    return Record(token, "inf", "node", "", 0, "ssh-ed25519 AAAA", "-----PRIVATE-----", {"facts": {"cpu.count": 1}})


@pytest.fixture
def listener() -> Iterator[Callable[[str], socket.socket]]:
    opened: list[socket.socket] = []

    def listen(address: str) -> socket.socket:
        opened.append(socket.create_server((address, PORT)))
        return opened[-1]

    yield listen
    for each in opened:
        each.close()


def test_a_record_is_read_as_it_was_written(site: Callable[..., Site]) -> None:
    folder = site().settle(draft("one"))
    record = folder.record()
    assert record is not None
    assert folder.id == machine_id("one")
    assert (record.token, record.name, record.port, record.on) == ("one", "node", PORT, True)
    assert "PRIVATE" not in repr(record)
    assert list(site().records()) == [record]


def test_nobody_else_can_look_into_a_machine(site: Callable[..., Site], directory: Path) -> None:
    folder = site().settle(draft("one"))
    assert directory.stat().st_mode & 0o777 == 0o700
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.record_file.stat().st_mode & 0o777 == 0o600


def test_one_token_is_one_machine(site: Callable[..., Site]) -> None:
    first = site().settle(draft("one")).record()
    assert site().settle(draft("one")).record() == first


def test_addresses_are_distinct_until_there_are_none(site: Callable[..., Site]) -> None:
    small = site("127.89.0.0/29")
    addresses = {small.settle(draft(str(number))).record().address for number in range(small.capacity())}
    assert addresses == {f"127.89.0.{number}" for number in range(1, 7)}
    with pytest.raises(QuotaExceeded, match="LOCAL_NETWORK"):
        small.settle(draft("one too many"))
    assert len(list(small.records())) == 6


def test_an_address_is_free_again_after_deletion(site: Callable[..., Site]) -> None:
    small = site("127.89.0.4/32")
    folder = small.settle(draft("one"))
    small.discard(folder)
    small.empty_trash(folder)
    assert small.settle(draft("two")).record().address == "127.89.0.4"


def test_an_address_somebody_listens_on_is_not_given(
    site: Callable[..., Site], listener: Callable[..., object]
) -> None:
    listener("127.89.0.1")
    assert site("127.89.0.0/30").settle(draft("one")).record().address == "127.89.0.2"


def test_an_address_this_host_has_not_is_a_clear_refusal(directory: Path) -> None:
    with pytest.raises(CloudRefused, match="Cannot listen on"):
        Site(directory, [ip_network("198.51.100.0/30")], PORT).settle(draft("one"))


def test_threads_that_settle_at_once_get_addresses_of_their_own(site: Callable[..., Site]) -> None:
    small = site("127.89.0.0/28")
    threads = [threading.Thread(target=small.settle, args=(draft(str(number % 7)),)) for number in range(14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = list(small.records())
    assert len(records) == len({record.address for record in records}) == 7


def test_what_a_killed_creation_left_is_no_machine_and_goes_with_the_next_one(
    site: Callable[..., Site], directory: Path
) -> None:
    left = directory / ".new-0123456789abcdef"
    (left / "home").mkdir(parents=True)
    assert list(site().records()) == []
    site().settle(draft("one"))
    assert not left.exists()


def test_after_the_last_machine_nothing_is_left(site: Callable[..., Site], directory: Path) -> None:
    folders = [site().settle(draft(token)) for token in ("one", "two")]
    for folder in folders:
        site().discard(folder)
        assert not folder.path.exists()
        assert site().trash(folder)
        site().empty_trash(folder)
        assert not site().trash(folder)
    assert not list(directory.iterdir())


def test_folders_made_read_only_are_removed(site: Callable[..., Site], directory: Path) -> None:
    folder = site().settle(draft("one"))
    locked = folder.home / "module" / "cache"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    (folder.home / "outside").symlink_to(directory.parent)
    for path in (locked, locked.parent, folder.home):
        path.chmod(0o000)
    mode = directory.parent.stat().st_mode
    site().discard(folder)
    site().empty_trash(folder)
    assert not list(directory.iterdir())
    assert directory.parent.stat().st_mode == mode


def test_a_damaged_machine_is_an_error_but_does_not_hide_the_others(site: Callable[..., Site]) -> None:
    broken, sound = (site().settle(draft(token)) for token in ("one", "two"))
    broken.record_file.write_text("{")
    with pytest.raises(CloudError, match="damaged"):
        broken.record()
    assert [record.token for record in site().records()] == ["two"]
    broken.record_file.unlink()
    with pytest.raises(CloudError, match="missing"):
        broken.record()
    assert sound.record() is not None


def test_the_lock_of_a_deleted_machine_is_not_taken(site: Callable[..., Site]) -> None:
    folder = site().settle(draft("one"))
    outcome: list[str] = []

    def wait_for_lock() -> None:
        waiting.set()
        try:
            with folder.locked():
                outcome.append("locked")
        except FileNotFoundError:
            outcome.append("gone")

    waiting = threading.Event()
    thread = threading.Thread(target=wait_for_lock)
    with folder.locked():
        thread.start()
        waiting.wait()
        site().discard(folder)
    thread.join()
    assert outcome == ["gone"]
    assert Folder(folder.path).record() is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_machine_with_a_file_system_mounted_in_it_is_not_removed(site: Callable[..., Site]) -> None:
    folder = site().settle(draft("one"))
    point = folder.home / "my data"
    point.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(point)], capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(CloudRefused, match="home/my data"):
            site().discard(folder)
        assert folder.path.exists()
    finally:
        subprocess.run(["umount", str(point)], check=True)
    site().discard(folder)
    site().empty_trash(folder)
