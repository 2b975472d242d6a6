"""What the operator wants: which of the installed plugins are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imframework.api.plugin import PluginKind


@dataclass(frozen=True, slots=True)
class Choice:
    """Names of plugins. `disabled` outranks `chosen`.

    Of a kind in `chosen` exactly the named plugins are used, in that order; of another kind all that are installed,
    except those that are only used when named. `disabled` holds kinds and names.
    """

    chosen: Mapping[PluginKind, Sequence[str]] = field(default_factory=dict)
    disabled: frozenset[tuple[PluginKind, str]] = frozenset()

    @classmethod
    def of_options(cls, options: Mapping[str, object]) -> Choice:
        """The choice that the options of im.cfg make; `options` are typed values by name, missing ones not set."""

        def names(option: str) -> list[str]:
            value = options.get(option) or ()
            return [str(name) for name in value] if isinstance(value, list | tuple) else [str(value)]

        providers = {"userdb": True, "oidc": options.get("OIDC_ISSUERS"), "vault": options.get("VAULT_URL")}
        front_ends = {"rest": options.get("ACTIVATE_REST"), "xmlrpc": options.get("ACTIVATE_XMLRPC")}
        chosen = {
            PluginKind.AUTH: names("AUTH_PROVIDERS") or _set(providers),
            PluginKind.FRONTEND: [*dict.fromkeys([*_set(front_ends), *names("FRONTENDS")])],
            PluginKind.HOOK: names("HOOKS"),
        }
        for kind, option in ((PluginKind.CONNECTOR, "CONNECTORS"), (PluginKind.STORAGE, "STORAGE")):
            if names(option):
                chosen[kind] = names(option)
        pairs = (entry.partition(":") for entry in names("DISABLED_PLUGINS"))
        kinds = {kind.value: kind for kind in PluginKind}
        disabled = frozenset((kinds[kind.strip()], name.strip()) for kind, _, name in pairs if kind.strip() in kinds)
        return cls(chosen, disabled)

    def names(self, kind: PluginKind) -> tuple[str, ...] | None:
        """The names of a kind, in order and once each; None if every plugin that need not be named is used."""
        names = self.chosen.get(kind)
        return None if names is None else tuple(dict.fromkeys(names))


def _set(switches: Mapping[str, object]) -> list[str]:
    return [name for name, switch in switches.items() if switch]
