"""The sample files: im.cfg with every option explained, and logging.conf.

What stands in them depends on the declared options alone, so that the copies in the repository can be checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap

from imframework.api.config import MAIN_SECTION, Option, OptionType
from imframework.settings.catalogue import Catalogue
from imframework.settings.catalogue.group import Group
from imframework.settings.log_setup import AUDIT, BACKUPS, LINE_FORMAT, LOGGERS
from imframework.settings.values import allowed, as_text

#: What the sample sets, in place of the default.
SHIPPED = {
    "ACTIVATE_REST": "True",
    "LOG_FILE": "/var/log/im/im.log",
    "VM_TAG_USERNAME": "IM_USER",
    "VM_TAG_INF_ID": "IM_INFRA_ID",
}

_WIDTH = 110

_PREAMBLE = """\
Configuration of the Infrastructure Manager, made by `imframework config sample`.

Every option is here. One behind a '#' has the value that is shown; take the '#' away to set another.

A value goes from the first '=' to the end of the line and may go on in indented lines. All of it counts: there are no
comments after a value, '%' has no meaning, and quotes belong to the value. The environment variable IM_<OPTION> takes
precedence over this file. `imframework config check FILE` tells what is wrong with a file."""

#: Types of which the sample says what is allowed; the others are evident.
_EXPLAINED = (OptionType.INTEGER, OptionType.WORD, OptionType.LIST, OptionType.CIDR_LIST, OptionType.JSON)


def sample(catalogue: Catalogue) -> str:
    """An im.cfg with all options of the catalogue that still have an effect."""
    lines = list(_comment(_PREAMBLE))
    for section in catalogue.sections:
        lines += ["", f"[{section}]"]
        for group in catalogue.groups:
            options = [option for option in group.options if option.section == section and not option.deprecated]
            if options:
                lines += ["", *_heading(group)]
                for option in options:
                    lines += ["", *_entry(option)]
    return "\n".join(lines) + "\n"


def _heading(group: Group) -> Iterator[str]:
    yield f"# {f'---- {group.title} '.ljust(_WIDTH - 2, '-')}"
    yield from _comment(group.about)


def _entry(option: Option) -> Iterator[str]:
    shipped = SHIPPED.get(option.name, "") if option.section == MAIN_SECTION else ""
    default = as_text(option.default)
    yield from _comment(option.help)
    if option.type in _EXPLAINED:
        yield from _comment(f"Allowed: {allowed(option)}.")
    if option.example:
        yield f"# Example: {option.example}"
    if shipped:
        yield f"# Default: {default or 'not set'}"
    line = f"{option.name} = {shipped or default}".rstrip()
    yield line if shipped else f"#{line}"


def _comment(text: str) -> Iterator[str]:
    """Text as comment lines. Lines are filled anew; an empty one parts paragraphs."""
    for number, paragraph in enumerate(text.split("\n\n") if text else ()):
        if number:
            yield "#"
        yield from (f"# {line}" for line in wrap(paragraph, _WIDTH - 2, break_long_words=False, break_on_hyphens=False))


def logging_conf(catalogue: Catalogue) -> str:
    """A logging.conf that does what the options of the sample do; it appends to the log file that is there."""
    size = catalogue.option(MAIN_SECTION, "LOG_FILE_MAX_SIZE").default
    level = catalogue.option(MAIN_SECTION, "LOG_LEVEL").default
    sections = [
        ("loggers", {"keys": ",".join(["root", *LOGGERS, "audit"])}),
        ("handlers", {"keys": "file"}),
        ("formatters", {"keys": "line"}),
        ("logger_root", {"level": "ERROR", "handlers": "file"}),
        *(
            (f"logger_{name}", {"level": level, "handlers": "file", "propagate": "0", "qualname": name})
            for name in LOGGERS
        ),
        ("logger_audit", {"level": "INFO", "handlers": "file", "propagate": "0", "qualname": AUDIT}),
        (
            "handler_file",
            {
                "class": "logging.handlers.RotatingFileHandler",
                "formatter": "line",
                "args": f"({SHIPPED['LOG_FILE']!r}, 'a', {size}, {BACKUPS}, 'utf-8')",
            },
        ),
        ("formatter_line", {"format": LINE_FORMAT}),
    ]
    about = (
        "Logging of the Infrastructure Manager, in the format of Python's logging.config.fileConfig, made by "
        "`python -m imframework.settings.reference`. It is used, in place of the LOG_ options of im.cfg, where it lies "
        "beside im.cfg or in /etc/im. %(hostname)s may be used in formats. Secrets are masked whatever is set here."
    )
    return "\n".join([*_comment(about), *(line for section in sections for line in _ini_section(*section))]) + "\n"


def _ini_section(name: str, values: dict[str, str]) -> Iterable[str]:
    return ["", f"[{name}]", *(f"{key}={value}" for key, value in values.items())]
