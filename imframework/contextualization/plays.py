"""The plays the server generates: what every machine needs before the user's recipes run.

*basic* makes a machine usable for Ansible and gives it its name; *main* writes its hosts file, its disks and its
packages. On machines where we cannot become root they hold what is possible there, and a note says what is not.
A generated playbook is the same for all machines that it is for, whatever their system, so that one process runs it
on all of them at once: what differs is data, by host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imframework.contextualization.inventory import Machine, hosts_file
from imframework.contextualization.recipes import Play

#: The name of the play that ends each playbook, by which the callback plugin of the agent knows it.
END_OF_PLAYBOOK = "imframework: end of playbook"

#: What an unprivileged machine misses, for its log.
BASIC_NOTE = "The machine is unprivileged: host name, package index and system services are left as they are."
MAIN_NOTE = "The machine is unprivileged: hosts file, disks and packages are left as they are."


@dataclass(frozen=True, slots=True)
class Rights:
    """What we may do on a machine. `become`: root is somebody else than the user we log in as."""

    root: bool
    become: bool
    windows: bool = False

    @classmethod
    def on(cls, machine: Machine) -> Rights:
        """Those on one machine."""
        access = machine.target.access
        return cls(access.privileged, access.privileged and access.user != "root", machine.windows)


def targets(item: str) -> str:
    """The hosts of a playbook: those the agent names when it starts it."""
    return f"{{{{ im_targets['{item}'] }}}}"


def header(item: str, rights: Rights, name: str) -> dict[str, Any]:
    """What every play of a playbook begins with, by the name of its task."""
    first: dict[str, Any] = {"name": name, "hosts": targets(item)}
    if not rights.windows:
        first["become"] = rights.become
    return {**first, "gather_facts": False}


def end(item: str) -> Play:
    """The last play of every playbook: a machine that gets there is through with it.

    Its only task does nothing but be skipped, once on each machine that is left, without a connection.
    """
    return {
        "name": END_OF_PLAYBOOK,
        "hosts": targets(item),
        "gather_facts": False,
        "tasks": [{"name": END_OF_PLAYBOOK, "ansible.builtin.meta": "end_host", "when": False}],
    }


def facts(hosts: Sequence[str], rights: Rights) -> Play:
    """Gathers facts of machines whose facts are not there; that one cannot be reached matters only to its own plays."""
    return {
        "name": "Gather facts",
        "hosts": list(hosts),
        "become": rights.become,
        "gather_facts": False,
        "ignore_unreachable": True,
        "ignore_errors": True,
        "tasks": [_gather(when="ansible_facts.distribution is not defined")],
    }


def _gather(**more: Any) -> Play:
    return {"name": "Gather facts", "ansible.builtin.setup": {}, **more}


def basic(item: str, rights: Rights, machines: Sequence[Machine], *, with_facts: bool) -> list[Play]:
    """Prepares nodes: a working Python, a name, nothing that upgrades packages under our feet."""
    if rights.windows:
        return []
    tasks = _basic_as_root(machines) if rights.root else [_PING]
    if with_facts:
        tasks.append(_gather())
    return [{**header(item, rights, "Prepare the node"), "tasks": tasks}]


_PING: Play = {"name": "Make sure that Python works", "ansible.builtin.ping": {}}


def _basic_as_root(machines: Sequence[Machine]) -> list[Play]:
    tasks: list[Play] = [
        {
            "name": "Wait for the system and make sure that there is Python",
            "ansible.builtin.raw": _BOOTSTRAP,
            "changed_when": False,
        },
        {
            "name": "Set the host name",
            "ansible.builtin.shell": _HOST_NAME,
            "environment": {"NAME": "{{ IM_NODE_FQDN }}"},
            "register": "im_host_name",
            "changed_when": "'set' in im_host_name.stdout",
        },
    ]
    routers = [machine.host for machine in machines if machine.system.is_yes("nat_instance")]
    if routers:
        tasks.append(
            {
                "name": "Translate the addresses of the private networks",
                "ansible.builtin.shell": _NAT,
                "when": f"inventory_hostname in {routers}",
            }
        )
    return tasks


# One round trip instead of one for each small thing, and it needs no Python yet.
_BOOTSTRAP = """\
if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
  timeout 300 systemctl is-system-running --wait >/dev/null 2>&1
  systemctl stop apt-daily.timer apt-daily-upgrade.timer unattended-upgrades.service >/dev/null 2>&1
fi
if command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q -o DPkg::Lock::Timeout=300 update >/dev/null 2>&1
  [ -x /usr/bin/python3 ] || apt-get -q -y -o DPkg::Lock::Timeout=300 install python3 >/dev/null
elif command -v dnf >/dev/null; then
  rpm -q python3-libselinux >/dev/null || dnf -q -y install python3 python3-libselinux >/dev/null
elif command -v yum >/dev/null; then
  rpm -q libselinux-python3 >/dev/null || yum -q -y install python3 libselinux-python3 >/dev/null
elif command -v zypper >/dev/null; then
  [ -x /usr/bin/python3 ] || zypper -n -q install python3 >/dev/null
fi
if [ ! -x /usr/bin/python3 ] && command -v python3 >/dev/null; then ln -s "$(command -v python3)" /usr/bin/python3; fi
if [ -e /etc/redhat-release ] && command -v getenforce >/dev/null && [ "$(getenforce)" = Enforcing ]; then
  setenforce 0
  sed -i 's/^SELINUX=enforcing/SELINUX=permissive/' /etc/selinux/config
fi
[ -x /usr/bin/python3 ]
"""

_HOST_NAME = """\
[ "$(hostname)" = "$NAME" ] && [ "$(cat /etc/hostname)" = "$NAME" ] && exit
if [ -d /run/systemd/system ]; then hostnamectl set-hostname "$NAME"; else echo "$NAME" > /etc/hostname; fi
hostname "$NAME"
echo set
"""

_NAT = """\
sysctl -q -w net.ipv4.ip_forward=1
outside=$(ip -o route show default | sed -n '1s/.* dev \\([^ ]*\\).*/\\1/p')
iptables -t nat -C POSTROUTING -o "$outside" -j MASQUERADE 2>/dev/null ||
  iptables -t nat -A POSTROUTING -o "$outside" -j MASQUERADE
"""


# --- main ------------------------------------------------------------------------------------------------------


def packages(machine: Machine) -> list[str]:
    """The packages a machine is to have: the applications of its system that are not already there."""
    return [
        application.name.rpartition(".")[2]
        for application in machine.system.applications()
        if not application.preinstalled and not application.name.startswith("ansible.")
    ]


def disks(machine: Machine) -> list[Mapping[str, str]]:
    """The data disks that are to be formatted and mounted: those of which all is known."""
    found: list[Mapping[str, str]] = []
    for number, features in machine.system.disks().items():
        device, path, kind = (features.text(name) or "" for name in ("device", "mount_path", "fstype"))
        if number >= 1 and device and kind and (path or kind == "swap"):
            found.append({"device": device.rpartition("/")[2], "path": path, "fstype": kind})
    return found


def main(
    item: str, rights: Rights, machines: Sequence[Machine], everybody: Sequence[Machine], *, bearer_token: str = ""
) -> list[Play]:
    """Hosts file, disks and packages."""
    if rights.windows or not rights.root:
        return []
    tasks: list[Play] = [
        {
            "name": "Name all machines in the hosts file",
            "ansible.builtin.shell": {"cmd": _HOSTS, "stdin": hosts_file(everybody)},
            "register": "im_hosts",
            "changed_when": "'written' in im_hosts.stdout",
        }
    ]
    if bearer_token:
        tasks.append(
            {
                "name": "Hand the token to the programs of the machine",
                "ansible.builtin.lineinfile": {
                    "path": "/etc/environment",
                    "regexp": "^BEARER_TOKEN=",
                    "line": f"BEARER_TOKEN={bearer_token}",
                    "create": True,
                },
                "no_log": True,
            }
        )
    work = {machine.host: {"packages": packages(machine), "disks": disks(machine)} for machine in machines}
    if any(each["disks"] for each in work.values()):
        tasks.append(
            {
                "name": "Format and mount the data disks",
                "ansible.builtin.shell": _DISK,
                "environment": {
                    "DEVICE": "{{ item.device }}",
                    "WHERE": "{{ item.path }}",
                    "FSTYPE": "{{ item.fstype }}",
                },
                "loop": "{{ im_work[inventory_hostname].disks }}",
                "register": "im_disk",
                "changed_when": "'mounted' in im_disk.stdout",
            }
        )
    if any(each["packages"] for each in work.values()):
        tasks.append(
            {
                "name": "Install the applications",
                "ansible.builtin.package": {"name": "{{ item }}", "state": "present"},
                "loop": "{{ im_work[inventory_hostname].packages }}",
                "ignore_errors": True,
            }
        )
    return [{**header(item, rights, "Set up the node"), "vars": {"im_work": work}, "tasks": tasks}]


# The file as it was found is kept beside it, and so is our part.
_HOSTS = """\
[ -e /etc/hosts.orig ] || cp -p /etc/hosts /etc/hosts.orig
cat > /etc/hosts.im
cat /etc/hosts.orig /etc/hosts.im > /etc/hosts.new
cmp -s /etc/hosts.new /etc/hosts || { cat /etc/hosts.new > /etc/hosts; echo written; }
rm -f /etc/hosts.new
"""

# A disk called hdb may turn up as vdb, sdb, xvdb or nvme1n1: its last letter says which one it is.
_DISK = """\
set -eu
find_disk() {
  for name in "/dev/$DEVICE" /dev/disk/by-id/*"$DEVICE"*; do
    if [ -b "$name" ]; then readlink -f "$name"; return; fi
  done
  letter=${DEVICE##*[!a-z]}; letter=${letter#"${letter%?}"}
  number=$(( $(printf '%d' "'$letter") - 97 ))
  for name in /dev/vd$letter /dev/sd$letter /dev/xvd$letter /dev/nvme${number}n1; do
    if [ -b "$name" ]; then echo "$name"; return; fi
  done
}
disk=; tries=60
while [ -z "$disk" ] && [ $tries -gt 0 ]; do
  disk=$(find_disk); [ -n "$disk" ] || sleep 1; tries=$((tries - 1))
done
[ -n "$disk" ] || { echo "there is no disk $DEVICE" >&2; exit 1; }
case $disk in *[0-9]) part=${disk}p1;; *) part=${disk}1;; esac
if [ ! -b "$part" ] && ! blkid "$disk" >/dev/null; then
  if command -v sfdisk >/dev/null; then echo ',,L' | sfdisk -q --label gpt "$disk"
  elif command -v parted >/dev/null; then parted -s "$disk" mklabel gpt mkpart primary 0% 100%
  fi
  ! command -v udevadm >/dev/null || udevadm settle
fi
[ -b "$part" ] || part=$disk
if ! blkid "$part" >/dev/null; then
  if [ "$FSTYPE" = swap ]; then mkswap "$part" >/dev/null; else "mkfs.$FSTYPE" "$part" >/dev/null; fi
fi
id=UUID=$(blkid -s UUID -o value "$part")
if [ "$FSTYPE" = swap ]; then line="$id none swap sw 0 0"; else line="$id $WHERE $FSTYPE defaults,nofail 0 2"; fi
grep -q "^$id " /etc/fstab || echo "$line" >> /etc/fstab
if [ "$FSTYPE" = swap ]; then
  grep -q "^$(readlink -f "$part") " /proc/swaps || { swapon "$part"; echo mounted; }
else
  mkdir -p "$WHERE"
  mountpoint -q "$WHERE" || { mount "$WHERE"; echo mounted; }
fi
"""
