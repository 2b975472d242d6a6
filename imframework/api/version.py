"""The version of the distribution and of the plugin API, kept apart because they move at different speeds."""

__version__ = "0.1.0"

#: Version of the plugin API, ``(major, minor)``. While the major number is 0 every minor step may break plugins,
#: so the host accepts exactly the same minor; from 1.0 on it will accept any lower minor of the same major.
API_VERSION = (0, 1)


def accepts(declared: tuple[int, int]) -> bool:
    """Whether a plugin that declares this API version can be loaded by this host."""
    if API_VERSION[0] == 0:
        return declared == API_VERSION
    return declared[0] == API_VERSION[0] and declared[1] <= API_VERSION[1]
