"""Real distributions, installed into a directory of their own for one test."""

import sys
import textwrap
from importlib.metadata import distributions

import pytest

DECLARATION = """
from imframework.api.plugin import Declaration, PluginInfo, PluginKind

declaration = Declaration(
    info=PluginInfo(name={name!r}, kind=PluginKind({kind!r}), version="1", **{{"api_version": (0, 1), **dict({info})}}),
    target="{package}.plugin:Target",
)
"""

TARGETS = {
    "hooks": """
from imframework.api.hooks import HookPlugin, hookimpl
from {package} import declaration

class Target(HookPlugin):
    info = declaration.info

    @hookimpl
    def imframework_event(self, infrastructure, event):
        pass
""",
    "auth": """
from imframework.api.auth import AuthProvider
from {package} import declaration

class Target(AuthProvider):
    info = declaration.info

    def authenticate(self, item):
        return None
""",
    "connectors": """
from imframework.api.connector import Connector
from {package} import declaration

class Target(Connector):
    info = declaration.info
    kinds = {{}}

    def candidates(self, system):
        return ()

    def plan(self, deployment):
        return ()

    def create(self, resource, token):
        raise NotImplementedError

    def find(self, resource, token):
        return ()

    def read(self, handles):
        return ()

    def delete(self, handle):
        pass
""",
}


class Site:
    """A directory on the import path, in which distributions are installed. `paths` are searched for them."""

    def __init__(self, directory):
        self.directory = directory
        self.paths = [directory]
        self.packages = set()

    def install(self, distribution, entry_points, files=None, *, version="1.0"):
        """Write a distribution: its metadata, and the text of its modules by path."""
        metadata = self.directory / f"{distribution.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(textwrap.dedent(entry_points))
        for path, text in (files or {}).items():
            target = self.directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(textwrap.dedent(text))
            self.packages.add(path.partition("/")[0])
        return metadata

    def plugin(self, name, kind="hooks", *, distribution=None, info="", declaration=None, target=None, package=None):
        """Install a distribution with one plugin; what is not given is in order."""
        package = package or f"{name}_{kind}_plugin"
        declaration = DECLARATION if declaration is None else declaration
        target = TARGETS.get(kind, "") if target is None else target
        return self.install(
            distribution or f"im-{name}-{kind}",
            f"[imframework.{kind}]\n{name} = {package}:declaration\n",
            {
                f"{package}/__init__.py": declaration.format(name=name, kind=kind, package=package, info=info),
                f"{package}/plugin.py": target.format(package=package),
            },
        )


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty site; the plugins of this project are out of sight."""
    site = Site(tmp_path / "site")
    site.directory.mkdir()
    monkeypatch.syspath_prepend(str(site.directory))
    monkeypatch.setattr(
        "imframework.registry.discovery.distributions", lambda: distributions(path=map(str, site.paths))
    )
    yield site
    for module in list(sys.modules):
        if module.partition(".")[0] in site.packages:
            del sys.modules[module]
