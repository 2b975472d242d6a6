"""Documents sent to an existing infrastructure."""

from __future__ import annotations

import pytest

from imframework.api.errors import InvalidDocument
from imframework.languages.radl import check, dumps, merge_addition, merge_reconfigure, parse, resolve_references

STORED = """
description old (name = 'old')
ansible control (host = 'h' and credentials.username = 'u' and credentials.password = 'p')
network pub (outbound = 'yes')
network priv ()
system front (net_interface.0.connection = 'pub' and net_interface.1.connection = 'priv' and cpu.count = 2)
system wn (net_interface.0.connection = 'priv' and ansible_host = 'control'
  and disk.0.os.credentials.password = 'a' and disk.0.applications contains (name = 'git')
  and disk.0.applications contains (name = 'ansible.roles.acme.nginx,v1'))
configure front (
@begin
- tasks: []
@end
)
contextualize 100 (
  option a = '1'
  system front configure front step 1
)
deploy front 1
deploy wn 4
"""


class TestReferences:
    def test_are_replaced_by_copies_of_the_stored_definitions(self) -> None:
        stored = parse(STORED)
        document = parse("network pub network priv system front configure front deploy front 1")
        resolved = resolve_references(document, stored)
        check(resolved)
        for kind in ("networks", "systems", "configures"):
            for id, aspect in getattr(resolved, kind).items():
                assert aspect == getattr(stored, kind)[id]
                assert aspect.line is None
        assert document == parse("network pub network priv system front configure front deploy front 1")
        resolved.systems["front"].set("cpu.count", 8)
        assert stored.systems["front"].value("cpu.count") == 2

    def test_unknown_ones_are_all_named(self) -> None:
        with pytest.raises(InvalidDocument) as caught:
            resolve_references(parse("network a\nsystem b\nconfigure c\nnetwork pub"), parse(STORED))
        assert [(problem.kind, problem.line) for problem in caught.value.problems] == [
            ("unknown-reference", line) for line in (1, 2, 3)
        ]
        assert "network 'a'" in str(caught.value)

    def test_referenced_system_needs_its_networks_mentioned(self) -> None:
        resolved = resolve_references(parse("network pub system front deploy front 1"), parse(STORED))
        with pytest.raises(InvalidDocument, match="priv"):
            check(resolved)

    def test_ansible_node_of_a_referenced_system_comes_along(self) -> None:
        resolved = resolve_references(parse("network priv system wn deploy wn 1"), parse(STORED))
        check(resolved)
        assert list(resolved.ansibles) == ["control"]

    def test_resolving_again_changes_nothing(self) -> None:
        once = resolve_references(parse("network priv system wn deploy wn 1"), parse(STORED))
        assert resolve_references(once, parse(STORED)) == once


class TestAddition:
    def test_description_and_deploys_are_those_of_the_addition(self) -> None:
        merged = merge_addition(parse(STORED), parse("description new (name = 'new') system x () deploy x 3"))
        assert merged.name == "new"
        assert [(deploy.system, deploy.count) for deploy in merged.deploys] == [("x", 3)]
        assert merge_addition(parse(STORED), parse("system x ()")).name == "old"
        assert merge_addition(parse(STORED), parse("system x ()")).deploys == []

    def test_of_networks_and_ansible_nodes_the_stored_definition_stays(self) -> None:
        merged = merge_addition(
            parse(STORED), parse("network pub (outbound = 'no') network new () ansible control (host = 'other')")
        )
        assert merged.networks["pub"].text("outbound") == "yes"
        assert "new" in merged.networks
        assert merged.ansibles["control"].text("host") == "h"

    def test_order_of_the_stored_aspects_is_kept(self) -> None:
        merged = merge_addition(parse(STORED), parse("network new () network priv () system x ()"))
        assert list(merged.networks) == ["pub", "priv", "new"]
        assert list(merged.systems) == ["front", "wn", "x"]

    def test_systems_and_recipes_are_replaced(self) -> None:
        merged = merge_addition(parse(STORED), parse("system front (cpu.count = 8) configure front ()"))
        assert merged.systems["front"].value("cpu.count") == 8
        assert merged.configures["front"].is_empty

    def test_reference_never_replaces_a_definition(self) -> None:
        merged = merge_addition(parse(STORED), parse("network priv system wn configure front deploy wn 1"))
        assert merged.systems == parse(STORED).systems
        assert merged.configures == parse(STORED).configures
        check(merged)

    def test_contextualize_is_merged(self) -> None:
        merged = merge_addition(
            parse(STORED),
            parse(
                "contextualize 50 (option a = '2' option b = '3' system front configure front step 7"
                " system wn configure front)"
            ),
        ).contextualize
        assert merged is not None
        assert merged.max_time == 100
        assert (merged.options.text("a"), merged.options.text("b")) == ("2", "3")
        assert [(item.system, item.step) for item in merged.items.values()] == [("front", 7), ("wn", 0)]

    def test_contextualize_of_either_side_alone_is_taken(self) -> None:
        assert merge_addition(parse(""), parse("contextualize ()")).contextualize is not None
        assert merge_addition(parse("contextualize ()"), parse("")).contextualize is not None
        assert merge_addition(parse(""), parse("")).contextualize is None

    def test_arguments_are_left_alone(self) -> None:
        stored, addition = (
            parse(STORED),
            parse("network pub system front (cpu.count = 8) contextualize (option a = '9')"),
        )
        before = dumps(stored), dumps(addition)
        merged = merge_addition(stored, addition)
        merged.systems["front"].set("cpu.count", 16)
        merged.networks["pub"].set("outbound", "no")
        assert (dumps(stored), dumps(addition)) == before

    def test_only_what_was_sent_keeps_its_lines(self) -> None:
        merged = merge_addition(parse(STORED), parse("\n\nsystem x (a = 1)"))
        assert merged.systems["x"].line == 3
        assert {merged.systems["front"].line, merged.networks["pub"].line} == {None}


class TestReconfigure:
    def test_recipes_are_replaced_and_contextualize_merged(self) -> None:
        merged = merge_reconfigure(
            parse(STORED),
            parse("configure front (@begin\n- a\n@end) configure more () contextualize 500 (system wn configure more)"),
        )
        check(merged)
        assert merged.configures["front"].recipe == "\n- a\n"
        assert "more" in merged.configures
        assert merged.contextualize is not None
        assert merged.contextualize.max_time == 500
        assert len(merged.contextualize.items) == 2

    def test_of_systems_only_new_credentials_and_applications_are_taken(self) -> None:
        merged = merge_reconfigure(
            parse(STORED),
            parse(
                "description d (name = 'x') network other () deploy wn 9 system unknown (a = 1)"
                "system wn (cpu.count = 64 and disk.0.os.credentials.password = 'b'"
                " and disk.0.os.credentials.new.password = 'Abcdef1+'"
                " and disk.0.applications contains (name = 'ansible.roles.acme.nginx,v2')"
                " and disk.0.applications contains (name = 'maven'))"
            ),
        )
        stored = parse(STORED)
        assert (merged.description, merged.networks, merged.deploys) == (
            *(stored.description, stored.networks, stored.deploys),
        )
        assert list(merged.systems) == ["front", "wn"]
        system = merged.systems["wn"]
        assert system.value("cpu.count") is None
        assert system.text("disk.0.os.credentials.password") == "a"
        assert system.text("disk.0.os.credentials.new.password") == "Abcdef1+"
        assert [application.name for application in system.applications()] == [
            *("git", "ansible.roles.acme.nginx,v2", "maven")
        ]

    def test_new_password_replaces_an_earlier_one(self) -> None:
        stored = parse("system s (disk.0.os.credentials.new.password = 'Abcdef1+')")
        merged = merge_reconfigure(stored, parse("system s (disk.0.os.credentials.new.password = 'Abcdef2+')"))
        assert merged.systems["s"].text("disk.0.os.credentials.new.password") == "Abcdef2+"

    def test_applications_of_a_system_that_had_none_are_added(self) -> None:
        new = parse("system front (disk.0.applications contains (name = 'git'))")
        merged = merge_reconfigure(parse(STORED), new)
        assert [application.name for application in merged.systems["front"].applications()] == ["git"]

    def test_reference_to_a_recipe_keeps_it(self) -> None:
        assert merge_reconfigure(parse(STORED), parse("configure front")).configures == parse(STORED).configures
        with pytest.raises(InvalidDocument, match="'nothing'"):
            merge_reconfigure(parse(STORED), parse("configure nothing"))

    def test_empty_document_changes_nothing(self) -> None:
        assert merge_reconfigure(parse(STORED), parse("")) == parse(STORED)
