"""The reference of errors has every class with its code and status."""

import re

from imframework.api import errors
from imframework.api.error_table import STATUS
from imframework.api.errors import IMError


def test_every_error_is_listed_with_its_code_and_status(root):
    text = (root / "docs/reference/errors.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\d+) \|", text, re.MULTILINE)

    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, IMError)]
    statuses = [next(STATUS[ancestor] for ancestor in each.__mro__ if ancestor in STATUS) for each in classes]

    assert listed == [
        (each.__name__, each.code, str(int(status))) for each, status in zip(classes, statuses, strict=True)
    ]
