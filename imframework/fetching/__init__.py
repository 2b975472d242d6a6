"""Fetching what documents refer to, for people who may name any URL: imports, recipes, files.

`Fetcher` is the way in: URL → text, kept for the next time. What it may reach is the `Policy`, how much and for how
long the `Limits`. `ArtifactFolder` serves the files that the operator put beside the service. Nothing is known here of
TOSCA: whoever translates a document is handed these as callables.

A reader follows one fetch: `fetcher` (cache, one request for many callers), `download` (redirects, each hop checked),
`names` and `addresses` (what a host name stands for, and what may be asked), `exchange` (one request over one
connection), with `deadline` over all of it.
"""

from imframework.fetching.cache import Cache
from imframework.fetching.errors import FetchError, FetchFailed, FetchRefused
from imframework.fetching.fetcher import DocumentFetch, Fetcher
from imframework.fetching.folder import ArtifactFolder
from imframework.fetching.limits import Limits
from imframework.fetching.names import Resolver, system_resolver
from imframework.fetching.policy import Policy

__all__ = [
    "ArtifactFolder",
    "Cache",
    "DocumentFetch",
    "FetchError",
    "FetchFailed",
    "FetchRefused",
    "Fetcher",
    "Limits",
    "Policy",
    "Resolver",
    "system_resolver",
]
