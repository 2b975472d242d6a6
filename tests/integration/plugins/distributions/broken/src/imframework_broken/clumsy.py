"""A connector that does too much when it is imported."""

raise RuntimeError("cannot open /opt/clumsy/settings.ini with password=planted-secret")
