"""Machines in the words of the command line."""

from imframework.cli.machines import MachineInfo, without_secrets

DESCRIPTION = [
    {"class": "network", "id": "net", "outbound": "yes"},
    {
        "class": "system",
        "id": "wn",
        "state": "configured",
        "cpu.count": 2,
        "net_interface.10.ip": "10.0.0.10",
        "net_interface.2.ip": "10.0.0.2",
        "net_interface.2.dns_name": "wn-2",
        "net_interface.3.ip": "10.0.0.2",
        "provider.type": "Local",
        "disk.0.os.credentials.username": "root",
        "disk.0.os.credentials.private_key": "hush",
        "disk.0.os.credentials.password": "hush",
    },
]


def test_a_machine_is_read_out_of_its_description():
    machine = MachineInfo.of(3, DESCRIPTION)

    assert (machine.number, machine.name, machine.state, machine.cloud) == (3, "wn", "configured", "Local")
    assert machine.addresses == ("10.0.0.2", "10.0.0.10")
    assert machine.text("cpu.count") == "2"
    assert machine.text("gpu.count") == ""


def test_a_machine_that_is_not_described_is_empty():
    machine = MachineInfo.of(0, [])

    assert (machine.name, machine.addresses) == ("", ())


def test_secrets_are_left_out_and_the_rest_is_kept():
    shown = without_secrets(DESCRIPTION)

    assert "hush" not in str(shown) + repr(MachineInfo.of(0, DESCRIPTION))
    assert shown[0] == DESCRIPTION[0]
    assert shown[1]["disk.0.os.credentials.username"] == "root"
