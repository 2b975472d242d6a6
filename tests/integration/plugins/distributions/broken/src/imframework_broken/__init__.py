"""Plugins of which each is broken in a way of its own."""
