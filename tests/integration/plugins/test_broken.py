"""A broken plugin is a line with its reason. The service goes on without it, and says so to whoever needs it."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.xdist_group("third-party-plugins")

DOCUMENT = "system node (cpu.count >= 1)\ndeploy node 1 {cloud}\ncontextualize ()\n"

#: Connector to health and reason.
BROKEN = {
    "raises": (
        "broken",
        "its declaration cannot be imported: ImportError: cannot import name 'NoSuchBaseClass' from "
        "'imframework.api.connector' (connector.py)",
    ),
    "exits": (
        "broken",
        "its declaration cannot be imported: it ended the program with sys.exit('usage: exits FILE')",
    ),
    "outdated": ("incompatible", "it was made for plugin API 0.0, this is 0.1"),
    "lacking": ("missing dependency", "it needs the module no_such_sdk: install imframework-broken[sdk]"),
    "asynchronous": ("broken", "Asynchronous.read is 'async def', but connector plugins are synchronous"),
    "clumsy": ("broken", "it cannot be imported: RuntimeError: cannot open settings.ini with password=***"),
}


@pytest.fixture(scope="module")
def broken(make_site):
    """The example, and beside it plugins of which each is broken in a way of its own."""
    return make_site("broken")


@pytest.fixture(scope="module")
def rivalry(make_site):
    """The example, and beside it a distribution whose plugin has the same name."""
    return make_site("rival")


def test_each_is_listed_with_its_distribution_and_reason(broken, configure):
    listed = broken.plugins(configure())

    seen = {name: (listed["connectors", name]["health"], listed["connectors", name]["reason"]) for name in BROKEN}
    assert seen == BROKEN
    for name in BROKEN:
        line = listed["connectors", name]
        assert (line["distribution"], line["version"], line["enabled"]) == ("imframework-broken", "0.3", True)
    assert listed["connectors", "example"]["health"] == "ok"


def test_the_service_starts_and_works_with_all_of_them(broken, configure, start_cloud):
    cloud = start_cloud()
    others = "\\n".join(f"id = {name}; type = {name}" for name in BROKEN)
    with broken.serve(configure(), f"{others}\\n{cloud.credentials}") as api:
        infrastructure = api.create(DOCUMENT.format(cloud="cloud"))
        api.wait_for(infrastructure, "configured")
        anywhere = api.create(DOCUMENT.format(cloud=""))
        assert len(cloud.machines()) == 2

        assert api.ask("DELETE", infrastructure).status == api.ask("DELETE", anywhere).status == 200
        assert cloud.machines() == []


def test_a_document_that_needs_one_is_refused_with_its_reason(broken, configure, start_cloud):
    items = "\\n".join(f"id = {name}; type = {name}" for name in BROKEN)
    with broken.serve(configure(), items) as api:
        for name, (_, reason) in BROKEN.items():
            answer = api.ask("POST", "/infrastructures", DOCUMENT.format(cloud=name))
            assert answer.status == 400
            assert f"The connector {name} cannot be used: {reason}" in answer.json["message"]
        assert api.ask("GET", "/infrastructures").json == {"uri-list": []}


def test_a_connector_that_cannot_be_made_is_no_obstacle_for_other_clouds(broken, configure, start_cloud):
    cloud = start_cloud()
    with broken.serve(configure(), f"id = crashing; type = Crashing\\n{cloud.credentials}") as api:
        refused = api.ask("POST", "/infrastructures", DOCUMENT.format(cloud="crashing"))
        assert refused.status == 400
        assert "The Crashing connector" in refused.json["message"]

        api.wait_for(api.create(DOCUMENT.format(cloud="cloud")), "configured")


def test_a_policy_that_cannot_be_asked_lets_nothing_through(broken, configure, start_cloud):
    cloud = start_cloud()
    reason = "it cannot be started: BROKEN_RULES is not set."
    with broken.serve(configure(HOOKS="broken-policy"), cloud.credentials) as api:
        answer = api.ask("POST", "/infrastructures", DOCUMENT.format(cloud="cloud"))

        assert 400 <= answer.status < 500
        assert f"The hook plugin broken-policy cannot be used: {reason}" in answer.json["message"]
        assert cloud.machines() == []


def test_what_nobody_chooses_is_not_imported(broken, configure):
    line = broken.plugins(configure(CONNECTORS="example"))["connectors", "clumsy"]

    assert (line["enabled"], line["health"], line["reason"]) == (False, "not loaded", "im.cfg does not choose it")


def test_two_distributions_with_one_name_are_both_named(rivalry, configure, start_cloud):
    line = rivalry.plugins(configure())["connectors", "example"]
    with rivalry.serve(configure(), start_cloud().credentials) as api:
        answer = api.ask("POST", "/infrastructures", DOCUMENT.format(cloud="cloud"))

    reason = "imframework-example 1.0.0 and imframework-rival 2.5 claim this name; uninstall all but one"
    assert (line["health"], line["reason"]) == ("conflict", reason)
    assert line["distribution"] == "imframework-example, imframework-rival"
    assert answer.status == 400
    assert f"The connector example cannot be used: {reason}" in answer.json["message"]
