"""A second plugin that calls itself example."""

from imframework.api.plugin import Declaration, PluginInfo, PluginKind

declaration = Declaration(
    PluginInfo(name="example", kind=PluginKind.CONNECTOR, version="2.5", title="Example", api_version=(0, 1)),
    "imframework_rival.connector:Connector",
)
