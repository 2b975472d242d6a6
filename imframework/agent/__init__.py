"""The one program that runs the plays, wherever they run: on the server, on the master, on every machine.

`agent.py` is a single file that needs nothing but Python 3.8; `callbacks/` holds the Ansible plugin it listens to. Both
are copied as they are to machines that have nothing else of the framework. How to talk to a running agent is described
in `docs/design/agent.md`.
"""
