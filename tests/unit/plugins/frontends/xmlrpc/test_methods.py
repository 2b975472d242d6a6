"""Every method: what it asks of the service, and what it answers."""

import datetime
import xmlrpc.client
from ipaddress import ip_network

import pytest

from imframework.api.errors import CloudRefused, Conflict, NotFound, StorageUnavailable
from imframework.api.service import Document, Language
from imframework.testing.service import PASSWORD

AUTH = [{"type": "InfrastructureManager", "username": "ana", "password": PASSWORD}]
NOBODY = "No credentials provided for the InfrastructureManager."
RADL = Document("system front ()")

CALLS = [
    ("GetInfrastructureList", (AUTH,), ["inf"], ("list", None)),
    ("GetInfrastructureList", (AUTH, None), ["inf"], ("list", None)),
    ("GetInfrastructureList", (AUTH, "no"), [], ("list", "no")),
    ("CreateInfrastructure", (RADL.text, AUTH), "inf-1", ("create", RADL, False)),
    ("CreateInfrastructure", (RADL.text, AUTH, None), "inf-1", ("create", RADL, False)),
    ("CreateInfrastructure", (RADL.text, AUTH, True), "inf-1", ("create", RADL, True)),
    ("CreateInfrastructure", (RADL.text, AUTH, 1), "inf-1", ("create", RADL, True)),
    ("GetInfrastructureInfo", ("inf", AUTH), ["0", "1"], ("machines", "inf")),
    ("GetInfrastructureContMsg", ("inf", AUTH), "the log", ("contmsg", "inf", None, False)),
    ("GetInfrastructureContMsg", ("inf", AUTH, True), "the log", ("contmsg", "inf", None, True)),
    (
        "GetInfrastructureState",
        ("inf", AUTH),
        {"state": "running", "vm_states": {"0": "running", "1": "running"}},
        ("state", "inf"),
    ),
    ("GetInfrastructureRADL", ("inf", AUTH), "system front ()\n", ("radl", "inf")),
    ("GetVMInfo", ("inf", 0, AUTH), "system front ()\n", ("vm_info", "inf", 0, Language.RADL)),
    ("GetVMInfo", ("inf", "0", AUTH), "system front ()\n", ("vm_info", "inf", 0, Language.RADL)),
    ("GetVMProperty", ("inf", 0, "cpu.count", AUTH), 2, ("vm_property", "inf", 0, "cpu.count")),
    ("GetVMProperty", ("inf", 0, "cpu.performance", AUTH), 1.5, ("vm_property", "inf", 0, "cpu.performance")),
    ("GetVMContMsg", ("inf", "1", AUTH), "the log", ("contmsg", "inf", 1, False)),
    ("AlterVM", ("inf", "1", RADL.text, AUTH), "system front ()\n", ("alter", "inf", 1, RADL)),
    ("DestroyInfrastructure", ("inf", AUTH), "", ("destroy", "inf", False, False)),
    ("DestroyInfrastructure", ("inf", AUTH, True), "", ("destroy", "inf", True, False)),
    ("DestroyInfrastructure", ("inf", AUTH, None, True), "", ("destroy", "inf", False, True)),
    ("AddResource", ("inf", RADL.text, AUTH), [2], ("add", "inf", RADL, True)),
    ("AddResource", ("inf", RADL.text, AUTH, None), [2], ("add", "inf", RADL, True)),
    ("AddResource", ("inf", RADL.text, AUTH, False), [2], ("add", "inf", RADL, False)),
    ("RemoveResource", ("inf", "1", AUTH), 1, ("remove", "inf", [1], True)),
    ("RemoveResource", ("inf", 1, AUTH), 1, ("remove", "inf", [1], True)),
    ("RemoveResource", ("inf", [1], AUTH), 1, ("remove", "inf", [1], True)),
    ("RemoveResource", ("inf", ["1"], AUTH), 1, ("remove", "inf", [1], True)),
    ("RemoveResource", ("inf", "0, 1", AUTH, False), 2, ("remove", "inf", [0, 1], False)),
    ("RemoveResource", ("inf", [1, "1"], AUTH, None), 1, ("remove", "inf", [1], True)),
    ("StopInfrastructure", ("inf", AUTH), "", ("stop", "inf", None)),
    ("StartInfrastructure", ("inf", AUTH), "", ("start", "inf", None)),
    ("StopVM", ("inf", 0, AUTH), "", ("stop", "inf", 0)),
    ("StartVM", ("inf", "0", AUTH), "", ("start", "inf", 0)),
    ("RebootVM", ("inf", 1, AUTH), "", ("reboot", "inf", 1)),
    ("Reconfigure", ("inf", "", AUTH), "", ("reconfigure", "inf", None, None)),
    ("Reconfigure", ("inf", RADL.text, AUTH, None), "", ("reconfigure", "inf", RADL, None)),
    ("Reconfigure", ("inf", None, AUTH, [0, 1]), "", ("reconfigure", "inf", None, [0, 1])),
    ("Reconfigure", ("inf", "", AUTH, "0,1"), "", ("reconfigure", "inf", None, [0, 1])),
    ("ExportInfrastructure", ("inf", False, AUTH), '{"id":"inf"}', ("export_document", "inf", False)),
    ("ExportInfrastructure", ("inf", True, AUTH), '{"id":"inf"}', ("export_document", "inf", True)),
    ("ImportInfrastructure", ('{"id":"other"}', AUTH), "other", ("import_document", '{"id":"other"}')),
    (
        "CreateDiskSnapshot",
        ("inf", 0, "1", "copy", True, AUTH),
        "mock0://images/copy",
        ("snapshot", "inf", 0, 1, "copy", True),
    ),
    ("GetCloudImageList", ("one", AUTH), [{"uri": "mock0://images/1", "name": "one"}], ("images", "one", {})),
    (
        "GetCloudImageList",
        ("one", AUTH, {"os": "linux", "cpus": 2}),
        [{"uri": "mock0://images/1", "name": "one"}],
        ("images", "one", {"os": "linux", "cpus": "2"}),
    ),
    ("GetCloudQuotas", ("one", AUTH), {"cores": {"used": 2, "limit": -1}}, ("quotas", "one")),
    ("GetInfrastructureOwners", ("inf", AUTH), ["ana"], ("owners", "inf")),
    ("ChangeInfrastructureAuth", ("inf", AUTH[0], True, AUTH), "", ("change_owners", "inf", AUTH[0], True)),
    ("ChangeInfrastructureAuth", ("inf", AUTH, False, AUTH), "", ("change_owners", "inf", AUTH[0], False)),
    ("GetStats", ("", None, AUTH), [{"inf_id": "inf", "vm_count": 2}], ("stats", None, None)),
    (
        "GetStat",
        ("2026/01/02", "2026-1-3", AUTH),
        [{"inf_id": "inf", "vm_count": 2}],
        ("stats", datetime.date(2026, 1, 2), datetime.date(2026, 1, 3)),
    ),
]


@pytest.fixture(scope="module")
def everything():
    """Names of the methods of the specification."""
    return {name for name, *_ in CALLS} | {"GetVersion", "EstimateResources", "EstimateResouces"}


@pytest.mark.parametrize(("method", "parameters", "value", "asked"), CALLS)
def test_a_call_becomes_an_operation_and_its_result_a_value(server, method, parameters, value, asked):
    assert server.call(method, *parameters) == [True, value]
    operation, *arguments = asked
    assert server.service.asked(operation) == [tuple(arguments)]


def test_the_version_needs_no_credentials(server):
    assert server.call("GetVersion") == [True, "1.2.3"]


def test_an_estimate_has_two_names(server):
    estimates = [server.call(name, RADL.text, AUTH) for name in ("EstimateResources", "EstimateResouces")]
    assert estimates[0] == estimates[1]
    assert estimates[0][1]["sim"]["compute"] == [{"cpuCores": 1, "memoryInMegabytes": 512}]


def test_machine_information_is_json_where_the_operator_wants_it(serve):
    server = serve(VMINFO_JSON=True)
    assert server.call("GetVMInfo", "inf", 0, AUTH) == [True, "[]"]


def test_new_owners_in_place_of_the_old_are_all_there_in_the_end(server):
    server.call("ChangeInfrastructureAuth", "inf", [{"username": "a"}, {"username": "b"}], True, AUTH)
    assert server.service.asked("change_owners") == [
        ("inf", {"username": "a"}, True),
        ("inf", {"username": "b"}, False),
    ]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("system front ()", Language.RADL),
        ("", Language.RADL),
        ("# tosca_definitions_version: not this\nsystem front ()", Language.RADL),
        (' [{"class": "system", "id": "front"}]', Language.RADL_JSON),
        ("tosca_definitions_version: tosca_simple_yaml_1_0", Language.TOSCA),
        ("---\n# a template\n\ntosca_definitions_version: tosca_simple_yaml_1_0", Language.TOSCA),
    ],
)
def test_documents_are_taken_for_what_they_are(server, text, language):
    assert server.call("CreateInfrastructure", text, AUTH)[0]
    assert server.service.asked("create") == [(Document(text, language), False)]


# --- values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (4 * 1024**3, "4294967296"),
        (2**31 - 1, 2**31 - 1),
        (-(2**31) - 1, "-2147483649"),
        (True, True),
        ([{"name": "nfs", "version": None}], [{"name": "nfs"}]),
        ("\x1b[31mno\x00 ñ 漢 \ud800", "\ufffd[31mno\ufffd ñ 漢 \ufffd"),
        ("<&]]>", "<&]]>"),
        (float("inf"), "inf"),
    ],
)
def test_every_value_can_be_read_by_a_client(server, value, sent):
    server.service.properties["x"] = value
    assert server.call("GetVMProperty", "inf", 0, "x", AUTH) == [True, sent]


def test_a_large_answer_arrives_whole(server):
    server.service.log = "0123456789" * 300_000
    assert server.call("GetInfrastructureContMsg", "inf", AUTH) == [True, server.service.log]


# --- failures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["type = InfrastructureManager; username = ana", "", None, [], {}, 7, AUTH[0]])
def test_without_a_list_of_credentials_nobody_is_known(server, auth):
    assert server.call("GetInfrastructureList", auth) == [False, NOBODY]


def test_wrong_credentials_are_refused(server):
    auth = [{**AUTH[0], "password": "wrong"}]
    assert server.call("GetInfrastructureList", auth) == [False, "Invalid InfrastructureManager credentials"]


@pytest.mark.parametrize(
    ("method", "parameters", "text"),
    [
        ("GetInfrastructureInfo", ("none", AUTH), "Invalid infrastructure ID or access not granted."),
        ("GetInfrastructureInfo", (7, AUTH), "Invalid infrastructure ID or access not granted."),
        ("GetInfrastructureInfo", ({}, AUTH), "Invalid infrastructure ID or access not granted."),
        ("GetInfrastructureInfo", (None, AUTH), "Invalid infrastructure ID or access not granted."),
        ("GetInfrastructureInfo", ("foreign", AUTH), "Access to this infrastructure not granted."),
        ("GetVMInfo", ("inf", 5, AUTH), "Invalid VM ID"),
        ("GetVMInfo", ("inf", "x", AUTH), "Invalid VM ID"),
        ("GetVMInfo", ("inf", -1, AUTH), "Invalid VM ID"),
        ("GetVMInfo", ("inf", True, AUTH), "Invalid VM ID"),
        ("GetVMInfo", ("inf", "²", AUTH), "Invalid VM ID"),
        ("GetVMInfo", ("inf", "9" * 5000, AUTH), "Invalid VM ID"),
        ("GetVMInfo", ("inf", [0], AUTH), "Invalid VM ID"),
        ("GetVMProperty", ("inf", 0, "foo", AUTH), "Incorrect property foo for VM ID 0"),
        ("GetVMProperty", ("inf", 0, 7, AUTH), "Incorrect value in name parameter"),
        ("RemoveResource", ("inf", "", AUTH), "Invalid VM ID"),
        ("RemoveResource", ("inf", [], AUTH), "Invalid VM ID"),
        ("RemoveResource", ("inf", "0,x", AUTH), "Invalid VM ID"),
        ("RemoveResource", ("inf", {"a": 0}, AUTH), "Invalid VM ID"),
        ("Reconfigure", ("inf", "", AUTH, "x"), "Incorrect vm_list format."),
        ("Reconfigure", ("inf", "", AUTH, []), "Incorrect vm_list format."),
        ("CreateInfrastructure", (None, AUTH), "Incorrect value in radl parameter"),
        ("CreateInfrastructure", (b"bytes", AUTH), "Incorrect value in radl parameter"),
        ("CreateInfrastructure", ("", AUTH, "yes"), "Incorrect value in async parameter"),
        ("CreateInfrastructure", ("", AUTH, 2), "Incorrect value in async parameter"),
        ("CreateDiskSnapshot", ("inf", 0, "a", "copy", False, AUTH), "Incorrect value in disk_num parameter"),
        ("GetCloudImageList", ("one", AUTH, "os=linux"), "Incorrect value in filters parameter"),
        ("ChangeInfrastructureAuth", ("inf", "ana", False, AUTH), "Incorrect value in newAuth parameter"),
        ("ChangeInfrastructureAuth", ("inf", [], False, AUTH), "Incorrect value in newAuth parameter"),
        ("GetStats", ("yesterday", "", AUTH), "Incorrect format in init_date parameter: YYYY/MM/dd"),
        ("GetStats", ("", "2026/02/30", AUTH), "Incorrect format in end_date parameter: YYYY/MM/dd"),
    ],
)
def test_what_cannot_be_is_told(server, method, parameters, text):
    assert server.call(method, *parameters) == [False, text]


@pytest.mark.parametrize(
    "error",
    [
        NotFound("Deleted infrastructure."),
        Conflict("Invalid State to perform this operation."),
        CloudRefused("No VMI obtained from Sites"),
        StorageUnavailable("The database cannot be reached"),
    ],
)
def test_errors_of_the_service_are_told_without_a_prefix(server, error):
    server.service.failures["machines"] = error
    assert server.call("GetInfrastructureInfo", "inf", AUTH) == [False, str(error)]


def test_an_unexpected_error_is_told_as_a_number(server, caplog):
    server.service.failures["machines"] = KeyError("inside")
    good, text = server.call("GetInfrastructureInfo", "inf", AUTH)
    assert (good, text[:25]) == (False, "Internal error. Incident:")
    assert f"Incident {text.split()[-1]} in GetInfrastructureInfo" in caplog.text


def test_a_result_that_cannot_be_sent_is_an_incident(server):
    server.service.properties["x"] = object()
    answer = server.request(xmlrpc.client.dumps(("inf", 0, "x", AUTH), "GetVMProperty"))
    assert (answer.status, answer.text[:25]) == (500, "Internal error. Incident:")


@pytest.mark.parametrize(
    ("method", "parameters", "text"),
    [
        ("Foo", (), "<class 'Exception'>:method \"Foo\" is not supported"),
        ("system.exit", (), "<class 'Exception'>:method \"system.exit\" is not supported"),
        (
            "GetInfrastructureInfo",
            ("inf",),
            "<class 'TypeError'>:GetInfrastructureInfo() takes 2 arguments (1 given)",
        ),
        (
            "CreateInfrastructure",
            ("", AUTH, True, 1),
            "<class 'TypeError'>:CreateInfrastructure() takes from 2 to 3 arguments (4 given)",
        ),
        ("GetVersion", (1,), "<class 'TypeError'>:GetVersion() takes 0 arguments (1 given)"),
    ],
)
def test_a_call_that_there_is_not_is_a_fault(server, method, parameters, text):
    with pytest.raises(xmlrpc.client.Fault) as caught:
        server.call(method, *parameters)
    assert (caught.value.faultCode, caught.value.faultString) == (1, text)
    assert server.service.calls == []


# --- waiting --------------------------------------------------------------------------------------------------


def test_a_call_beyond_the_patience_is_answered_and_goes_on(serve):
    server = serve(REST_BLOCKING_CALL_TIMEOUT=0.05)
    server.service.hold("create")
    assert server.call("CreateInfrastructure", "", AUTH) == [False, "Operation timed out"]
    server.loop.call_soon_threadsafe(server.service.release, "create")
    server.until(lambda: "inf-1" in server.service.infrastructures)


# --- introspection --------------------------------------------------------------------------------------------


def test_every_method_is_listed_with_help_and_signature(server, everything):
    names = server.call("system.listMethods")
    assert {name for name in names if not name.startswith("system.")} == everything
    assert len(everything) == 31
    for name in names:
        assert server.call("system.methodHelp", name)
        for answer, *parameters in server.call("system.methodSignature", name):
            assert {answer, *parameters} <= {"array", "string", "boolean", "int", "struct"}


def test_a_signature_has_the_optional_parameters_one_after_the_other(server):
    assert server.call("system.methodSignature", "CreateInfrastructure") == [
        ["array", "string", "array"],
        ["array", "string", "array", "boolean"],
    ]
    assert server.call("system.methodSignature", "GetVersion") == [["array"]]


def test_there_is_no_help_for_what_there_is_not(server):
    for name in ("Foo", ["GetVersion"]):
        with pytest.raises(xmlrpc.client.Fault, match="is not supported"):
            server.call("system.methodHelp", name)


def test_several_calls_are_made_in_one_each_with_its_outcome(server):
    with xmlrpc.client.ServerProxy(server.url) as proxy:
        together = xmlrpc.client.MultiCall(proxy)
        together.GetVersion()
        together.GetInfrastructureInfo("none", AUTH)
        together.Foo()
        together.GetInfrastructureInfo("inf", AUTH)
        answers = together()
    assert answers[0] == [True, "1.2.3"]
    assert answers[1] == [False, "Invalid infrastructure ID or access not granted."]
    with pytest.raises(xmlrpc.client.Fault, match="not supported"):
        answers[2]
    assert answers[3] == [True, ["0", "1"]]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ({"methodName": "system.multicall", "params": [[]]}, "cannot call itself"),
        ({"methodName": "GetVersion"}, "a call is a struct"),
        ({"methodName": 7, "params": []}, "a call is a struct"),
        ("GetVersion", "a call is a struct"),
    ],
)
def test_what_is_no_call_is_a_fault_in_the_answer_to_several(server, call, text):
    version, fault = server.call("system.multicall", [{"methodName": "GetVersion", "params": []}, call])
    assert version == [[True, "1.2.3"]]
    assert text in fault["faultString"]


@pytest.mark.parametrize("calls", ["GetVersion", [{"methodName": "GetVersion", "params": []}] * 101])
def test_too_many_calls_in_one_are_refused(server, calls):
    with pytest.raises(xmlrpc.client.Fault, match="100 calls"):
        server.call("system.multicall", calls)


@pytest.mark.parametrize(("proxies", "address"), [("127.0.0.0/8", "192.0.2.7"), ("10.0.0.0/8", "127.0.0.1")])
def test_the_service_is_told_the_address_of_the_client_by_trusted_proxies_alone(serve, proxies, address):
    server = serve(TRUSTED_PROXIES=(ip_network(proxies),))
    body = xmlrpc.client.dumps((AUTH,), "GetInfrastructureList").encode()
    assert server.request(body, X_Forwarded_For="10.0.0.9, 192.0.2.7").value == [True, ["inf"]]
    assert server.service.addresses == [address]
