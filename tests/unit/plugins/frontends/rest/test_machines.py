"""Resources of machines."""

import pytest

pytestmark = pytest.mark.usefixtures("infrastructure")


def test_a_machine_is_radl_or_radl_json(server):
    text = server.get("/infrastructures/inf/vms/0")
    assert (text.media_type, text.text) == ("text/plain", "system front (\ncpu.count = 2\n)\n")
    answer = server.get("/infrastructures/inf/vms/0", Accept="application/json")
    assert answer.json == {"radl": [{"class": "system", "id": "front", "cpu.count": 2}]}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("state", "configured", "configured"),
        ("memory.size", "512000000", 512000000),
        ("cpu.performance", "1.5", 1.5),
        ("disk.0.applications", '[{"name":"nfs"}]', [{"name": "nfs"}]),
    ],
)
def test_a_property_is_bare_as_text_and_named_in_json(server, name, text, value):
    assert server.get(f"/infrastructures/inf/vms/1/{name}").text == text
    assert server.get(f"/infrastructures/inf/vms/1/{name}", Accept="application/json").json == {name: value}


def test_an_absent_property_is_not_found(server):
    answer = server.get("/infrastructures/inf/vms/1/no.such")
    assert answer.status == 404
    assert answer.text == "Error Getting VM. property: Incorrect property no.such for VM ID 1"


def test_contmsg_of_a_machine_is_its_log(server):
    assert server.get("/infrastructures/inf/vms/1/contmsg").status == 200
    assert server.service.calls == [("contmsg", "inf", 1, False)]


@pytest.mark.parametrize("number", ["7", "x", "-1", "1.0", "0x1", "%D9%A1", "9" * 5000, "+1", "%20"])
def test_what_is_no_machine_is_not_found(server, number):
    for path in (f"/infrastructures/inf/vms/{number}", f"/infrastructures/inf/vms/{number}/state"):
        answer = server.get(path)
        assert answer.status == 404
        assert answer.text.endswith(": Invalid VM ID")


@pytest.mark.parametrize("operation", ["start", "stop", "reboot"])
def test_a_machine_is_operated(server, operation):
    answer = server.put(f"/infrastructures/inf/vms/1/{operation}")
    assert (answer.status, answer.body, answer.media_type) == (200, b"", "text/plain")
    assert server.service.calls == [(operation, "inf", 1)]
    answer = server.put(f"/infrastructures/inf/vms/8/{operation}")
    assert (answer.status, answer.text) == (404, f"Error in {operation} op in VM: Invalid VM ID")


def test_an_unknown_operation_is_not_found(server):
    answer = server.put("/infrastructures/inf/vms/1/explode")
    assert (answer.status, answer.text) == (404, "Incorrect operation")


def test_several_machines_are_removed_at_once(server):
    answer = server.delete("/infrastructures/inf/vms/1,0,1?context=0")
    assert (answer.status, answer.body) == (200, b"")
    assert server.service.calls == [("remove", "inf", [1, 0], False)]


def test_nothing_is_removed_if_one_number_is_wrong(server):
    for numbers in ("0,x", "0,", ",0"):
        assert server.delete(f"/infrastructures/inf/vms/{numbers}").status == 404
    assert not server.service.calls
