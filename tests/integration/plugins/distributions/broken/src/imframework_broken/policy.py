"""A policy that cannot be made, because the place of its rules is not known."""

from imframework.api.errors import ConfigurationError
from imframework.api.hooks import HookPlugin, hookimpl
from imframework_broken import declared


class Policy(HookPlugin):
    info = declared.policy.info

    def __init__(self, options):
        super().__init__(options)
        raise ConfigurationError("BROKEN_RULES is not set.")

    @hookimpl
    def imframework_approve_plan(self, machines):
        """Never called."""
