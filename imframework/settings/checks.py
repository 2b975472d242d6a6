"""What must hold among the settings, and on the machine, before the service may start.

A check names the options that it looks at, so that it is left out when one of them could not be read. Checks of kind
``machine`` look at files: on the server they are errors, but a file can also be checked elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from imframework.api.redaction import redact
from imframework.settings.model import Settings
from imframework.settings.problems import ConfigProblem, Severity, problem_at
from imframework.settings.values import is_host_name

_PLUGIN_KINDS = ("connectors", "storage", "auth", "frontends", "hooks")

Finder = Callable[[Settings], Iterable[ConfigProblem]]


@dataclass(frozen=True, slots=True)
class Check:
    """One rule: the options it depends on, and what finds the problems."""

    options: tuple[str, ...]
    find: Finder


#: The checks that settings of any use must pass, in the order in which they are made.
CHECKS: list[Check] = []


def _check(*options: str) -> Callable[[Finder], Finder]:
    def register(find: Finder) -> Finder:
        CHECKS.append(Check(options, find))
        return find

    return register


def _conflict(settings: Settings, option: str, message: str, severity: Severity = Severity.ERROR) -> ConfigProblem:
    return problem_at(settings.origin(option), option, message, kind="conflict", severity=severity)


def _machine(settings: Settings, option: str, message: str) -> ConfigProblem:
    return problem_at(settings.origin(option), option, message, kind="machine")


# --- options that must agree ------------------------------------------------------------------------------


@_check("VM_INFO_UPDATE_FREQUENCY", "VM_INFO_UPDATE_ERROR_GRACE_PERIOD")
def _grace_period_outlasts_the_refresh(settings: Settings) -> Iterator[ConfigProblem]:
    frequency, grace = settings.VM_INFO_UPDATE_FREQUENCY, settings.VM_INFO_UPDATE_ERROR_GRACE_PERIOD
    if grace <= frequency:
        message = f"must be longer than VM_INFO_UPDATE_FREQUENCY ({frequency}), {frequency + 1} is used"
        yield _conflict(settings, "VM_INFO_UPDATE_ERROR_GRACE_PERIOD", message, Severity.WARNING)


@_check("OIDC_SCOPES", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET")
def _scopes_need_a_client(settings: Settings) -> Iterator[ConfigProblem]:
    if settings.OIDC_SCOPES and not (settings.OIDC_CLIENT_ID and settings.OIDC_CLIENT_SECRET):
        yield _conflict(settings, "OIDC_SCOPES", "needs OIDC_CLIENT_ID and OIDC_CLIENT_SECRET")


@_check("FORCE_OIDC_AUTH", "OIDC_ISSUERS")
def _somebody_can_log_in(settings: Settings) -> Iterator[ConfigProblem]:
    if settings.FORCE_OIDC_AUTH and not settings.OIDC_ISSUERS:
        yield _conflict(settings, "FORCE_OIDC_AUTH", "nobody could log in, since OIDC_ISSUERS is not set")


@_check("INF_CACHE_TIME", "DATA_DB")
def _replicas_share_a_database(settings: Settings) -> Iterator[ConfigProblem]:
    if settings.INF_CACHE_TIME > 0 and settings.DATA_DB.scheme == "sqlite":
        message = "is meant for replicas that share a database, which an SQLite file in DATA_DB cannot be"
        yield _conflict(settings, "INF_CACHE_TIME", message, Severity.WARNING)


@_check("DATA_FILE", "DATA_DB")
def _old_data_file_is_not_the_only_one(settings: Settings) -> Iterator[ConfigProblem]:
    if settings.DATA_FILE and settings.origin("DATA_DB") is None:
        message = "is ignored, and DATA_DB, which has taken its place, is not set"
        yield _conflict(settings, "DATA_FILE", message, Severity.WARNING)


@_check("ADMIN_USER")
def _administrators_can_log_in(settings: Settings) -> Iterator[ConfigProblem]:
    for number, entry in enumerate(settings.ADMIN_USER, start=1):
        if not (_texts(entry, "username", "password") or _texts(entry, "token")):
            yield _conflict(settings, "ADMIN_USER", f"entry {number} has neither a username and password nor a token")


@_check("OIDC_ADMIN_GROUPS")
def _administrator_groups_are_complete(settings: Settings) -> Iterator[ConfigProblem]:
    for number, entry in enumerate(settings.OIDC_ADMIN_GROUPS, start=1):
        if not _texts(entry, "issuer", "group"):
            yield _conflict(settings, "OIDC_ADMIN_GROUPS", f"entry {number} must have an issuer and a group")


def _texts(entry: dict[str, Any], *keys: str) -> bool:
    return all(isinstance(entry.get(key), str) and entry[key] for key in keys)


def _rate_limits_can_be_read(option: str) -> None:
    @_check(option)
    def find(settings: Settings) -> Iterator[ConfigProblem]:
        text = getattr(settings, option)
        if not text:
            return
        from limits import parse_many  # which takes a while

        try:
            wrong = not all(item.amount > 0 and item.get_expiry() > 0 for item in parse_many(text))
        except ValueError:
            wrong = True
        if wrong:
            yield _conflict(
                settings, option, f"{text[:60]!r} is not a number per second, minute, hour or day: 300/minute"
            )


_rate_limits_can_be_read("RATE_LIMIT_ADDRESS")
_rate_limits_can_be_read("RATE_LIMIT_USER")
_rate_limits_can_be_read("RATE_LIMIT_FAILED_LOGINS")


@_check("OAIPMH_RESTRICT_TEMPLATES", "OAIPMH_REPO_DIR", "OAIPMH_REPO_BASE_IDENTIFIER_URL")
def _something_can_be_deployed(settings: Settings) -> Iterator[ConfigProblem]:
    if settings.OAIPMH_RESTRICT_TEMPLATES and not (
        settings.OAIPMH_REPO_DIR or settings.OAIPMH_REPO_BASE_IDENTIFIER_URL
    ):
        message = "nothing could be deployed, since neither OAIPMH_REPO_DIR nor OAIPMH_REPO_BASE_IDENTIFIER_URL is set"
        yield _conflict(settings, "OAIPMH_RESTRICT_TEMPLATES", message)


@_check("OAIPMH_REPO_NAME", "OAIPMH_REPO_ADMIN_EMAIL")
def _harvesters_know_whom_to_write_to(settings: Settings) -> Iterator[ConfigProblem]:
    if settings.OAIPMH_REPO_NAME and not settings.OAIPMH_REPO_ADMIN_EMAIL:
        message = "OAIPMH_REPO_ADMIN_EMAIL is not set, which the protocol asks for"
        yield _conflict(settings, "OAIPMH_REPO_NAME", message, Severity.WARNING)


@_check("DISABLED_PLUGINS")
def _disabled_plugins_have_a_kind(settings: Settings) -> Iterator[ConfigProblem]:
    for entry in settings.DISABLED_PLUGINS:
        kind, _, name = entry.partition(":")
        if kind not in _PLUGIN_KINDS or not name:
            message = f"{entry!r} is not kind:name with one of the kinds {', '.join(_PLUGIN_KINDS)}"
            yield _conflict(settings, "DISABLED_PLUGINS", message)


@_check("CONTEXTUALIZATION_PLACEMENT")
def _placement_exists(settings: Settings) -> Iterator[ConfigProblem]:
    if settings.CONTEXTUALIZATION_PLACEMENT != "server":
        message = f"{settings.CONTEXTUALIZATION_PLACEMENT} is not available in this version; use server"
        yield _conflict(settings, "CONTEXTUALIZATION_PLACEMENT", message)


@_check("CONTEXTUALIZATION_SANDBOX", "CONTEXTUALIZATION_SANDBOX_USER")
def _sandbox_user_is_named(settings: Settings) -> Iterator[ConfigProblem]:
    if settings.CONTEXTUALIZATION_SANDBOX == "uid" and not settings.CONTEXTUALIZATION_SANDBOX_USER:
        yield _conflict(settings, "CONTEXTUALIZATION_SANDBOX", "uid needs CONTEXTUALIZATION_SANDBOX_USER")


@_check("TOSCA_ALLOWED_SCHEMES")
def _schemes_can_be_fetched(settings: Settings) -> Iterator[ConfigProblem]:
    for scheme in settings.TOSCA_ALLOWED_SCHEMES:
        if scheme.lower() == "file":
            yield _conflict(settings, "TOSCA_ALLOWED_SCHEMES", "file would show the files of this server to every user")
        elif scheme.lower() not in ("https", "http"):
            yield _conflict(settings, "TOSCA_ALLOWED_SCHEMES", f"{scheme!r} is neither https nor http")


@_check("TOSCA_ALLOWED_HOSTS")
def _allowed_hosts_are_hosts(settings: Settings) -> Iterator[ConfigProblem]:
    for entry in settings.TOSCA_ALLOWED_HOSTS:
        try:
            ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            if not is_host_name(entry):
                message = f"{redact(entry)[:60]!r} is not a host name, address or network"
                yield _conflict(settings, "TOSCA_ALLOWED_HOSTS", message)


# --- files and directories that must be there -------------------------------------------------------------


@_check("DATA_DB")
def _database_file_can_be_written(settings: Settings) -> Iterator[ConfigProblem]:
    path = settings.DATA_DB.path
    if settings.DATA_DB.scheme != "sqlite" or path is None:
        return
    if not os.path.isdir(path.parent) or not os.access(path.parent, os.W_OK | os.X_OK):
        yield _machine(settings, "DATA_DB", f"{path.parent} is not a directory that this user can write to")
        return
    try:
        path.stat()
    except FileNotFoundError:
        return  # it will be made
    except OSError as error:
        yield _machine(settings, "DATA_DB", f"{path} cannot be used: {error.strerror}")
        return
    if not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        yield _machine(settings, "DATA_DB", f"{path} is not a file that this user can read and write")


def _directory_can_be_read(option: str) -> None:
    @_check(option)
    def find(settings: Settings) -> Iterator[ConfigProblem]:
        path = getattr(settings, option)
        if path is not None and not (os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK)):
            yield _machine(settings, option, f"{path} is not a directory that this user can read")


_directory_can_be_read("TOSCA_ARTIFACTS_DIR")
_directory_can_be_read("STATIC_FILES_DIR")
_directory_can_be_read("OAIPMH_REPO_DIR")


@_check("USER_DB")
def _users_can_be_read(settings: Settings) -> Iterator[ConfigProblem]:
    if settings.USER_DB is None:
        return
    try:
        data = json.loads(settings.USER_DB.read_bytes())
    except OSError as error:
        yield _machine(settings, "USER_DB", f"{settings.USER_DB} cannot be read: {error.strerror}")
    except (ValueError, RecursionError):
        yield _machine(settings, "USER_DB", f"{settings.USER_DB} is not JSON")
    else:
        if not isinstance(data, dict) or not isinstance(data.get("users"), list):
            yield _machine(settings, "USER_DB", f"{settings.USER_DB} is not an object with an array 'users'")


def _tls_files_can_be_read(activate: str, prefix: str) -> None:
    ssl, required = f"{prefix}_SSL", (f"{prefix}_SSL_KEYFILE", f"{prefix}_SSL_CERTFILE")
    authorities = f"{prefix}_SSL_CA_CERTS"

    @_check(activate, ssl, *required, authorities)
    def find(settings: Settings) -> Iterator[ConfigProblem]:
        if not (getattr(settings, activate) and getattr(settings, ssl)):
            return
        # Not every site checks certificates of clients: their authorities are missed only where they are asked for.
        asked_for = (authorities,) if settings.origin(authorities) else ()
        for option in (*required, *asked_for):
            fault = _unreadable(getattr(settings, option))
            if fault:
                yield _machine(settings, option, f"{fault}, and {ssl} is True")


_tls_files_can_be_read("ACTIVATE_REST", "REST")
_tls_files_can_be_read("ACTIVATE_XMLRPC", "XMLRCP")


def _unreadable(path: Path) -> str:
    """Why a file cannot be read; empty if it can."""
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"


# --- a service ----------------------------------------------------------------------------------------------


def _something_is_served(settings: Settings) -> Iterator[ConfigProblem]:
    if not (settings.ACTIVATE_REST or settings.ACTIVATE_XMLRPC or settings.FRONTENDS):
        option = "ACTIVATE_REST" if settings.origin("ACTIVATE_REST") else "ACTIVATE_XMLRPC"
        yield _conflict(settings, option, "no front end is active; set ACTIVATE_REST or ACTIVATE_XMLRPC to True")


#: The checks for a service: all of those, and that it can be reached.
SERVICE_CHECKS = (*CHECKS, Check(("ACTIVATE_REST", "ACTIVATE_XMLRPC", "FRONTENDS"), _something_is_served))
