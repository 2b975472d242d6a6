"""What a page points to is there."""

import re
from urllib.parse import unquote, urlsplit

#: Inline code that can only be a file or, with a slash at its end, a folder of the repository.
#: Inline code that can only be a file or, with a slash at its end, a folder of the repository.
REPOSITORY_PATH = re.compile(
    r"(?:imframework|plugins|tests|docs|examples|etc|deploy|changelog\.d)/([\w./-]*(/|\.\w+))?"
)


def test_every_relative_link_points_to_a_file_and_a_heading_in_it(page):
    broken = []
    for link in page.links:
        target = urlsplit(link)
        if not target.scheme and not target.netloc:
            linked = page.linked(unquote(target.path))
            if not linked.path.exists() or (target.fragment and target.fragment not in linked.anchors):
                broken.append(link)

    assert broken == []


def test_every_path_in_the_repository_that_is_named_exists(page, root):
    named = [code for code in page.code if REPOSITORY_PATH.fullmatch(code)]

    assert [path for path in named if not (root / path).exists()] == []
