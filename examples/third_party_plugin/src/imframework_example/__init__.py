"""An example of plugins for imframework, made and installed apart from it.

`declarations` describes the plugins and imports none of the rest. `connector` is a cloud, `client` the way to its API;
`policy` limits what users may ask for and keeps an `audit` file of what happens.
"""

__version__ = "1.0.0"
