"""What the options of im.cfg mean for the choice of plugins."""

from imframework.api.plugin import PluginKind
from imframework.registry import Choice

AUTH, CONNECTOR, FRONTEND, HOOK, STORAGE = (
    PluginKind.AUTH,
    PluginKind.CONNECTOR,
    PluginKind.FRONTEND,
    PluginKind.HOOK,
    PluginKind.STORAGE,
)


def test_without_options_every_cloud_and_database_is_used_and_no_hook():
    choice = Choice.of_options({})

    assert choice.names(CONNECTOR) is None
    assert choice.names(STORAGE) is None
    assert choice.names(AUTH) == ("userdb",)
    assert choice.names(FRONTEND) == ()
    assert choice.names(HOOK) == ()
    assert choice.disabled == frozenset()


def test_plugins_that_are_named_are_used_and_no_others():
    options = {
        "CONNECTORS": ("local", "dummy"),
        "STORAGE": "sql",
        "AUTH_PROVIDERS": ("ldap",),
        "HOOKS": ("b", "a", "b"),
    }

    choice = Choice.of_options(options)

    assert choice.names(CONNECTOR) == ("local", "dummy")
    assert choice.names(STORAGE) == ("sql",)
    assert choice.names(AUTH) == ("ldap",)
    assert choice.names(HOOK) == ("b", "a")


def test_tokens_and_vault_bring_their_providers():
    choice = Choice.of_options({"OIDC_ISSUERS": ("https://issuer",), "VAULT_URL": "https://vault"})

    assert choice.names(AUTH) == ("userdb", "oidc", "vault")


def test_front_ends_are_those_activated_and_those_named():
    choice = Choice.of_options({"ACTIVATE_REST": True, "ACTIVATE_XMLRPC": False, "FRONTENDS": ("dashboard", "rest")})

    assert choice.names(FRONTEND) == ("rest", "dashboard")


def test_disabled_plugins_are_named_with_their_kind():
    choice = Choice.of_options({"DISABLED_PLUGINS": ("connectors:dummy", "hooks: webhook", "nonsense", "clouds:ec2")})

    assert choice.disabled == {(CONNECTOR, "dummy"), (HOOK, "webhook")}
