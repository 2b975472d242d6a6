"""The registry: what is installed is found, what is chosen is loaded, and what is broken is a line with a reason."""

import sys
import threading

import pytest

from imframework.api.config import Option, OptionType
from imframework.api.errors import PluginUnavailable
from imframework.api.hooks import HookPlugin
from imframework.api.plugin import PluginKind
from imframework.registry import Choice, Registry

HOOK, AUTH, CONNECTOR, STORAGE = PluginKind.HOOK, PluginKind.AUTH, PluginKind.CONNECTOR, PluginKind.STORAGE


def line(registry, name, kind=None):
    (found,) = [each for each in registry.report() if each.name == name and kind in (None, each.kind)]
    return found


def loaded(choice=None):
    """A registry in which everything chosen has been imported."""
    registry = Registry.discover().choose(choice or Choice())
    registry.load()
    return registry


def why(registry, kind, name):
    with pytest.raises(PluginUnavailable) as caught:
        registry.get(kind, name)
    return str(caught.value)


class TestDiscovery:
    def test_finds_plugins_with_their_distribution_and_versions(self, site):
        site.plugin("one", "hooks")
        site.plugin("two", "auth")

        registry = loaded()

        assert [(each.kind, each.name) for each in registry.report()] == [("auth", "two"), ("hooks", "one")]
        found = line(registry, "one")
        assert (found.distribution, found.version, found.api_version) == ("im-one-hooks", "1.0", "0.1")
        assert (found.enabled, found.health, found.reason) == (True, "ok", "")
        assert issubclass(registry.get(HOOK, "one"), HookPlugin)

    def test_sees_what_was_installed_a_moment_ago(self, site):
        site.plugin("one")
        assert [each.name for each in Registry.discover().report()] == ["one"]

        site.plugin("two")
        assert [each.name for each in Registry.discover().report()] == ["one", "two"]

    def test_reads_declarations_and_imports_nothing_more(self, site):
        option = "options=(__import__('imframework.api.config').api.config.Option('MY_OPTION', 'text', '', 'Help.'),)"
        site.plugin("one", info=option)

        registry = Registry.discover().choose(Choice({HOOK: []}))

        assert registry.options() == {"hooks one": (Option("MY_OPTION", OptionType.TEXT, "", "Help."),)}
        assert registry.declarations(HOOK)["one"].info.name == "one"
        assert line(registry, "one").health == "not loaded"
        assert "one_hooks_plugin.plugin" not in sys.modules

    def test_takes_the_copy_that_an_import_would_take(self, site, tmp_path, monkeypatch):
        site.plugin("one", distribution="im-one")
        older = tmp_path / "older"
        older.mkdir()
        (older / "im_one-0.5.dist-info").mkdir()
        (older / "im_one-0.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: im-one\nVersion: 0.5\n")
        (older / "im_one-0.5.dist-info" / "entry_points.txt").write_text("[imframework.hooks]\none = nowhere:none\n")
        monkeypatch.setattr(sys, "path", [*sys.path, str(older)])
        site.paths.append(older)

        assert [(each.version, each.health) for each in loaded().report()] == [("1.0", "ok")]

    def test_survives_damaged_metadata_and_names_the_distribution(self, site):
        site.plugin("good")
        site.install("im-damaged", "[imframework.auth]\nthis line has no equals sign\n")
        (site.install("im-nameless", "[imframework.auth]\na = b:c\n") / "METADATA").write_text("")
        (site.install("im-binary", "") / "entry_points.txt").write_bytes(b"[imframework.auth]\n\xff\xfe")

        registry = loaded()

        assert line(registry, "good").health == "ok"
        found = line(registry, "im-damaged")
        assert (found.kind, found.health) == ("auth", "broken")
        assert found.reason.startswith("its entry points cannot be read: ")


class TestBrokenPlugins:
    @pytest.mark.parametrize(
        ("declaration", "reason"),
        [
            (
                "raise RuntimeError('no luck')",
                "its declaration cannot be imported: RuntimeError: no luck",
            ),
            ("raise SystemExit(3)", "its declaration cannot be imported: it ended the program with sys.exit(3)"),
            ("import no_such_module_anywhere", "cannot be imported: ModuleNotFoundError: No module named 'no_such_"),
            ("assert False", "its declaration cannot be imported: AssertionError"),
            ("this is no Python", "its declaration cannot be imported: SyntaxError: "),
            ("", "its declaration cannot be imported: AttributeError: module 'bad_hooks_plugin' has no attribute"),
            ("declaration = 7", "its entry point refers to something of type int, not to a Declaration"),
            (
                "from imframework.api.plugin import *\ndeclaration = Declaration(None, 'a:b')",
                "its declaration holds no PluginInfo",
            ),
        ],
    )
    def test_without_a_proper_declaration_are_reported(self, site, declaration, reason):
        site.plugin("bad", declaration=declaration)
        site.plugin("good")

        registry = loaded()

        found = line(registry, "bad")
        assert (found.enabled, found.health) == (True, "broken")
        assert reason in found.reason
        assert why(registry, HOOK, "bad") == f"The hook plugin bad cannot be used: {found.reason}."
        assert line(registry, "good").health == "ok"

    @pytest.mark.parametrize(
        ("wrong", "reason"),
        [
            (
                "name='other', kind=PluginKind.HOOK, version='1', api_version=(0, 1)",
                "it declares the name 'other', but is announced as 'bad'",
            ),
            (
                "name='bad', kind=PluginKind.AUTH, version='1', api_version=(0, 1)",
                "it declares kind auth, but is announced as hooks",
            ),
            (
                "name='bad', kind=PluginKind.HOOK, version='1', api_version=(0, 1), options=('A',)",
                "its options are no tuple of Option",
            ),
            (
                "name='bad', kind=PluginKind.HOOK, version='1', api_version=(0, 1), url_schemes='sql'",
                "its url_schemes are no tuple of text",
            ),
            ("name='bad', kind=PluginKind.HOOK, version='1', api_version=(0, 1), title=None", "its title is no text"),
            (
                "name='bad', kind=PluginKind.HOOK, version='1', api_version=(0, 1), requires=('a',)",
                "its requires is no dictionary",
            ),
        ],
    )
    def test_whose_declaration_is_wrong_are_reported(self, site, wrong, reason):
        text = f"from imframework.api.plugin import *\ndeclaration = Declaration(PluginInfo({wrong}), 'a.b:C')"
        site.plugin("bad", declaration=text)

        found = line(loaded(), "bad")

        assert (found.health, found.reason) == ("broken", f"its declaration is wrong: {reason}")

    def test_with_a_target_that_is_no_target_are_reported(self, site):
        text = "from imframework.api.plugin import *\n"
        text += "declaration = Declaration(PluginInfo('bad', PluginKind.HOOK, '1', (0, 1)), 'x')"
        site.plugin("bad", declaration=text)

        assert "its target 'x' is not of the form package.module:Class" in line(loaded(), "bad").reason

    @pytest.mark.parametrize(("version", "text"), [("(0, 2)", "0.2"), ("(1, 0)", "1.0"), ("(0, 0)", "0.0")])
    def test_made_for_another_api_are_reported_as_incompatible(self, site, version, text):
        site.plugin("bad", info=f"api_version={version}")

        registry = loaded()

        found = line(registry, "bad")
        assert (found.health, found.api_version) == ("incompatible", text)
        assert found.reason == f"it was made for plugin API {text}, this is 0.1"
        assert registry.options() == {}

    @pytest.mark.parametrize(
        ("target", "reason"),
        [
            ("raise RuntimeError('no luck')", "it cannot be imported: RuntimeError: no luck"),
            ("import sys; sys.exit('bye')", "it cannot be imported: it ended the program with sys.exit('bye')"),
            ("", "it cannot be imported: AttributeError: module 'bad_hooks_plugin.plugin' has no attribute 'Target'"),
            ("Target = 7", "its target is no class derived from imframework.api.hooks.HookPlugin"),
            ("class Target: pass", "its target is no class derived from imframework.api.hooks.HookPlugin"),
            (
                "from imframework.api.hooks import HookPlugin as Target",
                "the `info` of HookPlugin is not the one it is declared with",
            ),
        ],
    )
    def test_whose_class_cannot_be_used_are_reported(self, site, target, reason):
        site.plugin("bad", target=target)
        site.plugin("good")

        registry = loaded()

        assert (line(registry, "bad").health, line(registry, "bad").reason) == ("broken", reason)
        assert line(registry, "good").health == "ok"

    def test_with_coroutines_where_the_host_calls_synchronously_are_refused(self, site):
        target = """
from imframework.api.auth import AuthProvider
from {package} import declaration

class Target(AuthProvider):
    info = declaration.info

    async def authenticate(self, item):
        return None
"""
        site.plugin("bad", "auth", target=target)

        assert line(loaded(), "bad").reason == ("Target.authenticate is 'async def', but auth plugins are synchronous")

    @pytest.mark.parametrize(
        ("method", "reason"),
        [
            ("async def imframework_event(self, event): pass", "Target.imframework_event is 'async def'"),
            ("def imframework_evnt(self): pass", "unknown hook 'imframework_evnt'"),
            ("def imframework_event(self, colour): pass", "Argument(s) {'colour'} are declared in the hookimpl but"),
        ],
    )
    def test_that_listen_wrongly_are_refused(self, site, method, reason):
        target = f"""
from imframework.api.hooks import HookPlugin, hookimpl
from {{package}} import declaration

class Target(HookPlugin):
    info = declaration.info

    @hookimpl
    {method}
"""
        site.plugin("bad", target=target)

        found = line(loaded(), "bad")

        assert found.health == "broken"
        assert reason in found.reason

    @pytest.mark.parametrize("requires", ["no_such_module", "no_such_package.module", "json.no_such_module"])
    def test_that_lack_a_module_say_what_to_install(self, site, requires):
        site.plugin(
            "bad", info=f"requires={{{requires!r}: 'imframework[ec2]'}}", target="raise RuntimeError('imported')"
        )

        found = line(loaded(), "bad")

        assert found.health == "missing dependency"
        assert found.reason == f"it needs the module {requires}: install imframework[ec2]"

    def test_that_lack_part_of_a_module_say_what_to_install(self, site):
        site.plugin("bad", info="requires={'json': 'imframework[ec2]'}", target="import json.no_such_module")

        assert line(loaded(), "bad").reason == "it needs the module json: install imframework[ec2]"

    def test_show_no_directories_and_no_secrets(self, site):
        text = "raise RuntimeError('/srv/secret/place/file.cfg: password = hunter2 at http://host/a/b')"
        site.plugin("bad", declaration=text)

        reason = line(loaded(), "bad").reason

        assert "/srv" not in reason
        assert "hunter2" not in reason
        assert "file.cfg" in reason

    def test_of_which_two_distributions_claim_the_name_are_refused_with_both_named(self, site):
        site.plugin("twin", distribution="im-first", package="first_twin")
        site.plugin("twin", distribution="im-second", package="second_twin")
        site.plugin("twin", "auth", distribution="im-other")

        registry = loaded()

        found = line(registry, "twin", "hooks")
        assert (found.health, found.distribution) == ("conflict", "im-first, im-second")
        assert found.reason == "im-first 1.0 and im-second 1.0 claim this name; uninstall all but one"
        assert "im-first" in why(registry, HOOK, "twin")
        assert line(registry, "twin", "auth").health == "ok"

    def test_whose_constructor_fails_count_as_broken_from_then_on(self, site):
        site.plugin("bad")
        registry = loaded()

        with pytest.raises(
            PluginUnavailable, match="The hook plugin bad cannot be used: it cannot be started: TypeError"
        ):
            registry.make(HOOK, "bad")

        assert line(registry, "bad").health == "broken"
        assert "it cannot be started" in why(registry, HOOK, "bad")


class TestChoosing:
    def test_leaves_out_what_is_disabled(self, site):
        site.plugin("one")
        registry = loaded(Choice(disabled=frozenset({(HOOK, "one"), (AUTH, "other")})))

        assert (line(registry, "one").enabled, line(registry, "one").reason) == (False, "im.cfg disables it")
        assert why(registry, HOOK, "one") == "The hook plugin one is not in use: im.cfg disables it."
        assert "one_hooks_plugin.plugin" not in sys.modules

    def test_disabling_outranks_naming(self, site):
        site.plugin("one")

        assert loaded(Choice({HOOK: ["one"]}, frozenset({(HOOK, "one")}))).chosen(HOOK) == ()

    def test_uses_exactly_what_is_named_in_that_order(self, site):
        for name in ("one", "two", "three"):
            site.plugin(name)
        registry = loaded(Choice({HOOK: ["two", "one", "two"]}))

        assert registry.chosen(HOOK) == ("two", "one")
        assert why(registry, HOOK, "three") == "The hook plugin three is not in use: im.cfg does not choose it."

    def test_uses_an_opt_in_plugin_only_when_it_is_named(self, site):
        site.plugin("shy", info="opt_in=True")

        assert loaded().chosen(HOOK) == ()
        assert line(loaded(), "shy").reason == "it is used only if im.cfg names it"
        assert loaded(Choice({HOOK: ["shy"]})).chosen(HOOK) == ("shy",)

    def test_reports_what_is_named_but_not_installed(self, site):
        site.plugin("webhook")
        registry = loaded(Choice({HOOK: ["webhok"]}))

        found = line(registry, "webhok")
        assert (found.enabled, found.health) == (True, "not installed")
        assert found.reason == "it is not installed (did you mean webhook?)"
        assert why(registry, HOOK, "webhok") == (
            "The hook plugin webhok cannot be used: it is not installed (did you mean webhook?)."
        )
        assert why(registry, HOOK, "other") == "The hook plugin other cannot be used: it is not installed."

    def test_can_be_done_again(self, site):
        site.plugin("one")
        registry = Registry.discover().choose(Choice({HOOK: []}))

        assert registry.choose(Choice()).chosen(HOOK) == ("one",)


class TestConnectors:
    def test_are_found_by_title_in_any_case(self, site):
        site.plugin("openstack", "connectors", info="title='OpenStack'")
        site.plugin("plain", "connectors")
        registry = loaded()

        assert registry.connector_for("oPENsTACK") is registry.get(CONNECTOR, "openstack")
        assert registry.connector_for("Plain") is registry.get(CONNECTOR, "plain")

    def test_that_are_not_there_are_refused_with_the_reason(self, site):
        site.plugin("ec2", "connectors", info="title='EC2', requires={'no_such_module': 'imframework[ec2]'}")
        site.plugin("local", "connectors", info="title='Local', opt_in=True")
        site.plugin("azure", "connectors", declaration="raise RuntimeError('no luck')")
        registry = Registry.discover()

        for name, reason in [
            ("Nimbus", "Cloud provider not supported: Nimbus"),
            ("EC2", "The connector ec2 cannot be used: it needs the module no_such_module: install imframework[ec2]."),
            ("Local", "The connector local is not in use: it is used only if im.cfg names it."),
            ("Azure", "The connector azure cannot be used: its declaration cannot be imported: RuntimeError: no luck."),
        ]:
            with pytest.raises(PluginUnavailable) as caught:
                registry.connector_for(name)
            assert str(caught.value) == reason

    def test_that_claim_one_title_are_refused_until_one_is_disabled(self, site):
        site.plugin("one", "connectors", info="title='Cloud'")
        site.plugin("two", "connectors", info="title='CLOUD'")

        with pytest.raises(
            PluginUnavailable, match=r"one \(of im-one-connectors\) and two \(of im-two-connectors\) claim"
        ):
            Registry.discover().connector_for("cloud")
        assert line(loaded(), "two").health == "conflict"
        assert loaded(Choice(disabled=frozenset({(CONNECTOR, "one")}))).connector_for("cloud").info.name == "two"


class TestStorage:
    def test_is_found_by_the_scheme_of_its_urls(self, site):
        site.plugin("good", "storage", info="url_schemes=('sqlite', 'mysql')", target="raise RuntimeError('no luck')")

        with pytest.raises(PluginUnavailable, match=r"The storage plugin good cannot be used: .*no luck"):
            Registry.discover().storage_for("MySQL")

    def test_that_is_not_there_is_refused_with_what_may_be_the_reason(self, site):
        site.plugin("bad", "storage", declaration="raise RuntimeError('no luck')")

        with pytest.raises(PluginUnavailable) as caught:
            Registry.discover().storage_for("sqlite")

        assert str(caught.value) == (
            "No storage plugin in use serves sqlite: URLs. The storage plugin bad cannot be used: its declaration "
            "cannot be imported: RuntimeError: no luck."
        )


class TestRunning:
    def test_plugins_that_a_probe_finds_unhealthy_are_reported_so(self, site):
        site.plugin("one")
        registry = loaded()
        registry.watch(HOOK, lambda: {"one": "it does not return from imframework_event"})

        found = line(registry, "one")

        assert (found.enabled, found.health) == (True, "unhealthy")
        assert found.reason == "it does not return from imframework_event"

    def test_a_class_is_imported_once_by_however_many_threads(self, site):
        site.plugin("one", target="print('imported')\n" + HOOK_TARGET)
        registry = Registry.discover()
        classes = []

        threads = [threading.Thread(target=lambda: classes.append(registry.get(HOOK, "one"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)

        assert len(classes) == 8
        assert len(set(classes)) == 1


HOOK_TARGET = """
from imframework.api.hooks import HookPlugin, hookimpl
from {package} import declaration

class Target(HookPlugin):
    info = declaration.info

    @hookimpl
    def imframework_event(self, event):
        pass
"""


def test_the_first_party_plugins_are_found():
    names = {(each.kind, each.name) for each in Registry.discover().report()}

    assert {("connectors", "dummy"), ("connectors", "local"), ("storage", "sql"), ("auth", "userdb")} <= names
    assert {("frontends", "rest"), ("hooks", "webhook")} <= names


def test_the_plugins_of_this_room_are_in_order():
    registry = loaded(Choice({HOOK: ["webhook"], AUTH: ["userdb"]}))

    assert [line(registry, name).health for name in ("webhook", "userdb")] == ["ok", "ok"]
