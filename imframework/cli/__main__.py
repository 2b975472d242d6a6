"""`python -m imframework.cli` is `imframework`."""

from imframework.cli.main import main

main()
