"""Declarations in good order; all but one of what stands behind them is not."""

from imframework.api.plugin import Declaration, PluginInfo, PluginKind


def _connector(name, target, **info):
    info = {"api_version": (0, 1), **info}
    info = PluginInfo(name=name, kind=PluginKind.CONNECTOR, version="0.3", title=name.title(), **info)
    return Declaration(info, f"imframework_broken.{target}")


outdated = _connector("outdated", "connectors:Good", api_version=(0, 0))
lacking = _connector("lacking", "connectors:Good", requires={"no_such_sdk": "imframework-broken[sdk]"})
asynchronous = _connector("asynchronous", "connectors:Asynchronous")
clumsy = _connector("clumsy", "clumsy:Connector")
crashing = _connector("crashing", "connectors:Crashing")
policy = Declaration(
    PluginInfo(name="broken-policy", kind=PluginKind.HOOK, version="0.3", api_version=(0, 1)),
    "imframework_broken.policy:Policy",
)
