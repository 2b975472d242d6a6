"""Storage plugin `sql`: infrastructures in a relational database, today SQLite.

This module is only the declaration. `storage` has the operations, `schema` the tables, `database` connections and
transactions, `sqlite` what is particular to that database, `migrations` how older schemas become the present one.
"""

from imframework.api.plugin import Declaration, PluginInfo, PluginKind
from imframework.api.version import __version__

info = PluginInfo(
    name="sql",
    kind=PluginKind.STORAGE,
    version=__version__,
    api_version=(0, 1),
    title="SQL database",
    url_schemes=("sqlite", "file", ""),
    requires={"sqlalchemy": "imframework", "alembic": "imframework"},
)

declaration = Declaration(info=info, target="imframework_plugins.storage.sql.storage:SqlStorage")
