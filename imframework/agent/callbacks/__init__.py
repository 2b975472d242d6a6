"""Plugins that Ansible loads; the agent names this folder to it."""
