"""Options of the service as a whole: its data, its administrators, its log."""

from __future__ import annotations

from imframework.api.config import Option, OptionType
from imframework.settings.catalogue.group import Group

DATA = Group(
    "Data",
    (
        Option(
            "DATA_DB",
            OptionType.DATA_URL,
            "sqlite:///etc/im/inf.dat",
            "The database of infrastructures: sqlite:///directory/file (an absolute path), file:///directory/file, the "
            "bare path of an SQLite file, mysql://user:password@server[:port]/database, "
            "mongodb://user:password@host[,host]/database[?options], or another scheme that an installed storage "
            "plugin serves. Special characters in the user and password may be percent-encoded. The directory of an "
            "SQLite file must be writable.",
        ),
        Option(
            "DATA_FILE",
            OptionType.PATH,
            "",
            "The file of infrastructures in versions before 1.5.0.",
            deprecated="infrastructures are in the database that DATA_DB names",
        ),
        Option(
            "STATE_DIR",
            OptionType.PATH,
            "",
            "Directory of what the service keeps beside the database: folders of running configurations and the "
            "encryption key. When not set it is <file>.state for an SQLite database in <file>, otherwise /var/lib/im.",
            example="/var/lib/im",
            since="0.1.0",
        ),
        Option(
            "SECRET_KEY_FILE",
            OptionType.PATH,
            "",
            "File of the key with which credentials in the database are encrypted. It is made, readable by its owner "
            "only, when the service starts for the first time; without it the credentials are lost, so keep a copy. "
            "Replicas share one key. When not set it is encryption.key in STATE_DIR.",
            example="/etc/im/encryption.key",
            since="0.1.0",
        ),
        Option(
            "INF_CACHE_TIME",
            OptionType.INTEGER,
            0,
            "How long an infrastructure that nobody uses stays in memory; 0 keeps it for ever. Set it when several "
            "replicas share a database, to no more than the time for which the load balancer keeps a client on one "
            "replica.",
            unit="s",
            minimum=0,
        ),
    ),
)

SERVICE = Group(
    "Service",
    (
        Option(
            "BOOT_MODE",
            OptionType.INTEGER,
            0,
            "What clients may do. 0: everything. 1: read only. 2: read and delete only.",
            minimum=0,
            maximum=2,
        ),
        Option(
            "ADMIN_USER",
            OptionType.JSON,
            (),
            "Administrators, who see and manage every infrastructure: an object with username and password, or an "
            "array of such objects. An OpenID Connect user is written with the username __OPENID__<name>, the password "
            "<issuer with a final slash><sub> and an empty token.",
            example='{"username": "admin", "password": "change me"}',
            secret=True,
        ),
        Option(
            "PUBLIC_URL",
            OptionType.URL,
            "",
            "Where machines and clients find the REST API. Without it machines are not told, so that there are neither "
            "reverse tunnels nor the tag VM_TAG_IM_URL.",
            example="https://im.example.org/im",
            since="0.1.0",
        ),
        Option(
            "RATE_LIMIT_ADDRESS",
            OptionType.TEXT,
            "",
            "How often one address (of IPv6, one /64 network) may ask, over both APIs: a number per second, minute, "
            "hour or day, or several, separated by semicolons. Beyond it the answer is 429. Not set: any number.",
            example="600/minute; 10000/hour",
            since="0.1.0",
        ),
        Option(
            "RATE_LIMIT_USER",
            OptionType.TEXT,
            "",
            "The same for each user, wherever they ask from.",
            example="300/minute",
            since="0.1.0",
        ),
        Option(
            "RATE_LIMIT_FAILED_LOGINS",
            OptionType.TEXT,
            "",
            "How often an address may fail to log in before nothing is taken from it for the rest of the time.",
            example="10/minute",
            since="0.1.0",
        ),
        Option(
            "SHUTDOWN_TIMEOUT",
            OptionType.INTEGER,
            30,
            "How long a stopping service waits for calls in progress. What is not finished by then is continued after "
            "the next start.",
            unit="s",
            minimum=0,
            since="0.1.0",
        ),
        Option(
            "LEASE_DURATION",
            OptionType.INTEGER,
            30,
            "How long a replica owns an infrastructure without renewing its lease. After a crash another replica takes "
            "over no earlier than this.",
            unit="s",
            minimum=3,
            since="0.1.0",
        ),
        Option(
            "WORKER_THREADS_PER_CLOUD",
            OptionType.INTEGER,
            16,
            "How many calls to one account of one cloud may be in progress at a time. A cloud that hangs holds up no "
            "more threads than these.",
            unit="threads",
            minimum=2,
            maximum=1000,
            since="0.1.0",
        ),
        Option(
            "CONNECTOR_CALL_TIMEOUT",
            OptionType.INTEGER,
            300,
            "How long one call to a cloud may take before its result is treated as unknown. A late answer is still "
            "taken into account.",
            unit="s",
            minimum=1,
            since="0.1.0",
        ),
    ),
)

TOSCA = Group(
    "TOSCA",
    (
        Option(
            "TOSCA_ALLOWED_SCHEMES",
            OptionType.LIST,
            ("https", "http"),
            "Schemes by which files may be fetched: https, http, or both. There are no others; files of this server "
            "are never read.",
            since="0.1.0",
        ),
        Option(
            "TOSCA_ALLOWED_HOSTS",
            OptionType.LIST,
            (),
            "Host names, addresses and networks from which files may be fetched although their addresses are not "
            "public. A name is trusted with whatever address it has, and every user can have its files read.",
            example="git.example.org, 10.0.20.0/24",
            since="0.1.0",
        ),
        Option(
            "TOSCA_FETCH_TIMEOUT",
            OptionType.INTEGER,
            20,
            "How long fetching one file may take, redirects included.",
            unit="s",
            minimum=1,
            maximum=300,
            since="0.1.0",
        ),
        Option(
            "TOSCA_FETCH_MAX_SIZE",
            OptionType.INTEGER,
            1048576,
            "How large a file may be, decompressed.",
            unit="bytes",
            minimum=1024,
            maximum=16777216,
            since="0.1.0",
        ),
        Option(
            "TOSCA_ARTIFACTS_DIR",
            OptionType.PATH,
            "",
            "Directory in which recipes that are given by a relative path are looked for first. Not set: none.",
            example="/usr/share/im/tosca-artifacts",
            since="0.1.0",
        ),
        Option(
            "TOSCA_ARTIFACTS_URL",
            OptionType.URL,
            "https://raw.githubusercontent.com/grycap/tosca/main/artifacts/",
            "Where they are looked for next.",
            since="0.1.0",
        ),
    ),
    about="Documents refer to files by URL: types, templates, recipes. They are fetched from public addresses only, "
    "except where these options say otherwise. Proxies are not used. OAIPMH_REPO_BASE_IDENTIFIER_URL limits templates "
    "to one repository.",
)

LOGGING = Group(
    "Logging",
    (
        Option(
            "LOG_LEVEL",
            OptionType.WORD,
            "INFO",
            "The least important messages that are logged. Another word counts as WARNING.",
            choices=("DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL"),
            fallback="WARNING",
        ),
        Option(
            "LOG_FILE",
            OptionType.PATH,
            "/var/log/im/inf.log",
            "The log file. Its directory is made if it is missing.",
        ),
        Option(
            "LOG_FILE_MAX_SIZE",
            OptionType.INTEGER,
            10485760,
            "Size at which the log file is rotated; 3 old files are kept. 0 never rotates it.",
            unit="bytes",
            minimum=0,
        ),
        Option(
            "AUDIT_LOG_FILE",
            OptionType.PATH,
            "",
            "A log file of its own for the audit channel, imframework.audit: who did what, from where, with which "
            "result, one line of JSON each. It is rotated like the log file. Not set: the lines are in the log file.",
            example="/var/log/im/audit.log",
            since="0.1.0",
        ),
    ),
    about="A logging.conf beside im.cfg, or in /etc/im, replaces these options; it has the format of the logging "
    "module of Python's standard library, in which %(hostname)s may be used.",
)
