"""The reference of `imframework.testing` has everything that authors of plugins can use."""

import inspect
import pkgutil
import re

import pytest

import imframework.testing
from imframework.testing import clouds
from imframework.testing.auth import AuthContract
from imframework.testing.connector import ConnectorContract
from imframework.testing.frontend import FrontEndContract
from imframework.testing.rehearsal import Rehearsal
from imframework.testing.storage import StorageContract


@pytest.fixture(scope="module")
def reference(request):
    return (request.config.rootpath / "docs" / "reference" / "testing.md").read_text(encoding="utf-8")


def first_column(text, heading):
    """The names in the first column of the table with this heading."""
    table = text.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `([\w.]+)", "\n".join(table.splitlines()[2:]), re.MULTILINE)


def public(namespace, sort):
    return [name for name, value in vars(namespace).items() if sort(value) and not name.startswith("_")]


def test_every_module_is_listed(reference):
    modules = [module.name for module in pkgutil.iter_modules(imframework.testing.__path__, "imframework.testing.")]

    assert sorted(first_column(reference, "Module")) == sorted(modules)


@pytest.mark.parametrize("suite", [ConnectorContract, StorageContract, AuthContract, FrontEndContract])
def test_every_fixture_of_a_suite_is_listed(reference, suite):
    members = {name: value for name, value in vars(suite).items() if not name.startswith(("_", "test_"))}
    fixtures = [name for name, value in members.items() if not isinstance(value, staticmethod)]

    assert first_column(reference, f"Fixture of `{suite.__name__}`") == fixtures


def test_every_method_of_a_rehearsal_is_listed(reference):
    assert sorted(first_column(reference, "Method")) == sorted(public(Rehearsal, inspect.isfunction))


def test_every_sort_of_misbehaviour_is_listed_with_its_arguments(reference):
    functions = [getattr(clouds, name) for name in public(clouds, inspect.isfunction)]
    functions = [function for function in functions if function.__module__ == clouds.__name__]

    listed = re.findall(r"^\| `(\w+)\((.*?)\)`", reference.split("| Function |")[1], re.MULTILINE)
    assert listed == [(each.__name__, ", ".join(inspect.signature(each).parameters)) for each in functions]
