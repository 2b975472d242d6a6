"""The settings room: from declared options and im.cfg to typed, immutable settings, and to their documentation.

`catalogue`  every option, declared once; `values` the types they have; `model` the settings as the program sees them
`loader`     finds and reads im.cfg (`ini`) and the environment (`environment`), has them judged (`evaluation`,
             `checks`) and fills in what follows (`derived`)
`sample`, `schema`, `reference`   im.cfg with comments, JSON schema and documentation, generated from the catalogue
`log_setup`  logging by logging.conf or the options

It knows nothing of plugins but the options that they declare, which are handed in.
"""

from imframework.settings.catalogue import PluginOptions
from imframework.settings.loader import check_file, from_values, load
from imframework.settings.model import Settings
from imframework.settings.problems import ConfigProblem, Severity

__all__ = ["ConfigProblem", "PluginOptions", "Settings", "Severity", "check_file", "from_values", "load"]
