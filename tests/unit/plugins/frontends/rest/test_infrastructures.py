"""Resources of infrastructures: what clients get, and what the service is asked."""

import pytest

from imframework.api.errors import CloudRefused, Conflict, Forbidden, IdempotencyMismatch, InvalidDocument, Problem
from imframework.api.service import Document, Language, Outputs


def test_creating_answers_the_uri_and_the_id(server):
    answer = server.post("/infrastructures", "deploy front 1", Content_Type="text/plain")
    assert (answer.status, answer.text) == (200, f"{server.url}/infrastructures/inf-0")
    assert answer.media_type == "text/uri-list"
    assert answer.headers["InfID"] == "inf-0"
    assert server.service.calls == [("create", Document("deploy front 1"), False)]


def test_creating_answers_json_to_those_who_ask_for_it(server):
    answer = server.post("/infrastructures", Accept="application/json")
    assert answer.json == {"uri": f"{server.url}/infrastructures/inf-0"}
    assert answer.media_type == "application/json"


@pytest.mark.parametrize(
    ("content_type", "language"),
    [
        (None, Language.RADL),
        ("text/plain; charset=utf-8", Language.RADL),
        ("*/*", Language.RADL),
        ("text/*", Language.RADL),
        ("application/json", Language.RADL_JSON),
        ("Application/JSON;charset=UTF-8", Language.RADL_JSON),
        ("application/x-unknown, application/json", Language.RADL_JSON),
        ("text/yaml", Language.TOSCA),
        ("text/x-yaml", Language.TOSCA),
        ("application/yaml", Language.TOSCA),
        ("application/x-yaml", Language.TOSCA),
    ],
)
def test_the_media_type_of_a_body_says_its_language(server, content_type, language):
    server.post("/infrastructures", "body: ñ".encode(), Content_Type=content_type)
    assert server.service.calls == [("create", Document("body: ñ", language), False)]


@pytest.mark.parametrize("content_type", ["application/json", "text/yaml", None])
def test_an_empty_body_is_an_empty_radl(server, content_type):
    assert server.post("/infrastructures", Content_Type=content_type).status == 200
    assert server.service.calls == [("create", Document("", Language.RADL), False)]


def test_a_body_of_another_media_type_is_refused(server):
    answer = server.post("/infrastructures", "a=b", Content_Type="application/x-www-form-urlencoded")
    assert answer.status == 415
    assert answer.text == "Unsupported Media Type ['application/x-www-form-urlencoded']"
    assert not server.service.calls


def test_a_compressed_body_is_refused(server):
    answer = server.post("/infrastructures", b"\x1f\x8b", Content_Encoding="gzip")
    assert answer.status == 415
    assert "Content-Encoding" in answer.text


def test_a_body_that_is_not_utf8_is_refused_with_the_place(server):
    answer = server.post("/infrastructures", b"system \xff\xfe")
    assert answer.status == 400
    assert answer.text == "Error Creating Inf.: The body is not UTF-8 text: invalid byte at offset 7"
    assert not server.service.calls


def test_problems_of_a_document_are_told_with_their_place(server):
    problem = Problem("unknown keyword 'sistem'", line=3, hint="did you mean 'system'?")
    server.service.failures["create"] = InvalidDocument(problem)
    answer = server.post("/infrastructures", "sistem")
    assert answer.status == 400
    assert answer.text == "Error Creating Inf.: Line 3: unknown keyword 'sistem' (did you mean 'system'?)"


def test_a_cloud_that_refuses_is_a_bad_request(server):
    server.service.failures["create"] = CloudRefused("All machines failed")
    answer = server.post("/infrastructures", "x")
    assert (answer.status, answer.text) == (400, "Error Creating Inf.: All machines failed")


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        *((text, True) for text in ("1", "true", "TRUE", "yes", "on", "t", "y")),
        *((text, False) for text in ("0", "false", "no", "off", "f", "N")),
    ],
)
def test_every_spelling_of_a_boolean_is_understood(server, spelling, value):
    server.post(f"/infrastructures?async={spelling}")
    assert server.service.calls[0][2] is value


@pytest.mark.parametrize("spelling", ["2", "", "si", "tru%65e", "%C3%B1"])
def test_another_boolean_is_refused(server, spelling):
    answer = server.post(f"/infrastructures?async={spelling}")
    assert (answer.status, answer.text) == (400, "Incorrect value in async parameter")
    assert not server.service.calls


def test_of_a_repeated_parameter_the_first_counts(server):
    server.post("/infrastructures?async=1&async=0&unknown=x")
    assert server.service.calls[0][2] is True


def test_listing_has_the_uris_of_all(server):
    assert server.get("/infrastructures").text == ""
    assert server.get("/infrastructures", Accept="application/json").json == {"uri-list": []}
    server.service.infrastructures = {"a": [], "b": []}
    uris = [f"{server.url}/infrastructures/{name}" for name in "ab"]
    assert server.get("/infrastructures").text == "\n".join(uris)
    assert server.get("/infrastructures", Accept="application/json").json == {
        "uri-list": [{"uri": uri} for uri in uris]
    }


def test_listing_passes_the_filter_on(server):
    server.service.infrastructures = {"alpha": [], "beta": []}
    assert server.get("/infrastructures?filter=al%70ha").text == f"{server.url}/infrastructures/alpha"
    answer = server.get("/infrastructures?filter=(")
    assert answer.status == 400
    assert answer.text.startswith("Error Getting Inf. List: ")


def test_an_infrastructure_lists_its_machines_in_order(server, infrastructure):
    answer = server.get("/infrastructures/inf")
    assert answer.text == f"{server.url}/infrastructures/inf/vms/0\n{server.url}/infrastructures/inf/vms/1"
    assert answer.media_type == "text/uri-list"


def test_adding_answers_the_new_machines_only(server, infrastructure):
    answer = server.post("/infrastructures/inf", "deploy worker 1", Accept="application/json")
    assert answer.json == {"uri-list": [{"uri": f"{server.url}/infrastructures/inf/vms/2"}]}
    assert answer.headers["InfID"] == "inf"
    assert server.service.calls == [("add", "inf", Document("deploy worker 1"), True)]


def test_adding_without_contextualization_sends_no_id(server, infrastructure):
    answer = server.post("/infrastructures/inf?context=no", "deploy worker 1")
    assert answer.status == 200
    assert "InfID" not in answer.headers
    assert server.service.calls[0][3] is False


def test_destroying_answers_nothing(server, infrastructure):
    answer = server.delete("/infrastructures/inf?force=1&async=yes")
    assert (answer.status, answer.body, answer.media_type) == (200, b"", "text/plain")
    assert server.service.calls == [("destroy", "inf", True, True)]


def test_destroying_waits_and_forces_nothing_by_default(server, infrastructure):
    server.delete("/infrastructures/inf")
    assert server.service.calls == [("destroy", "inf", False, False)]


def test_a_conflict_has_status_409(server):
    server.service.infrastructures["busy"] = []
    answer = server.delete("/infrastructures/busy", Accept="application/json")
    assert answer.status == 409
    assert answer.json == {"message": "Error Destroying Inf: Invalid State to perform this operation.", "code": 409}


def test_contmsg_is_whole_or_its_header(server, infrastructure):
    whole = server.get("/infrastructures/inf/contmsg")
    assert (whole.text, whole.headers["Content-Type"]) == ("cabecera ñ\nVM 0:\nok\n", "text/plain; charset=utf-8")
    assert server.get("/infrastructures/inf/contmsg?headeronly=1").text == "cabecera ñ\n"
    assert server.get("/infrastructures/inf/contmsg", Accept="application/json").json == {"contmsg": whole.text}


def test_radl_is_text_also_inside_json(server, infrastructure):
    assert server.get("/infrastructures/inf/radl").text == "system front ()\n"
    assert server.get("/infrastructures/inf/radl", Accept="application/json").json == {"radl": "system front ()\n"}


@pytest.mark.parametrize("accept", [None, "*/*", "text/*", "application/json", "application/*", "text/html, */*;q=0.8"])
def test_state_is_json(server, infrastructure, accept):
    answer = server.get("/infrastructures/inf/state", Accept=accept)
    assert answer.media_type == "application/json"
    assert answer.json == {"state": {"state": "running", "vm_states": {"0": "running", "1": "running"}}}


def test_state_has_no_text_form(server, infrastructure):
    answer = server.get("/infrastructures/inf/state", Accept="text/plain")
    assert (answer.status, answer.text) == (415, "Unsupported Accept Media Types: text/plain")


def test_events_continue_after_a_number(server, infrastructure):
    everything = server.get("/infrastructures/inf/events").json["events"]
    assert everything[0] == {
        "id": 1,
        "infrastructure": "inf",
        "time": 1700000001.5,
        "type": "state",
        "data": {"to": "running"},
    }
    assert [event["id"] for event in server.get("/infrastructures/inf/events?after=1&limit=1").json["events"]] == [2]
    assert server.service.calls[-1] == ("events", "inf", 1, 1)


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=1001", "after=", f"after={'9' * 5000}"])
def test_event_numbers_outside_their_limits_are_refused(server, infrastructure, query):
    answer = server.get(f"/infrastructures/inf/events?{query}")
    assert answer.status == 400
    assert answer.text.startswith(f"Incorrect value in {query.partition('=')[0]} parameter")


PROBLEMS = [
    Problem("there is no system 'a' to deploy", 3, 1, "deploy-unknown-system", "did you mean 'b'?"),
    Problem("it is not finished", kind="bad-max-time"),
]
RECORDS = [
    {
        "line": 3,
        "column": 1,
        "kind": "deploy-unknown-system",
        "message": "there is no system 'a' to deploy",
        "hint": "did you mean 'b'?",
    },
    {"line": None, "column": None, "kind": "bad-max-time", "message": "it is not finished", "hint": ""},
]


def test_the_problems_of_a_document_are_an_answer_not_an_error(server):
    server.service.problems = PROBLEMS

    answer = server.post("/infrastructures/validate", "deploy a 1", Content_Type="text/yaml")

    assert (answer.status, answer.json) == (200, {"problems": RECORDS})
    assert server.service.calls == [("validate", Document("deploy a 1", Language.TOSCA))]


def test_a_sound_document_has_an_empty_list_of_problems(server):
    assert server.post("/infrastructures/validate", "").json == {"problems": []}


def test_validating_needs_credentials(server):
    assert server.post("/infrastructures/validate", "deploy a 1", auth=None).status == 401


@pytest.mark.parametrize(
    ("operation", "path"),
    [("create", "/infrastructures"), ("add", "/infrastructures/inf"), ("plan", "/infrastructures/plan")],
)
def test_a_refused_document_tells_its_problems_to_those_who_ask_for_json(server, operation, path):
    server.service.failures[operation] = InvalidDocument(PROBLEMS)

    answer = server.post(path, "deploy a 1", Accept="application/json")

    assert (answer.status, answer.json["code"], answer.json["problems"]) == (400, 400, RECORDS)
    assert "there is no system 'a' to deploy" in answer.json["message"]


def test_other_errors_have_no_list_of_problems(server):
    server.service.failures["create"] = CloudRefused("no")

    assert server.post("/infrastructures", Accept="application/json").json.keys() == {"message", "code"}


def test_a_plan_is_json_and_makes_nothing(server):
    answer = server.post("/infrastructures/plan", "deploy front 1")
    assert answer.json["create"] == [{"system": "front", "machines": [0]}]
    assert server.service.calls == [("plan", Document("deploy front 1"), None)]
    assert server.get("/infrastructures/plan").status == 405


def test_an_update_is_planned_at_its_infrastructure(server, infrastructure):
    answer = server.post("/infrastructures/inf/plan", "a: 1", Content_Type="text/yaml")
    assert answer.json["create"] == [{"system": "front", "machines": [0]}]
    assert server.service.calls == [("plan", Document("a: 1", Language.TOSCA), "inf")]
    assert server.post("/infrastructures/none/plan").status == 404


@pytest.mark.parametrize(("query", "asynchronous"), [("", False), ("?async=1", True)])
def test_a_plan_is_carried_out_by_its_id_and_answers_like_a_creation(server, infrastructure, query, asynchronous):
    answer = server.post(f"/infrastructures/plan/inf.0123{query}")
    assert (answer.status, answer.headers["InfID"]) == (200, "inf")
    assert answer.text.endswith("/infrastructures/inf")
    assert server.service.calls == [("apply", "inf.0123", asynchronous)]


def test_a_plan_that_is_out_of_date_is_a_conflict(server, infrastructure):
    server.service.failures["apply"] = Conflict("The plan is out of date: machine 1 was removed. Make a new one.")
    answer = server.post("/infrastructures/plan/inf.0123")
    assert (answer.status, answer.text) == (
        409, "Error Applying Plan: The plan is out of date: machine 1 was removed. Make a new one.",
    )  # fmt: skip


def test_a_dry_run_is_an_estimate_and_makes_nothing(server):
    answer = server.post("/infrastructures?dry_run=1", "deploy front 1", Accept="text/*")
    assert (answer.status, answer.media_type) == (200, "application/json")
    assert answer.json["cloud"]["compute"] == [{"cpuCores": 1, "memoryInMegabytes": 512}]
    assert server.service.calls == [("estimate", Document("deploy front 1"))]
    assert server.post("/infrastructures?dry_run=maybe").status == 400


def test_an_estimate_has_no_text_form(server):
    answer = server.post("/infrastructures?dry_run=1", Accept="text/plain")
    assert (answer.status, answer.text) == (415, "Unsupported Accept Media Types: text/plain")
    assert not server.service.calls


def test_the_tosca_document_is_text_or_json(server, infrastructure):
    assert server.get("/infrastructures/inf/tosca").text == "tosca_definitions_version: ñ\n"
    answer = server.get("/infrastructures/inf/tosca", Accept="application/json")
    assert answer.json == {"tosca": "tosca_definitions_version: ñ\n"}


def test_an_infrastructure_without_tosca_has_no_such_property(server, infrastructure):
    server.service.failures["tosca"] = Forbidden("'tosca' infrastructure property is not valid in this infrastructure")
    answer = server.get("/infrastructures/inf/tosca")
    assert answer.status == 403
    assert answer.text.endswith("'tosca' infrastructure property is not valid in this infrastructure")


def test_outputs_are_json_with_the_reasons_for_what_is_missing(server, infrastructure):
    assert server.get("/infrastructures/inf/outputs").json == {"outputs": {"address": "10.0.0.1"}}
    server.service.outputs_now = Outputs({"address": None}, {"address": ("front has no machine",)})
    assert server.get("/infrastructures/inf/outputs").json == {
        "outputs": {"address": None},
        "missing": {"address": ["front has no machine"]},
    }
    assert server.get("/infrastructures/inf/outputs", Accept="text/plain").status == 415


@pytest.mark.parametrize("operation", ["start", "stop"])
def test_an_infrastructure_is_started_and_stopped(server, infrastructure, operation):
    answer = server.put(f"/infrastructures/inf/{operation}", b"\xff ignored", Content_Type="image/png")
    assert (answer.status, answer.body, answer.media_type) == (200, b"", "text/plain")
    assert server.service.calls == [(operation, "inf", None)]
    answer = server.put(f"/infrastructures/none/{operation}")
    assert answer.status == 404
    assert answer.text == f"Error in {operation} operation: Invalid infrastructure ID or access not granted."


@pytest.mark.parametrize(("body", "content_type"), [(b"", "text/yaml"), (b" \r\n", None), (b"", "image/png")])
def test_reconfiguring_without_a_document_repeats_the_configuration(server, infrastructure, body, content_type):
    answer = server.put("/infrastructures/inf/reconfigure", body, Content_Type=content_type)
    assert (answer.status, answer.headers["InfID"]) == (200, "inf")
    assert server.service.calls == [("reconfigure", "inf", None, None)]


def test_reconfiguring_takes_a_document_and_machines(server, infrastructure):
    server.put("/infrastructures/inf/reconfigure?vm_list=1,0,1", "configure front ()")
    assert server.service.calls == [("reconfigure", "inf", Document("configure front ()"), [1, 0])]


@pytest.mark.parametrize("value", ["", "a", "1,,2", "-1", "1;2"])
def test_a_malformed_machine_list_is_refused(server, infrastructure, value):
    answer = server.put(f"/infrastructures/inf/reconfigure?vm_list={value}")
    assert (answer.status, answer.text) == (400, "Incorrect vm_list format.")
    assert not server.service.calls


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "", "Error Getting Inf. info: "),
        ("POST", "", "Error Adding resources: "),
        ("DELETE", "", "Error Destroying Inf: "),
        ("GET", "/contmsg", "Error Getting Inf. prop: "),
        ("GET", "/radl", "Error Getting Inf. prop: "),
        ("GET", "/state", "Error Getting Inf. prop: "),
        ("GET", "/events", "Error Getting Inf. prop: "),
        ("PUT", "/reconfigure", "Error reconfiguring infrastructure: "),
        ("GET", "/vms/0", "Error Getting VM. info: "),
        ("GET", "/vms/0/state", "Error Getting VM. property: "),
        ("DELETE", "/vms/0", "Error Removing resources: "),
        ("PUT", "/vms/0/reboot", "Error in reboot op in VM: "),
    ],
)
def test_errors_begin_as_their_operation_does(server, method, path, text):
    unknown = server.request(method, f"/infrastructures/none{path}")
    assert (unknown.status, unknown.text) == (404, text + "Invalid infrastructure ID or access not granted.")
    foreign = server.request(method, f"/infrastructures/foreign{path}")
    assert (foreign.status, foreign.text) == (403, text + "Access to this infrastructure not granted.")


# --- export and import ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", [None, "application/json", "application/json; charset=utf-8"])
def test_what_is_exported_can_be_imported(server, infrastructure, content_type):
    answer = server.get("/infrastructures/inf/data?delete=yes")
    assert (answer.status, answer.json) == (200, {"data": '{"id": "inf"}'})
    assert "inf" not in server.service.infrastructures
    answer = server.put("/infrastructures", answer.json["data"], Content_Type=content_type)
    assert (answer.status, answer.text) == (200, f"{server.url}/infrastructures/inf")
    assert (answer.media_type, answer.headers["InfID"]) == ("text/uri-list", "inf")


def test_importing_answers_json_to_those_who_ask_for_it(server):
    answer = server.put("/infrastructures", '{"id": "inf"}', Accept="application/json")
    assert answer.json == {"uri": f"{server.url}/infrastructures/inf"}


def test_what_is_known_is_not_imported(server, infrastructure):
    answer = server.put("/infrastructures", '{"id": "inf"}')
    assert (answer.status, answer.text) == (
        400, "Error Importing Inf.: Trying to add an existing infrastructure ID.",
    )  # fmt: skip


@pytest.mark.parametrize("content_type", ["text/plain", "text/yaml", "*/*", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/infrastructures"), ("POST", "/infrastructures/inf/authorization")]
)
def test_what_takes_json_only_refuses_another_type(server, infrastructure, method, path, content_type):
    answer = server.request(method, path, "{}", Content_Type=content_type)
    assert (answer.status, answer.text) == (415, f"Unsupported Media Type ['{content_type}']")
    assert not server.service.calls


def test_exporting_deletes_nothing_unless_told_to(server, infrastructure):
    assert server.get("/infrastructures/inf/data").status == 200
    assert server.request("HEAD", "/infrastructures/inf/data?delete=1").status == 200
    assert server.service.calls == [("export_document", "inf", False)] * 2
    assert server.get("/infrastructures/inf/data", Accept="text/plain").status == 415
    assert server.get("/infrastructures/inf/data?delete=maybe").text == "Incorrect value in delete parameter"


# --- owners ---------------------------------------------------------------------------------------------------


def test_owners_are_their_names(server, infrastructure):
    assert server.get("/infrastructures/inf/authorization").text == ""
    server.service.owners_of["inf"] = ["ana", "núria"]
    answer = server.get("/infrastructures/inf/authorization")
    assert (answer.text, answer.media_type) == ("ana\nnúria", "text/plain")
    answer = server.get("/infrastructures/inf/authorization", Accept="application/json")
    assert answer.json == {"authorization": ["ana", "núria"]}


@pytest.mark.parametrize(("query", "overwrite"), [("", False), ("?overwrite=1", True), ("?overwrite=no", False)])
def test_an_owner_is_added_or_replaces_all(server, infrastructure, query, overwrite):
    answer = server.post(f"/infrastructures/inf/authorization{query}", '{"username": "u2", "password": "p2"}')
    assert (answer.status, answer.body, answer.media_type) == (200, b"", "text/plain")
    owner = {"type": "InfrastructureManager", "username": "u2", "password": "p2"}
    assert server.service.calls == [("change_owners", "inf", owner, overwrite)]


@pytest.mark.parametrize("body", ["", "token = x", "[]", '"x"', "[" * 100_000, "{'a': 1}"])
def test_an_owner_that_is_no_json_object_is_refused(serve, body):
    server = serve(MAX_BODY_SIZE=1024 * 1024)
    answer = server.post("/infrastructures/inf/authorization", body)
    assert answer.status == 400
    assert answer.text.startswith("Error parsing auth data: ")
    assert not server.service.calls


def test_an_owner_has_texts_for_values(server, infrastructure):
    answer = server.post("/infrastructures/inf/authorization", '{"username": "u2", "password": 2}')
    assert answer.status == 400
    assert answer.text.startswith("Error modifying infrastructure owner: Invalid new infrastructure data provided: ")


def test_the_owners_of_what_is_not_there_cannot_be_changed(server):
    answer = server.post("/infrastructures/none/authorization", '{"token": "t"}')
    assert (answer.status, answer.text) == (
        404, "Error modifying infrastructure owners: Invalid infrastructure ID or access not granted.",
    )  # fmt: skip
    answer = server.post("/infrastructures/foreign/authorization", '{"token": "t"}')
    assert (answer.status, answer.text) == (
        403, "Error modifying infrastructure owner: Access to this infrastructure not granted.",
    )  # fmt: skip


# --- pages ----------------------------------------------------------------------------------------------------


def pages(server, path, **headers):
    """The lines of each page, following the links to the end."""
    while path:
        answer = server.get(path, **headers)
        assert answer.status == 200
        yield [line.rpartition("/")[2] for line in answer.text.splitlines()]
        link = answer.headers["Link"]
        assert link is None or link.endswith('>; rel="next"')
        path = link and link.removeprefix(f"<{server.url}").partition(">")[0]


def test_infrastructures_are_listed_in_pages_by_id(server):
    server.service.infrastructures = {name: [] for name in "ebdac"}
    assert list(pages(server, "/infrastructures")) == [["e", "b", "d", "a", "c"]]
    assert list(pages(server, "/infrastructures?limit=2")) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(pages(server, "/infrastructures?limit=5")) == [["a", "b", "c", "d", "e"]]
    assert list(pages(server, "/infrastructures?after=c")) == [["d", "e"]]


def test_the_link_to_the_next_page_keeps_what_was_asked(server):
    server.service.infrastructures = {"a b": [], "a c": [], "d": []}
    answer = server.get("/infrastructures?filter=a+&limit=1")
    assert answer.headers["Link"] == f'<{server.url}/infrastructures?limit=1&filter=a+&after=a+b>; rel="next"'
    assert list(pages(server, "/infrastructures?filter=a%20&limit=1")) == [["a b"], ["a c"]]


def test_what_is_deleted_between_two_pages_hides_nothing(server):
    server.service.infrastructures = {name: [] for name in "abcd"}
    found = pages(server, "/infrastructures?limit=2")
    assert next(found) == ["a", "b"]
    del server.service.infrastructures["b"]
    assert next(found) == ["c", "d"]


def test_machines_are_listed_in_pages_by_number(server, infrastructure):
    server.service.infrastructures["inf"] = list(range(12))
    numbers = [str(number) for number in range(12)]
    assert list(pages(server, "/infrastructures/inf?limit=5")) == [numbers[:5], numbers[5:10], numbers[10:]]
    answer = server.get("/infrastructures/inf?after=10", Accept="application/json")
    assert answer.json == {"uri-list": [{"uri": f"{server.url}/infrastructures/inf/vms/11"}]}


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "limit=x", "after=-1", "after=x"])
def test_a_page_that_there_cannot_be_is_refused(server, infrastructure, query):
    answer = server.get(f"/infrastructures/inf?{query}")
    assert answer.status == 400
    assert answer.text.startswith(f"Incorrect value in {query.partition('=')[0]} parameter")


# --- asked again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["8e03978e-40d5", '"8e03978e-40d5"', " 8e03978e-40d5 "])
def test_the_idempotency_key_of_a_creation_is_passed_on(server, header):
    assert server.post("/infrastructures?async=1", "x", Idempotency_Key=header).status == 200
    assert server.service.calls == [("create", Document("x"), True, "8e03978e-40d5")]


@pytest.mark.parametrize("header", ["", '""', "k" * 256, "two words", "ñ"])
def test_an_idempotency_key_that_cannot_be_one_is_refused(server, header):
    answer = server.post("/infrastructures", "x", Idempotency_Key=header.encode())
    assert (answer.status, answer.text) == (400, "Incorrect value in Idempotency-Key header")
    assert not server.service.calls


def test_a_key_of_another_request_is_unprocessable(server):
    server.service.failures["create"] = IdempotencyMismatch("The key was used with another document.")
    answer = server.post("/infrastructures", "x", Idempotency_Key="k")
    assert (answer.status, answer.text) == (422, "Error Creating Inf.: The key was used with another document.")
