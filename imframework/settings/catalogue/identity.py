"""Options of identity: who may use the service, OpenID Connect, Vault."""

from __future__ import annotations

from imframework.api.config import Option, OptionType
from imframework.settings.catalogue.group import Group

USERS = Group(
    "Users",
    (
        Option(
            "USER_DB",
            OptionType.PATH,
            "",
            "JSON file of the users who may use the service. Not set: every pair of user name and password is a user "
            "of its own.",
            example="/etc/im/users.json",
        ),
    ),
)

OIDC = Group(
    "OpenID Connect",
    (
        Option(
            "OIDC_ISSUERS",
            OptionType.LIST,
            (),
            "Issuers whose tokens are accepted. A slash at the end makes no difference.",
            example="https://aai.example.org/oidc/",
        ),
        Option(
            "OIDC_AUDIENCE",
            OptionType.TEXT,
            "",
            "What must be among the audiences (aud) of a token. Not set: any token of the issuers is accepted.",
        ),
        Option("OIDC_CLIENT_ID", OptionType.TEXT, "", "Client under which tokens are introspected."),
        Option("OIDC_CLIENT_SECRET", OptionType.TEXT, "", "Secret of that client.", secret=True),
        Option(
            "OIDC_SCOPES",
            OptionType.LIST,
            (),
            "Scopes that a token must all have. They are learned by introspection, so OIDC_CLIENT_ID and "
            "OIDC_CLIENT_SECRET must be set too.",
        ),
        Option("OIDC_GROUPS", OptionType.LIST, (), "Groups of which a user must be a member, of every one."),
        Option("OIDC_GROUPS_CLAIM", OptionType.TEXT, "groups", "Claim in which a user's groups are."),
        Option(
            "OIDC_ADMIN_GROUPS",
            OptionType.JSON,
            (),
            "Groups whose members are administrators: an array of objects with issuer and group.",
            example='[{"issuer": "https://aai.example.org/oidc/", "group": "admins"}]',
        ),
        Option(
            "OIDC_USER_INFO_PATH",
            OptionType.TEXT,
            "",
            "Path of the userinfo end point, used with issuers that publish no discovery document.",
            example="/userinfo",
            unquote=True,
        ),
        Option(
            "OIDC_INSTROSPECT_PATH",
            OptionType.TEXT,
            "",
            "Path of the introspection end point, used with issuers that publish no discovery document.",
            example="/introspect",
            unquote=True,
        ),
        Option(
            "FORCE_OIDC_AUTH",
            OptionType.BOOLEAN,
            False,
            "Accept tokens only, no user names and passwords. Needs OIDC_ISSUERS.",
        ),
    ),
)

VAULT = Group(
    "Vault",
    (
        Option(
            "VAULT_URL",
            OptionType.URL,
            "",
            "Vault server in which users who log in with a token keep their cloud credentials. Not set: none.",
            example="https://vault.example.org:8200",
        ),
        Option(
            "VAULT_PATH",
            OptionType.TEXT,
            "",
            "Path of a user's secret in the key-value store, in which #USER_SUB# stands for the sub of the user's "
            "token. Not set, or vault_entity_id: the user's entity id.",
        ),
        Option(
            "VAULT_MOUNT_POINT",
            OptionType.TEXT,
            "credentials/",
            "Mount point of the key-value store (version 1); the final slash is optional.",
        ),
        Option("VAULT_ROLE", OptionType.TEXT, "", "Role for the login with a token. Not set: the server's default."),
    ),
)
