"""Resources of machines."""

import pytest

from imframework.api.errors import CloudRefused
from imframework.api.service import Document, Language

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


# --- changes of one machine -----------------------------------------------------------------------------------


def test_an_altered_machine_is_answered_as_it_is_now(server):
    answer = server.put("/infrastructures/inf/vms/1", "system front (cpu.count = 2)")
    assert (answer.status, answer.media_type) == (200, "text/plain")
    assert answer.text == server.service.infos[Language.RADL]
    assert server.service.calls[0] == ("alter", "inf", 1, Document("system front (cpu.count = 2)"))
    answer = server.put("/infrastructures/inf/vms/1", "a: 1", Content_Type="text/yaml", Accept="application/json")
    assert answer.json == {"radl": [{"class": "system", "id": "front", "cpu.count": 2}]}
    assert server.service.calls[2] == ("alter", "inf", 1, Document("a: 1", Language.TOSCA))


def test_an_alteration_that_the_cloud_refuses_is_a_bad_request(server):
    server.service.failures["alter"] = CloudRefused("no such flavour")
    answer = server.put("/infrastructures/inf/vms/1", "system front ()")
    assert (answer.status, answer.text) == (400, "Error modifying resources: no such flavour")


def test_nothing_is_altered_if_the_answer_cannot_be_given(server):
    assert server.put("/infrastructures/inf/vms/1", Accept="image/png").status == 415
    assert not server.service.calls
    assert server.put("/infrastructures/inf/vms/8").status == 404


@pytest.mark.parametrize(("query", "auto_delete"), [("", False), ("&auto_delete=yes", True)])
def test_a_snapshot_answers_the_url_of_the_image(server, query, auto_delete):
    path = f"/infrastructures/inf/vms/1/disks/0/snapshot?image_name=my%20image{query}"
    answer = server.put(path, b"\xff ignored", Content_Type="image/png")
    assert (answer.status, answer.text) == (200, "mock0://linux.for.ev.er/my image")
    assert answer.media_type == "text/plain"
    assert server.service.calls == [("snapshot", "inf", 1, 0, "my image", auto_delete)]


@pytest.mark.parametrize("query", ["", "?image_name=", "?auto_delete=1"])
def test_a_snapshot_needs_a_name(server, query):
    answer = server.put(f"/infrastructures/inf/vms/1/disks/0/snapshot{query}")
    assert (answer.status, answer.text) == (400, "Parameter image_name required.")
    assert not server.service.calls


def test_a_disk_has_a_number(server):
    answer = server.put("/infrastructures/inf/vms/1/disks/first/snapshot?image_name=i")
    assert (answer.status, answer.text) == (404, "Error creating snapshot: Invalid disk number")


def test_errors_of_machine_information_begin_as_clients_know_it(server):
    assert server.get("/infrastructures/inf/vms/8").text == "Error Getting VM. info: Invalid VM ID"
    assert server.get("/infrastructures/foreign/vms/0").text.startswith("Error Getting VM. info: Access")
    server.service.failures["vm_info"] = CloudRefused("it is broken")
    assert server.get("/infrastructures/inf/vms/0").text == "Error Getting VM info: it is broken"


# --- asked by the machine itself ------------------------------------------------------------------------------


def test_a_machine_shows_its_secret_instead_of_credentials(server):
    path = "/infrastructures/inf/vms/7/command"
    answer = server.get(path, auth=None, X_IM_Secret="of-the-machine")
    assert (answer.status, answer.text, answer.media_type) == (200, "#!/bin/bash\n", "text/plain")
    assert server.get(f"{path}?step=2", auth=None, X_IM_Secret="of-the-machine").text == "wait"
    assert server.service.calls == [
        ("command", False, "inf", 7, 1, "of-the-machine", server.url),
        ("command", False, "inf", 7, 2, "of-the-machine", server.url),
    ]
    assert server.service.credentials == ""
    assert server.get(path, auth=None, X_IM_Secret="guessed").status == 401


def test_an_owner_may_ask_for_the_command_of_a_machine(server):
    assert server.get("/infrastructures/inf/vms/7/command?step=1").text == "#!/bin/bash\n"
    assert server.service.calls == [("command", True, "inf", 7, 1, "", server.url)]
    assert server.get("/infrastructures/inf/vms/7/command", auth=None).status == 401


def test_the_secret_of_a_machine_opens_nothing_else(server):
    for path in ("/infrastructures/inf", "/infrastructures/inf/vms/7", "/infrastructures/inf/vms/7/state"):
        assert server.get(path, auth=None, X_IM_Secret="of-the-machine").status == 401


@pytest.mark.parametrize("step", ["0", "3", "", "one"])
def test_there_are_two_steps(server, step):
    answer = server.get(f"/infrastructures/inf/vms/7/command?step={step}")
    assert (answer.status, answer.text) == (
        404, "Error Getting VM. property: Incorrect property command for VM ID 7",
    )  # fmt: skip
