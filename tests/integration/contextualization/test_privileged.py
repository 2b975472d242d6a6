"""Machines on which we are root: the generated plays set them up."""

from __future__ import annotations

import os
import random
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from imframework.contextualization import ServerConfigurator
from imframework.core.ports import Job, Target, Task
from imframework.languages import radl
from imframework.remote import generate_key_pair

# The system of this host under a layer that takes all changes, with a host name and processes of its own.
ENTER = """\
set -e
mount -t tmpfs none "$1"
mkdir "$1/changes" "$1/work" "$1/root"
mount -t overlay overlay -o lowerdir=/,upperdir="$1/changes",workdir="$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount --bind "$2" "$1/root$2"
hostname machine
echo '127.0.0.1 localhost' > "$1/root/etc/hosts"
rm -rf "$1"/root/etc/apt/sources.list*
folder=$1; shift 2
exec chroot "$folder/root" "$@"
"""


@pytest.fixture
def machine(start_machine):
    """A machine with one user, root, and nothing that is not also here."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with TemporaryDirectory(prefix="im-privileged-") as name:
        layers = Path(name, "layers")
        layers.mkdir()
        enter = [
            "unshare",
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
            "/bin/sh",
            "-c",
            ENTER,
            "enter",
        ]
        if subprocess.run([*enter, str(layers), name, "true"], capture_output=True).returncode:
            pytest.skip("no overlay file systems here")
        address = f"127.{random.randrange(200, 250)}.{random.randrange(256)}.1"
        started = start_machine(Path(name, "machine"), address, generate_key_pair(), [*enter, str(layers), name])
        started.access = replace(started.access, privileged=True, user="root", ssh_options={})
        yield started
        started.stop()


@pytest.fixture
def disk(tmp_path: Path):
    """An empty disk, by name; None where there cannot be one."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    attached = subprocess.run(["losetup", "--find", "--show", str(image)], capture_output=True, text=True)
    if attached.returncode:
        yield None
        return
    yield Path(attached.stdout.strip()).name
    subprocess.run(["losetup", "--detach", attached.stdout.strip()], check=True)


DOCUMENT = """
network net (outbound = 'yes')
system front (
  net_interface.0.connection = 'net' and net_interface.0.dns_name = 'front-#N#.example.org' and
  DISK
  disk.0.applications contains (name = 'org.example.no-such-package') and
  disk.0.applications contains (name = 'coreutils')
)
configure front (
@begin
- tasks:
    - shell: echo "the host name is $(hostname)"; cat /etc/hosts; grep BEARER_TOKEN /etc/environment; mount | grep /mnt/
      register: seen
    - debug: var=seen.stdout_lines
@end
)
deploy front 1
"""


async def test_a_machine_gets_its_name_hosts_disks_and_packages(
    machine, disk: str | None, log, sandboxes, tmp_path: Path
) -> None:
    wanted = f"disk.1.device = '{disk}' and disk.1.mount_path = '/mnt/data' and disk.1.fstype = 'ext4' and"
    document = radl.parse(DOCUMENT.replace("DISK", wanted if disk else ""))
    facts = {"net_interface.0.ip": "192.0.2.7"}
    recipe = document.configures["front"].body
    job = Job(
        run_id="run",
        infrastructure="infrastructure",
        document=document,
        targets=(Target(4, "front", machine.access, facts),),
        tasks=(
            Task("basic", 1, "front", (4,)),
            Task("main_front", 2, "front", (4,)),
            Task("front_front", 4, "front", (4,), "front", recipe),
        ),
        deadline=time.time() + 120,
        auth_value="a-bearer-token",
    )
    configurator = ServerConfigurator(tmp_path / "runs", sandboxes("auto", tmp_path / "runs"))

    await configurator.run(job, 0, log)

    assert log.end() == ""
    assert not log.failures()
    text = log.text(4)
    assert "the host name is front-4.example.org" in text
    assert "/runs/" not in text + log.text()
    assert "192.0.2.7 front-4.example.org front-4" in text
    assert "127.0.0.1 localhost" in text
    assert "BEARER_TOKEN=***" in text
    assert disk is None or "on /mnt/data type ext4" in text
    assert "ok: [192.0.2.7_4] => (item=coreutils)" in text
    assert "failed: [192.0.2.7_4] (item=no-such-package)" in text
    assert "App: coreutils set to be installed.\n" in log.text()
    assert "App: no-such-package set to be installed.\n" in log.text()
