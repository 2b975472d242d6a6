"""Declares nothing: what it imports is not there."""

from imframework.api.connector import NoSuchBaseClass

declaration = NoSuchBaseClass()
