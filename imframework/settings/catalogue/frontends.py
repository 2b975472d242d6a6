"""Options of the XML-RPC and REST front ends."""

from __future__ import annotations

from imframework.api.config import Option, OptionType
from imframework.settings.catalogue.group import Group


def _listener(prefix: str, port: int) -> tuple[Option, ...]:
    """Address, port and TLS files, which both front ends have under names of their own."""
    return (
        Option(f"{prefix}_PORT", OptionType.INTEGER, port, "Port to listen on.", minimum=0, maximum=65535),
        Option(
            f"{prefix}_ADDRESS",
            OptionType.ADDRESS,
            "0.0.0.0",  # noqa: S104 - the documented default of the service
            "Address to listen on; 0.0.0.0 means every IPv4 address.",
        ),
        Option(f"{prefix}_SSL", OptionType.BOOLEAN, False, "Serve over TLS, with the following files."),
        Option(f"{prefix}_SSL_KEYFILE", OptionType.PATH, "/etc/im/pki/server-key.pem", "Private key of the server."),
        Option(f"{prefix}_SSL_CERTFILE", OptionType.PATH, "/etc/im/pki/server-cert.pem", "Certificate of the server."),
        Option(
            f"{prefix}_SSL_CA_CERTS",
            OptionType.PATH,
            "/etc/im/pki/ca-chain.pem",
            "Certificate authorities by which the certificates of clients are checked. If the file is missing, clients "
            "show none.",
        ),
    )


XMLRPC = Group(
    "XML-RPC API",
    (
        Option("ACTIVATE_XMLRPC", OptionType.BOOLEAN, True, "Serve the XML-RPC API."),
        *_listener("XMLRCP", 8899),
        Option(
            "VMINFO_JSON",
            OptionType.BOOLEAN,
            False,
            "GetVMInfo answers in RADL-JSON, not in RADL. (Clients of the REST API choose themselves.)",
        ),
    ),
    about="The spelling XMLRCP is the historical one. Without ACTIVATE_XMLRPC the other options have no effect.",
)

REST = Group(
    "REST API",
    (
        Option("ACTIVATE_REST", OptionType.BOOLEAN, False, "Serve the REST API."),
        *_listener("REST", 8800),
        Option(
            "REST_ROOT_PATH",
            OptionType.TEXT,
            "/",
            "Prefix of the paths that clients see when a proxy takes it off. The header X-Forwarded-Prefix takes "
            "precedence.",
        ),
        Option(
            "REST_MAX_BLOCKING_CALLS",
            OptionType.INTEGER,
            32,
            "How many calls that wait for an operation are served at the same time, in each of the two APIs.",
            unit="calls",
            minimum=1,
            fallback=1,
        ),
        Option(
            "REST_BLOCKING_CALL_TIMEOUT",
            OptionType.INTEGER,
            0,
            "How long a call waits for its operation before it is answered that it timed out (504 in the REST API); "
            "the operation goes on. 0 waits without limit.",
            unit="s",
            minimum=0,
        ),
        Option(
            "MAX_BODY_SIZE",
            OptionType.INTEGER,
            16777216,
            "Largest body of a request, in the REST and in the XML-RPC API. A larger one is answered with 413.",
            unit="bytes",
            minimum=1024,
            since="0.1.0",
        ),
        Option(
            "REQUEST_TIMEOUT",
            OptionType.INTEGER,
            60,
            "How long a client may take to send a request, in the REST and in the XML-RPC API.",
            unit="s",
            minimum=1,
            since="0.1.0",
        ),
        Option(
            "TRUSTED_PROXIES",
            OptionType.CIDR_LIST,
            ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"),
            "Networks of proxies that are believed, by the REST and by the XML-RPC API, when they tell in "
            "X-Forwarded-For who their client is: for limits by address, the audit and the log. A list replaces the "
            "default, loopback and private networks. Where clients reach the service from there without a proxy, name "
            "the proxies alone, or nobody: [].",
            since="0.1.0",
        ),
        Option(
            "ENABLE_CORS",
            OptionType.BOOLEAN,
            False,
            "Send the headers that let web pages of other origins use the REST API.",
        ),
        Option(
            "CORS_ORIGIN",
            OptionType.TEXT,
            "*",
            "Origins that ENABLE_CORS admits; * means all.",
            example="https://dashboard.example.org",
        ),
        Option(
            "STATIC_FILES_DIR",
            OptionType.PATH,
            "",
            "Directory of files that are served under /static. Not set: none.",
            example="/usr/share/im/static-files",
        ),
    ),
    about="Without ACTIVATE_REST the other options have no effect.",
)

OAIPMH = Group(
    "OAI-PMH",
    (
        Option("OAIPMH_REPO_NAME", OptionType.TEXT, "", "Name of the repository.", example="IM repository"),
        Option(
            "OAIPMH_REPO_BASE_IDENTIFIER_URL",
            OptionType.URL,
            "",
            "Where the documents of the repository are, and the beginning of their identifiers.",
            example="https://github.com/example/templates/blob/main/",
        ),
        Option(
            "OAIPMH_REPO_DESCRIPTION",
            OptionType.TEXT,
            "",
            "Description of the repository.",
            example="Templates of the site",
        ),
        Option(
            "OAIPMH_REPO_ADMIN_EMAIL",
            OptionType.TEXT,
            "",
            "Mail address of the repository's administrator.",
            example="admin@example.org",
        ),
        Option(
            "OAIPMH_REPO_DIR",
            OptionType.PATH,
            "",
            "Directory of the TOSCA templates (*.yaml, *.yml) that the repository offers. A template that is changed, "
            "added or removed is noticed within seconds. Not set: none.",
            example="/usr/share/im/templates",
            since="0.1.0",
        ),
        Option(
            "OAIPMH_PAGE_SIZE",
            OptionType.INTEGER,
            100,
            "How many records a list has before the rest must be asked for with a resumption token.",
            unit="records",
            minimum=1,
            maximum=1000,
            since="0.1.0",
        ),
        Option(
            "OAIPMH_RESTRICT_TEMPLATES",
            OptionType.BOOLEAN,
            False,
            "Let users, other than administrators, deploy nothing but templates of OAIPMH_REPO_DIR, with any values of "
            "their inputs, and documents that build on a template at OAIPMH_REPO_BASE_IDENTIFIER_URL.",
            since="0.1.0",
        ),
    ),
    about="The REST API serves /oai when the name, the base URL and the description are set.",
)
