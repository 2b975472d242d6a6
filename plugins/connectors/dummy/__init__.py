"""The `dummy` connector: a simulated cloud, for clients' tests, faults and scale.

This module only describes the plugin; see `connector` for the verbs, `cloud` for the simulated cloud behind them,
`behaviour` for what can be made to go wrong there and `faults` for how.
"""

from imframework.api.config import Option, OptionType
from imframework.api.plugin import CredentialKey, Declaration, PluginInfo, PluginKind
from imframework.api.version import __version__

FILE_OPTION = "DUMMY_FILE"
BEHAVIOUR_OPTION = "DUMMY_BEHAVIOUR"

declaration = Declaration(
    info=PluginInfo(
        name="dummy",
        kind=PluginKind.CONNECTOR,
        version=__version__,
        api_version=(0, 1),
        title="Dummy",
        options=(
            Option(
                FILE_OPTION,
                OptionType.PATH,
                "",
                help="File in which the simulated cloud of the Dummy connector keeps what exists, so that it survives "
                "the service. Not set: it is kept in memory and ends with the process.",
                example="/var/lib/im/dummy.sqlite",
            ),
            Option(
                BEHAVIOUR_OPTION,
                OptionType.TEXT,
                "",
                help="How the simulated cloud of the Dummy connector behaves: a JSON object, or the path of a file "
                "that holds one. Not set: everything succeeds at once.",
                example="/etc/im/dummy.json",
            ),
        ),
        credential_keys=(
            CredentialKey("id", "Name of the account in the simulated cloud."),
            CredentialKey("host", "Name of the simulated cloud: one account name on two hosts is two accounts."),
        ),
        image_schemes=("mock0",),
    ),
    target="imframework_plugins.connectors.dummy.connector:DummyConnector",
)
