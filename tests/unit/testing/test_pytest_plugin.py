"""Failures inside the conformance suites show what was compared."""

import importlib
import pkgutil

import pytest

import imframework.testing

SUITES = [
    module.name
    for module in pkgutil.iter_modules(imframework.testing.__path__, "imframework.testing.")
    if not module.name.endswith("pytest_plugin")
]


@pytest.mark.parametrize("name", SUITES)
def test_assertions_of_the_suites_are_rewritten(name):
    module = importlib.import_module(name)

    assert "AssertionRewritingHook" in type(module.__spec__.loader).__name__
