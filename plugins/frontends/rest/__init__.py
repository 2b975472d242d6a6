"""The front end `rest`: the HTTP API of `docs/reference/rest-api.md`.

Reading order: `frontend` and `listener` are where it differs from other HTTP servers; `exchange` carries one request
and its answer; `dispatcher` takes a request to its operation and turns errors into answers; `routing` and `resources`
say which operation that is; `infrastructures`, `machines`, `clouds`, `stats`, `probes`, `static` and `oai` are the
operations. `openapi.yaml` describes all of them; `description` serves that.
"""

from imframework.api.config import Option
from imframework.api.http_settings import option_names
from imframework.api.plugin import Declaration, PluginInfo, PluginKind
from imframework.api.version import __version__

declaration = Declaration(
    info=PluginInfo(
        name="rest",
        kind=PluginKind.FRONTEND,
        version=__version__,
        api_version=(0, 1),
        options=tuple(
            Option.shared(name)
            for name in (
                *option_names("REST"),
                "REST_ROOT_PATH",
                "ENABLE_CORS",
                "CORS_ORIGIN",
                "STATIC_FILES_DIR",
                "OAIPMH_REPO_NAME",
                "OAIPMH_REPO_DESCRIPTION",
                "OAIPMH_REPO_BASE_IDENTIFIER_URL",
                "OAIPMH_REPO_ADMIN_EMAIL",
                "OAIPMH_PAGE_SIZE",
            )
        ),
    ),
    target="imframework_plugins.frontends.rest.frontend:RestFrontEnd",
)
