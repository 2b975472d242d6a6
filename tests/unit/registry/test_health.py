"""How the exceptions of plugins are described to users."""

import pytest

from imframework.api.errors import ConfigurationError
from imframework.registry.health import describe


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("no luck"), "RuntimeError: no luck"),
        (RuntimeError(), "RuntimeError"),
        (RuntimeError("two\n  lines"), "RuntimeError: two lines"),
        (SystemExit(2), "it ended the program with sys.exit(2)"),
        (ConfigurationError("WEBHOOK_URLS names no receiver."), "WEBHOOK_URLS names no receiver."),
        (
            ImportError("cannot import 'x' from 'y' (/opt/a-b/site-packages/y/z.py)"),
            "ImportError: cannot import 'x' from 'y' (z.py)",
        ),
        (
            OSError("[Errno 2] No such file or directory: '/etc/im/key.pem'"),
            "OSError: [Errno 2] No such file or directory: 'key.pem'",
        ),
        (ValueError("see https://docs.example.org/a/b"), "ValueError: see https://docs.example.org/a/b"),
        (ValueError("password = hunter2"), "ValueError: password = ***"),
    ],
)
def test_an_exception_becomes_one_line_without_directories_and_secrets(error, text):
    assert describe(error) == text


def test_a_long_text_is_cut():
    assert len(describe(RuntimeError("x" * 10_000))) == 300
