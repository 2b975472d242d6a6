"""Logging as the operator wants it: by a logging.conf if there is one that loads, else by the LOG_ options.

Whatever is configured, every record knows the `hostname`, and no secret of a known shape reaches a handler: records are
made by a class that redacts their message and backtrace. Messages written through structlog become such records, with
their values as ``name=value`` after the event.
"""

from __future__ import annotations

import logging
import logging.config
import logging.handlers
import os
import socket
from collections.abc import Iterator, MutableMapping
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import structlog

from imframework.api.errors import ConfigurationError
from imframework.api.redaction import redact, redact_data
from imframework.settings.loader import SYSTEM_DIRECTORY
from imframework.settings.model import Settings
from imframework.settings.problems import ConfigProblem, Origin, Severity, problem_at

#: The loggers that LOG_LEVEL is about: those that existing logging.conf files know, and the program's own.
LOGGERS = ("ConfManager", "CloudConnector", "InfrastructureManager", "imframework", "imframework_plugins")

#: The logger of who did what. Without a file of its own its lines go where those of the program go.
AUDIT = "imframework.audit"

#: The logger whose handlers and level the program's own take over in a logging.conf that does not know them.
_MODEL = "InfrastructureManager"

LINE_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"

#: How many rotated log files are kept.
BACKUPS = 3


def set_up_logging(settings: Settings, *, system_directory: Path = SYSTEM_DIRECTORY) -> list[ConfigProblem]:
    """Configure logging for the process; can be called again. Returns what is worth logging then.

    Raises `ConfigurationError` if the log file cannot be opened.
    """
    logging.setLogRecordFactory(ServiceRecord)
    _configure_structlog()
    problems = []
    path = _find_configuration(settings, system_directory)
    if path:
        fault = _load_configuration(path)
        if not fault:
            return []
        message = f"cannot be used ({fault}): LOG_LEVEL, LOG_FILE and LOG_FILE_MAX_SIZE count"
        problems.append(problem_at(Origin(str(path)), "", message, kind="ignored", severity=Severity.WARNING))
    _configure_by_options(settings)
    return problems


class ServiceRecord(logging.LogRecord):
    """A log record without secrets that knows its host."""

    _hostname = socket.gethostname()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hostname = self._hostname
        if self.exc_info and self.exc_info[0]:
            # Formatters use this text if it is there.
            self.exc_text = redact(logging.Formatter().formatException(self.exc_info))
        if self.stack_info:
            self.stack_info = redact(self.stack_info)

    def getMessage(self) -> str:
        """The message, redacted. One whose arguments do not fit its format is logged all the same."""
        if isinstance(self.msg, _Redacted):
            return str(self.msg)
        try:
            message = super().getMessage()
        except (TypeError, ValueError, KeyError):
            message = f"{self.msg} {self.args!r}"
        return redact(message)


def _find_configuration(settings: Settings, system_directory: Path) -> Path | None:
    directories = [settings.source.parent] if settings.source else []
    candidates = (directory / "logging.conf" for directory in (*directories, system_directory))
    return next((path for path in candidates if path.is_file()), None)


def _load_configuration(path: Path) -> str:
    """Configure logging by a file; why that cannot be done, empty if it was."""
    _close_handlers()
    try:
        logging.config.fileConfig(path, disable_existing_loggers=False, encoding="utf-8")
    except Exception as error:  # noqa: BLE001 - the file names classes and arguments, which can raise anything
        return redact(f"{type(error).__name__}: {error}")
    model = logging.getLogger(_MODEL)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not logger.handlers and logger.level == logging.NOTSET and logger is not model:
            logger.setLevel(model.level)
            logger.propagate = model.propagate
            for handler in model.handlers:
                logger.addHandler(handler)
    return ""


class _LogFile(logging.handlers.RotatingFileHandler):
    """Files that their owner writes, the group may read, and nobody else: recipes of users run on this host, too."""

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Whether the line would make the file too large. The base class asks the file system about each line."""
        stream: TextIOWrapper | None = self.stream
        if stream is None or self.maxBytes <= 0:
            return False
        return stream.tell() + len(self.format(record)) + 1 >= self.maxBytes

    def _open(self) -> TextIOWrapper:
        private = partial(os.open, mode=0o640)
        stream = open(  # noqa: SIM115
            self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=private
        )
        assert isinstance(stream, TextIOWrapper)  # noqa: S101 - the mode is one for text
        return stream


def _configure_by_options(settings: Settings) -> None:
    handler = _open_file(settings, "LOG_FILE", settings.LOG_FILE)
    audit = _open_file(settings, "AUDIT_LOG_FILE", settings.AUDIT_LOG_FILE) if settings.AUDIT_LOG_FILE else None
    _close_handlers()
    for name in ("", *LOGGERS):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(settings.LOG_LEVEL)
        logger.propagate = False
    logging.getLogger().setLevel(logging.ERROR)
    if audit is not None:
        logger = logging.getLogger(AUDIT)
        logger.addHandler(audit)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def _open_file(settings: Settings, option: str, path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, maxBytes=settings.LOG_FILE_MAX_SIZE, backupCount=BACKUPS, encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be opened for writing: {error.strerror}"
        raise ConfigurationError([problem_at(settings.origin(option), option, message, kind="machine")]) from None
    handler.setFormatter(logging.Formatter(LINE_FORMAT))
    return handler


def _loggers() -> Iterator[logging.Logger]:
    yield logging.getLogger()
    yield from map(logging.getLogger, (*LOGGERS, AUDIT))


def _close_handlers() -> None:
    """Take away what was configured before."""
    for logger in _loggers():
        for handler in logger.handlers[:]:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


def _configure_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            redact_event,
            render_line,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


#: What the standard library's loggers take beside the message.
_KEYWORDS = ("exc_info", "stack_info", "stacklevel")


class _Redacted(str):
    """A message that has been redacted value by value, and would only suffer from being redacted as a whole."""

    __slots__ = ()


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that masks values by their names and their shapes."""
    return {name: value if name in _KEYWORDS else redact_data(value, name) for name, value in event.items()}


def render_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[str], dict[str, Any]]:
    """A structlog processor that makes the call to a logger of the standard library: ``event name=value …``."""
    keywords = {name: event.pop(name) for name in _KEYWORDS if name in event}
    words = [str(event.pop("event", "")), *(f"{name}={redact(repr(value))}" for name, value in event.items())]
    return (_Redacted(" ".join(words)),), keywords
