"""What the plugins of this distribution say about themselves.

The host imports this module to find out what is installed, also of plugins that nobody has chosen: it must be cheap and
must not fail. So it imports nothing but `imframework.api` and the standard library.
"""

from imframework.api.config import Option, OptionType
from imframework.api.plugin import CredentialKey, Declaration, PluginInfo, PluginKind

from imframework_example import __version__

#: The API these plugins are made for and tested with; written out, never taken from the host.
API_VERSION = (0, 1)

connector = Declaration(
    info=PluginInfo(
        name="example",
        kind=PluginKind.CONNECTOR,
        version=__version__,
        title="Example",
        api_version=API_VERSION,
        options=(
            Option(
                "EXAMPLE_TIMEOUT",
                OptionType.INTEGER,
                10,
                "How long the Example connector waits for its cloud to take a connection, and for an answer.",
                unit="s",
                minimum=1,
                maximum=60,
            ),
        ),
        credential_keys=(
            CredentialKey("host", "Address of the cloud, such as http://cloud.example.org:8080.", required=True),
            CredentialKey("username", "Name of the account.", required=True),
            CredentialKey("password", "Password of the account.", required=True, secret=True),
        ),
        image_schemes=("example",),
    ),
    target="imframework_example.connector:ExampleConnector",
)

policy = Declaration(
    info=PluginInfo(
        name="example-policy",
        kind=PluginKind.HOOK,
        version=__version__,
        api_version=API_VERSION,
        options=(
            Option(
                "EXAMPLE_MAX_MACHINES",
                OptionType.INTEGER,
                10,
                "Most machines that one request may make.",
                unit="VMs",
                minimum=1,
            ),
            Option(
                "EXAMPLE_AUDIT_FILE",
                OptionType.PATH,
                "",
                "File to which a line of JSON is added for whatever is allowed, refused or done. What cannot be "
                "recorded is not allowed. Not set: nothing is recorded.",
                example="/var/log/im/audit.jsonl",
            ),
        ),
    ),
    target="imframework_example.policy:Policy",
)
