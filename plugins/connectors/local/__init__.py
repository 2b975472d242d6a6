"""Connector `local`: machines that are OpenSSH daemons of the current user on loopback addresses of this host.

For demonstrations, development and tests: nothing is isolated. Every machine is the same account on the same file
system, told apart by its address, host key, home and work folder. See `docs/reference/connectors/local.md`.
"""

from imframework.api.config import Option, OptionType
from imframework.api.plugin import Declaration, PluginInfo, PluginKind
from imframework.api.version import __version__

declaration = Declaration(
    info=PluginInfo(
        name="local",
        kind=PluginKind.CONNECTOR,
        version=__version__,
        api_version=(0, 1),
        title="Local",
        image_schemes=("local",),
        options=(
            Option(
                name="LOCAL_DIR",
                type=OptionType.PATH,
                default="",
                help="Folder the machines of the 'local' connector live in. It must belong to the user of the service "
                "and not be writable for others. Without it, imframework/local in $XDG_STATE_HOME or ~/.local/state.",
                example="/var/lib/im/local",
            ),
            Option(
                name="LOCAL_NETWORK",
                type=OptionType.CIDR_LIST,
                default=("127.88.0.0/16",),
                help="Loopback networks that the machines of the 'local' connector get their addresses from.",
            ),
            Option(
                name="LOCAL_PORT",
                type=OptionType.INTEGER,
                default=2222,
                minimum=1024,
                maximum=65535,
                help="Port on which the machines of the 'local' connector listen for SSH.",
            ),
        ),
        opt_in=True,
    ),
    target="imframework_plugins.connectors.local.connector:LocalConnector",
)
