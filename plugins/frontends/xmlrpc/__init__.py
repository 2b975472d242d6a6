"""The front end `xmlrpc`: the XML-RPC API of `docs/reference/xmlrpc-api.md`.

Reading order: `frontend` and `listener` are where it differs from other HTTP servers; `exchange` carries one call and
its answer; `wire` is their XML; `dispatcher` takes a call to its method and turns errors into answers; `parameters`
and `methods` are the API itself.
"""

from imframework.api.config import Option
from imframework.api.http_settings import option_names
from imframework.api.plugin import Declaration, PluginInfo, PluginKind
from imframework.api.version import __version__

declaration = Declaration(
    info=PluginInfo(
        name="xmlrpc",
        kind=PluginKind.FRONTEND,
        version=__version__,
        api_version=(0, 1),
        options=tuple(Option.shared(name) for name in (*option_names("XMLRCP"), "VMINFO_JSON")),
    ),
    target="imframework_plugins.frontends.xmlrpc.frontend:XmlRpcFrontEnd",
)
