"""The check stage, beyond the vectors."""

from __future__ import annotations

import pytest

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl import (
    AnsibleNode,
    Bound,
    Collection,
    Configure,
    Contextualize,
    ContextualizeItem,
    Deploy,
    Description,
    Document,
    Features,
    Group,
    Network,
    Number,
    System,
    TextList,
    check,
    parse,
)


def problems(document: Document | str) -> tuple[Problem, ...]:
    try:
        check(parse(document) if isinstance(document, str) else document)
    except InvalidDocument as error:
        return error.problems
    return ()


def kinds(document: Document | str) -> list[str]:
    return [problem.kind for problem in problems(document)]


def of_system(group: str) -> list[str]:
    return kinds(f"network n () system s ({group})")


class TestFeatures:
    @pytest.mark.parametrize(
        "group",
        [
            "cpu.arch = 'X86_64'",
            "cpu.arch = 'aarch64'",
            "cpu.count >= 0.5 and cpu.count <= 2",
            "cpu.performance >= 20gceu",
            "disk.0.size >= 1.5T",
            "disk.0.os.version < ''",
            "disk.0.os.name = 'Mac OS X'",
            "disk.0.image.url = 'x'",
            "memory.size >= 1gIb",
            "gpu.count = 'many' and anything >= 'x' and create = 5",
            "spot = 'NO'",
            "disk.0.os.credentials.new.password = 'abcDEF1 '",
        ],
    )
    def test_fine(self, group: str) -> None:
        assert of_system(group) == []

    @pytest.mark.parametrize(
        ("group", "expected"),
        [
            ("cpu.count >= 1K and cpu.count <= 4000", ["wrong-unit"]),
            ("memory.size >= 1.0", ["wrong-type"]),
            ("memory.size = ['a']", ["wrong-type"]),
            ("price <= -1", ["wrong-value"]),
            ("cpu.arch contains (name = 'x')", ["wrong-type"]),
            ("disk.0.applications = 'git'", ["wrong-type"]),
            ("disk.0.applications contains (version = '1')", ["wrong-value"]),
            ("disk.0.applications contains (name = 'a' and path = '')", ["wrong-value"]),
            ("soft 5 (soft 3 (spot = 'x'))", ["wrong-value"]),
            ("soft 5 (net_interface.7.connection = 'n')", []),
            ("soft 5 (net_interface.7.connection = 'm')", ["wrong-value"]),
            ("net_interface.00.ip = 'x'", ["index-not-a-number"]),
            ("disk.99999999999999999999.size = 1", ["index-not-a-number"]),
            ("disk.999999.size = 1G and disk.0.size = 1G", ["index-gap"]),
            ("net_interface.0.ipv6 = 'x'", []),
            ("spot >= 'maybe'", ["wrong-operator", "wrong-value"]),
        ],
    )
    def test_kinds(self, group: str, expected: list[str]) -> None:
        assert of_system(group) == expected

    def test_data_disks_of_translated_documents_need_no_boot_disk(self) -> None:
        document = parse("system s (disk.1.size = 1G and disk.2.size = 1G)")
        check(document, boot_disk_required=False)
        with pytest.raises(InvalidDocument, match=r"disk\.3"):
            check(parse("system s (disk.1.size = 1G and disk.3.size = 1G)"), boot_disk_required=False)

    def test_secrets_are_not_repeated(self) -> None:
        (problem,) = problems("system s (disk.0.os.credentials.new.password = 'hunter2')")
        assert "hunter2" not in str(problem)

    def test_wrong_port_rule_is_named(self) -> None:
        (problem,) = problems("network n (outports = '22,80/TCP')")
        assert "'80/TCP' is not a port rule" in problem.hint

    def test_similar_name_is_suggested(self) -> None:
        (problem,) = problems("network public () system s (net_interface.0.connection = 'pubic')")
        assert problem.hint == "did you mean 'public'?"


class TestSentences:
    def test_references_are_taken_on_trust(self) -> None:
        assert kinds("network n system s configure c deploy s 1 contextualize (system s configure c)") == []

    def test_negative_number_of_machines(self) -> None:
        (problem,) = problems("system s ()\ndeploy s -1")
        assert (problem.kind, problem.line) == ("deploy-negative", 2)

    def test_negative_steps_and_limits(self) -> None:
        text = "system s () configure c () contextualize -5 (system s configure c step -1)"
        assert kinds(text) == ["bad-step", "bad-max-time"]

    def test_all_problems_come_in_order(self) -> None:
        assert kinds(
            "contextualize 1.5 (system a configure b) configure c (\n@begin\n[\n@end\n) deploy a 1"
            " system s (spot = 'x') ansible h () network n (outbound = 'x')"
        ) == [
            *("wrong-value", "ansible-no-host", "ansible-no-user", "ansible-no-secret", "wrong-value"),
            *("deploy-unknown-system", "bad-yaml"),
            *("contextualize-unknown-system", "contextualize-unknown-configure", "bad-max-time"),
        ]

    def test_number_of_problems_is_limited(self) -> None:
        assert len(problems("deploy a 1\n" * 200)) == 50

    def test_document_is_left_alone(self) -> None:
        text = "network n (outbound = 'yes') system s (net_interface.0.connection = 'n' and soft 1 (spot = 'yes'))"
        document = parse(text)
        check(document)
        assert document == parse(text)


class TestBuiltDocuments:
    """What only a program can build and no text could say."""

    @pytest.mark.parametrize("name", ["a b", "", "1a", "and", "../a"])
    def test_ids_must_be_names(self, name: str) -> None:
        for document in (
            Document(networks={name: Network(name)}),
            Document(systems={name: System(name)}),
            Document(configures={name: Configure(name)}),
            Document(description=Description(name)),
        ):
            assert kinds(document) == ["bad-name"]
        node = AnsibleNode(name)
        for feature in ("host", "credentials.username", "credentials.password"):
            node.set(feature, "x")
        assert kinds(Document(ansibles={name: node})) == ["bad-name"]

    def test_features_must_be_writable(self) -> None:
        system = System("s")
        system.set("a b", 1)
        system.set("nul", "a\0")
        system.set("half", ["\ud800"])
        system.features.replace("unit", Number.of(Bound("=", 1, "a b")))
        inner = Features()
        inner.set("c d", 1)
        system.features.replace("group", Group(inner))
        system.features.replace("collection", Collection([inner]))
        assert kinds(Document(systems={"s": system})) == [
            *("bad-name", "wrong-value", "wrong-value", "bad-name", "bad-name", "bad-name")
        ]

    def test_groups_must_not_be_nested_too_deep(self) -> None:
        features = Features()
        for _ in range(100):
            outer = Features()
            outer.replace("g", Group(features))
            features = outer
        assert kinds(Document(systems={"s": System("s", features)})) == ["too-deep"]

    def test_recipes_must_be_writable(self) -> None:
        assert kinds(Document(configures={"c": Configure("c", "a: |\n@end")})) == ["bad-recipe"]
        assert kinds(Document(configures={"c": Configure("c", "a: \ud800")})) == ["bad-recipe"]

    def test_contextualize_must_be_writable(self) -> None:
        contextualize = Contextualize()
        contextualize.add(ContextualizeItem("s", "c", tool="my tool"))
        contextualize.options.replace("list", TextList(("a",)))
        contextualize.options.set("unit", 5, "M")
        document = Document(systems={"s": System("s")}, configures={"c": Configure("c")}, contextualize=contextualize)
        assert kinds(document) == ["bad-name", "wrong-type", "wrong-type"]

    def test_cloud_ids_must_be_writable(self) -> None:
        assert kinds(Document(systems={"s": System("s")}, deploys=[Deploy("s", 1, "a\0")])) == ["wrong-value"]
        assert kinds(Document(systems={"s": System("s")}, deploys=[Deploy("s", 1, "any text")])) == []
