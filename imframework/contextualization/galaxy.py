"""Roles and collections that a document names as applications: ``ansible.roles.…`` and ``ansible.collections.…``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from imframework.languages.radl import Application, Document

ROLES, COLLECTIONS = "ansible.roles.", "ansible.collections."


def requirements(document: Document) -> dict[str, list[dict[str, Any]]]:
    """What ansible-galaxy is to install, as in a requirements.yml; nothing if both lists are empty."""
    applications = {
        application.name: application for system in document.systems.values() for application in system.applications()
    }
    return {
        "roles": [_role(*_split(each, ROLES)) for each in _named(applications.values(), ROLES)],
        "collections": [_collection(*_split(each, COLLECTIONS)) for each in _named(applications.values(), COLLECTIONS)],
    }


def announcements(document: Document) -> list[str]:
    """The same for people."""
    wanted = requirements(document)
    return [f"Galaxy role {role.get('name', role['src'])} detected setting to install." for role in wanted["roles"]] + [
        f"Galaxy collection {each['name']} detected setting to install." for each in wanted["collections"]
    ]


def _named(applications: Iterable[Application], prefix: str) -> list[Application]:
    return [each for each in applications if each.name.startswith(prefix) and len(each.name) > len(prefix)]


def _split(application: Application, prefix: str) -> tuple[str, str, str]:
    """Source, version and name of ``<prefix><source>[,<version>][|<name>]``; empty if not given."""
    text, _, name = application.name.removeprefix(prefix).partition("|")
    source, _, version = text.partition(",")
    return source.strip(), (version or application.version or "").strip(), name.strip()


def _role(source: str, version: str, name: str) -> dict[str, Any]:
    role: dict[str, Any] = {"src": source}
    if source.startswith("git+"):
        role |= {"src": source.removeprefix("git+"), "scm": "git"}
    if not name and "://" in source:
        name = re.sub(r"(\.git|\.tar\.gz|\.tgz|\.zip)$", "", source.rstrip("/").rpartition("/")[2])
    return role | ({"version": version} if version else {}) | ({"name": name} if name else {})


def _collection(source: str, version: str, name: str) -> dict[str, Any]:
    collection: dict[str, Any] = {"name": source}
    if source.startswith("git+"):
        collection |= {"name": source.removeprefix("git+"), "type": "git"}
    elif "://" in source:
        collection["type"] = "url"
    return collection | ({"version": version} if version else {})
