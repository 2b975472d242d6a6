"""Declares nothing: it thinks that it is a program."""

import sys

sys.exit("usage: exits FILE")
