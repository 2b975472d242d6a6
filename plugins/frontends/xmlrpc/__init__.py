"""The front end `xmlrpc`: the XML-RPC API of `docs/reference/xmlrpc-api.md`.

Reading order: `frontend` listens and stops; `listener` and `exchange` carry calls and answers over Tornado's HTTP
connections; `wire` is their XML; `dispatcher` takes a call to its method and turns errors into answers; `parameters`
and `methods` are the API itself.
"""

from imframework.api.config import Option
from imframework.api.plugin import Declaration, PluginInfo, PluginKind
from imframework.api.version import __version__

declaration = Declaration(
    info=PluginInfo(
        name="xmlrpc",
        kind=PluginKind.FRONTEND,
        version=__version__,
        api_version=(0, 1),
        options=tuple(
            Option.shared(name)
            for name in (
                "XMLRCP_ADDRESS",
                "XMLRCP_PORT",
                "XMLRCP_SSL",
                "XMLRCP_SSL_KEYFILE",
                "XMLRCP_SSL_CERTFILE",
                "XMLRCP_SSL_CA_CERTS",
                "VMINFO_JSON",
                "REST_MAX_BLOCKING_CALLS",
                "REST_BLOCKING_CALL_TIMEOUT",
                "MAX_BODY_SIZE",
                "REQUEST_TIMEOUT",
            )
        ),
    ),
    target="imframework_plugins.frontends.xmlrpc.frontend:XmlRpcFrontEnd",
)
