"""imframework: one document in, a running and configured virtual infrastructure out, on any cloud.

The framework knows no cloud, no database and no identity provider: those are plugins written against
`imframework.api`, which is the only package of this distribution that a plugin may import.
"""
