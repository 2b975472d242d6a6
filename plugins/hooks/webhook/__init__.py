"""The hook plugin `webhook`: POSTs the events of infrastructures to other services.

`plugin` chooses the events and writes the notices, `delivery` gets each of them to one receiver, in order.
"""

from imframework.api.config import Option, OptionType
from imframework.api.plugin import Declaration, PluginInfo, PluginKind
from imframework.api.version import __version__

declaration = Declaration(
    info=PluginInfo(
        name="webhook",
        kind=PluginKind.HOOK,
        version=__version__,
        api_version=(0, 1),
        options=(
            Option(
                "WEBHOOK_URLS",
                OptionType.LIST,
                (),
                "Where events are POSTed as JSON: http or https URLs. Redirects are not followed. Log lines show only "
                "the host of a URL, since its path may be a secret.",
                example="https://hooks.example.org/im",
                secret=True,
                since="0.1.0",
            ),
            Option(
                "WEBHOOK_EVENTS",
                OptionType.LIST,
                (),
                "Types of events to send. Not set: all but log, the lines of running playbooks.",
                example="state, operation",
                since="0.1.0",
            ),
            Option(
                "WEBHOOK_SECRET",
                OptionType.TEXT,
                "",
                "Key of the signature in the header X-IM-Signature, sha256=<HMAC-SHA256 of the body in hex>. Not set: "
                "no signature.",
                secret=True,
                since="0.1.0",
            ),
            Option(
                "WEBHOOK_TIMEOUT",
                OptionType.INTEGER,
                10,
                "How long one delivery may take, connection and answer included, before it is tried again.",
                unit="s",
                minimum=1,
                maximum=300,
                since="0.1.0",
            ),
        ),
    ),
    target="imframework_plugins.hooks.webhook.plugin:Webhook",
)
