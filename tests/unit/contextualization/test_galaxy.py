"""Roles and collections among the applications."""

from __future__ import annotations

import pytest

from imframework.contextualization import galaxy
from imframework.languages import radl


def _document(*applications: str):
    features = " and ".join(f"disk.0.applications contains ({application})" for application in applications)
    return radl.parse(f"system s ({features})")


@pytest.mark.parametrize(
    ("application", "role"),
    [
        ("name = 'ansible.roles.someone.hadoop'", {"src": "someone.hadoop"}),
        ("name = 'ansible.roles.someone.hadoop,1.2'", {"src": "someone.hadoop", "version": "1.2"}),
        ("name = 'ansible.roles.someone.hadoop' and version = '1.2'", {"src": "someone.hadoop", "version": "1.2"}),
        ("name = 'ansible.roles.someone.hadoop|hadoop'", {"src": "someone.hadoop", "name": "hadoop"}),
        (
            "name = 'ansible.roles.git+https://example.org/a/my-role.git,main|role'",
            {"src": "https://example.org/a/my-role.git", "scm": "git", "version": "main", "name": "role"},
        ),
        (
            "name = 'ansible.roles.https://example.org/role-1.tar.gz'",
            {"src": "https://example.org/role-1.tar.gz", "name": "role-1"},
        ),
    ],
)
def test_roles(application: str, role: dict[str, str]) -> None:
    assert galaxy.requirements(_document(application)) == {"roles": [role], "collections": []}


@pytest.mark.parametrize(
    ("name", "collection"),
    [
        ("community.general", {"name": "community.general"}),
        ("community.general,9.0.0", {"name": "community.general", "version": "9.0.0"}),
        ("git+https://example.org/c.git", {"name": "https://example.org/c.git", "type": "git"}),
        ("https://example.org/c.tar.gz", {"name": "https://example.org/c.tar.gz", "type": "url"}),
    ],
)
def test_collections(name: str, collection: dict[str, str]) -> None:
    found = galaxy.requirements(_document(f"name = 'ansible.collections.{name}'"))

    assert found == {"roles": [], "collections": [collection]}


def test_other_applications_are_not_for_galaxy_and_the_rest_is_announced() -> None:
    document = _document("name = 'git'", "name = 'ansible.roles.a.b'", "name = 'ansible.collections.c.d'")

    assert galaxy.announcements(document) == [
        "Galaxy role a.b detected setting to install.",
        "Galaxy collection c.d detected setting to install.",
    ]
