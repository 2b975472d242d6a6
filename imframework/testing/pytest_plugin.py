"""The pytest plugin: makes failures inside the conformance suites show the values that were compared."""

import pkgutil

import pytest

import imframework.testing

pytest.register_assert_rewrite(
    *(
        module.name
        for module in pkgutil.iter_modules(imframework.testing.__path__, "imframework.testing.")
        if module.name != __name__
    )
)
