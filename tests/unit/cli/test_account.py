"""Commands that are little more than one call: which one it is, and what is printed of its answer."""

import json
from contextlib import contextmanager
from datetime import date

import pytest
from click.testing import CliRunner

from imframework.api.model import Event, Image, Quota
from imframework.api.service import Document, Language
from imframework.cli.main import cli
from imframework.cli.options import Target


class Service:
    """Remembers what it is asked, and answers what it is told to."""

    def __init__(self):
        self.asked, self.answers = [], {}

    def __getattr__(self, operation):
        def ask(*arguments, **options):
            self.asked.append((operation, *arguments, options) if options else (operation, *arguments))
            answer = self.answers.get(operation)
            return answer(*arguments) if callable(answer) else answer

        return ask


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def run(service, monkeypatch):
    @contextmanager
    def open(target):
        yield service

    monkeypatch.setattr(Target, "open", open)

    def run(*arguments, **options):
        outcome = CliRunner().invoke(cli, [str(each) for each in arguments], **options)
        assert outcome.exit_code == 0, outcome.output
        return outcome.stdout

    return run


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "a.radl"
    path.write_text("system a (cpu.count = @input.cpus@)")
    return path


CHANGED = Document("system a (cpu.count = 2)", Language.RADL)


def test_operations_on_machines_are_one_call_each(run, service, document):
    for arguments in (
        ("start", "id"),
        ("stop", "id", 1),
        ("reboot", "id", 1),
        ("alter", "id", 1, document, "--param", "cpus=2"),
        ("remove", "id", 1, 2),
        ("remove", "id", 1, "--no-context"),
        ("reconfigure", "id"),
        ("reconfigure", "id", 1, 2, "--file", document, "--param", "cpus=2"),
    ):
        assert run(*arguments) == ""

    assert service.asked == [
        ("start", "id", None),
        ("stop", "id", 1),
        ("reboot", "id", 1),
        ("alter", "id", 1, CHANGED),
        ("remove", "id", (1, 2), {"context": True}),
        ("remove", "id", (1,), {"context": False}),
        ("reconfigure", "id", None, None),
        ("reconfigure", "id", CHANGED, (1, 2)),
    ]


def test_owners_are_listed_after_they_were_changed(run, service, tmp_path):
    service.answers = {"owners": ["ana", "bob\x1b[2J"]}
    file = tmp_path / "bob.dat"
    file.write_text("id = one; type = Dummy\ntype = InfrastructureManager; username = bob; password = p\n")
    bob = {"type": "InfrastructureManager", "username": "bob", "password": "p"}

    assert run("owners", "id") == "ana\nbob�[2J\n"
    assert json.loads(run("owners", "id", "--add", file, "--json")) == ["ana", "bob\x1b[2J"]
    run("owners", "id", "--set", file)

    assert [each for each in service.asked if each[0] == "change_owners"] == [
        ("change_owners", "id", bob, {"overwrite": False}),
        ("change_owners", "id", bob, {"overwrite": True}),
    ]


def test_what_is_exported_can_be_imported_from_standard_input(run, service):
    service.answers = {"export_document": '{"id": "ü"}', "import_document": "id"}

    text = run("export", "id", "--delete")
    assert run("import", "-", input=text) == "id\n"

    assert service.asked == [("export_document", "id", {"delete": True}), ("import_document", '{"id": "ü"}\n')]


def test_images_and_quotas_are_tables_or_json(run, service):
    service.answers = {
        "images": [Image("mock0://x", "X")],
        "quotas": {"cores": Quota(2, 8), "instances": Quota(1, -1)},
    }

    assert run("images", "sim", "--filter", "name=a=b").splitlines()[1].split() == ["mock0://x", "X"]
    assert json.loads(run("images", "sim", "--json")) == [{"uri": "mock0://x", "name": "X"}]
    assert [line.split() for line in run("quotas", "sim").splitlines()[1:]] == [
        ["cores", "2", "8"],
        ["instances", "1", "unlimited"],
    ]
    assert json.loads(run("quotas", "sim", "--json"))["instances"] == {"used": 1, "limit": -1}
    assert service.asked[0] == ("images", "sim", {"name": "a=b"})


def test_stats_are_of_a_period(run, service):
    record = {"inf_id": "id", "vm_count": 3, "deleted": True, "cloud_type": None, "im_user": "ana"}
    service.answers = {"stats": [record]}

    assert run("stats").splitlines()[1].split() == ["id", "-", "3", "-", "-", "-", "True"]
    assert json.loads(run("stats", "--since", "2024-01-02", "--until", "2024-02-03", "--json")) == [record]
    assert service.asked[1] == ("stats", date(2024, 1, 2), date(2024, 2, 3))


def test_events_of_an_infrastructure_or_of_all_are_read_page_by_page(run, service):
    def event(number, position=0):
        return Event("inf", number, 1.5, "state", {"state": "running"}, position)

    service.answers = {
        "events": lambda id, after: {0: [event(1), event(2)], 2: [event(3)]}.get(after, []),
        "account_events": lambda after: {7: [event(1, position=9)]}.get(after, []),
        "follow": iter([event(4)]),
    }

    assert [line.partition(" ")[2] for line in run("events", "inf").splitlines()] == ["infrastructure: running"] * 3
    (line,) = run("events", "--after", "7").splitlines()
    assert line.startswith("inf ")
    (line,) = run("events", "inf", "-f", "--after", "3", "--json").splitlines()
    assert json.loads(line)["sequence"] == 4
    assert service.asked[-1] == ("follow", "inf", 3)
