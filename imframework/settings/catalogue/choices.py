"""Which plugins are used."""

from __future__ import annotations

from imframework.api.config import Option, OptionType
from imframework.settings.catalogue.group import Group

PLUGINS = Group(
    "Plugins",
    (
        Option(
            "CONNECTORS",
            OptionType.LIST,
            (),
            "Connectors (clouds) to use. Not set: every installed one, except those that must be named, such as local.",
            example="dummy, local",
            since="0.1.0",
        ),
        Option(
            "STORAGE",
            OptionType.TEXT,
            "",
            "Storage plugin to use. Not set: the installed one that serves the scheme of DATA_DB.",
            example="sql",
            since="0.1.0",
        ),
        Option(
            "AUTH_PROVIDERS",
            OptionType.LIST,
            (),
            "Auth plugins to ask, in this order. Not set: userdb, then oidc if OIDC_ISSUERS is set, then vault if "
            "VAULT_URL is set.",
            example="userdb",
            since="0.1.0",
        ),
        Option(
            "FRONTENDS",
            OptionType.LIST,
            (),
            "Front ends to start beside those of ACTIVATE_REST and ACTIVATE_XMLRPC.",
            since="0.1.0",
        ),
        Option(
            "HOOKS",
            OptionType.LIST,
            (),
            "Hook plugins to call, in this order. Not set: none, since a hook acts on every deployment.",
            example="webhook",
            since="0.1.0",
        ),
        Option(
            "DISABLED_PLUGINS",
            OptionType.LIST,
            (),
            "Plugins that are never loaded, whatever else is chosen, written kind:name. The kinds are connectors, "
            "storage, auth, frontends and hooks.",
            example="connectors:dummy, hooks:webhook",
            since="0.1.0",
        ),
    ),
    about="`imframework plugins list` shows what is installed and what is in use.",
)
