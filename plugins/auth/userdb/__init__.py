"""The auth plugin `userdb`: user names and passwords, free or from the file USER_DB, and plain administrators.

`provider` judges items, `users` reads the file, `passwords` knows the hashes that may stand in it. Run as a program
(``python -m imframework_plugins.auth.userdb``) it makes such a hash.
"""

from imframework.api.config import Option
from imframework.api.plugin import Declaration, PluginInfo, PluginKind
from imframework.api.version import __version__

declaration = Declaration(
    info=PluginInfo(
        name="userdb",
        kind=PluginKind.AUTH,
        version=__version__,
        api_version=(0, 1),
        options=(Option.shared("USER_DB"), Option.shared("ADMIN_USER"), Option.shared("FORCE_OIDC_AUTH")),
    ),
    target="imframework_plugins.auth.userdb.provider:UserDatabase",
)
