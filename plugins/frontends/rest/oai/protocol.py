"""The protocol: verbs, their arguments, what they answer and how they fail. Arguments in, a document out.

What is meant to be harvested is small, so that a list is worked out anew for each of its pages.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final
from xml.etree import ElementTree as ET

from imframework_plugins.frontends.rest.oai.formats import DC, FORMATS, OAI_DC, XSI, Format, add, is_writable
from imframework_plugins.frontends.rest.oai.records import EARLIEST, Record
from imframework_plugins.frontends.rest.oai.tokens import Token, fingerprint

OAI: Final = "http://www.openarchives.org/OAI/2.0/"
SCHEMA: Final = "http://www.openarchives.org/OAI/2.0/OAI-PMH.xsd"
GRANULARITY: Final = "YYYY-MM-DD"

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_PREFIX: Final = re.compile(r"[A-Za-z0-9\-_.!~*'()]+")
_SET: Final = re.compile(r"[A-Za-z0-9\-_.!~*'()]+(:[A-Za-z0-9\-_.!~*'()]+)*")


@dataclass(frozen=True, slots=True)
class Repository:
    """What is harvested: who offers it, where, and the records in their order."""

    name: str
    description: str
    admin_email: str
    base_url: str
    page_size: int
    records: Sequence[Record]

    def find(self, identifier: str) -> Record:
        """The record of an identifier. Raises Refused."""
        for record in self.records:
            if record.identifier == identifier:
                return record
        raise Refused("idDoesNotExist", "No item has this identifier")


class Refused(Exception):
    """A request that cannot be answered: code and text, once for each reason."""

    def __init__(self, code: str, *texts: str) -> None:
        super().__init__(code, *texts)
        self.code = code
        self.texts = texts


@dataclass(frozen=True, slots=True)
class Verb:
    """What a verb takes, and what answers it. An `exclusive` argument stands alone."""

    answer: Callable[[Repository, Mapping[str, str], ET.Element], None]
    required: frozenset[str] = field(default_factory=frozenset)
    optional: frozenset[str] = field(default_factory=frozenset)
    exclusive: str = ""


def respond(repository: Repository, arguments: Sequence[tuple[str, str]], now: float) -> bytes:
    """The document that answers a request with these arguments, at an instant."""
    root = ET.Element("OAI-PMH", {"xmlns": OAI, "xmlns:xsi": XSI, "xsi:schemaLocation": f"{OAI} {SCHEMA}"})
    add(root, "responseDate", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)))
    request = add(root, "request", repository.base_url)
    try:
        verb, given = _checked(arguments)
        # The arguments are repeated only if they make sense: clients are to be able to believe what stands here.
        request.attrib.update({"verb": verb, **given})
        content = ET.Element(verb)
        VERBS[verb].answer(repository, given, content)
        root.append(content)
    except Refused as refusal:
        if refusal.code == "badArgument":
            request.attrib.clear()
        for text in refusal.texts:
            add(root, "error", text, {"code": refusal.code})
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _checked(arguments: Sequence[tuple[str, str]]) -> tuple[str, dict[str, str]]:
    """The verb and its arguments, which may stand together and look as they should. Raises Refused."""
    verbs = [value for name, value in arguments if name == "verb"]
    if len(verbs) != 1 or verbs[0] not in VERBS:
        reason = "is missing" if not verbs else "is repeated" if len(verbs) > 1 else "is not one of the protocol"
        raise Refused("badVerb", f"The argument verb {reason}")
    verb = VERBS[verbs[0]]
    counts = Counter(name for name, _ in arguments)
    given = {name: value for name, value in arguments if name != "verb"}
    if wrong := list(_misuse(verb, given, counts)):
        raise Refused("badArgument", *wrong)
    return verbs[0], given


def _misuse(verb: Verb, given: Mapping[str, str], counts: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with the arguments of a request, each in a sentence."""
    known = {*verb.required, *verb.optional, verb.exclusive} - {""}
    for name in sorted(set(given) - known):
        yield f"{name[:40]} is not an argument of this verb"
    for name in sorted(known & set(given)):
        if counts[name] > 1:
            yield f"The argument {name} is repeated"
        elif not _SYNTAX.get(name, is_writable)(given[name]):
            yield f"The argument {name} has an illegal value"
    if verb.exclusive in given:
        if len(given) > 1:
            yield f"The argument {verb.exclusive} excludes all others"
        return
    for name in sorted(verb.required - set(given)):
        yield f"The argument {name} is missing"


def _is_day(text: str) -> bool:
    return _DAY.fullmatch(text) is not None and _day(text) is not None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


#: What values of arguments look like, where not everything goes that XML can say.
_SYNTAX: Final[Mapping[str, Callable[[str], bool]]] = {
    "metadataPrefix": lambda text: _PREFIX.fullmatch(text) is not None,
    "set": lambda text: _SET.fullmatch(text) is not None,
    "from": _is_day,
    "until": _is_day,
}


# --- the verbs -------------------------------------------------------------------------------------------------


def _identify(repository: Repository, given: Mapping[str, str], content: ET.Element) -> None:
    add(content, "repositoryName", repository.name)
    add(content, "baseURL", repository.base_url)
    add(content, "protocolVersion", "2.0")
    if repository.admin_email:
        add(content, "adminEmail", repository.admin_email)
    add(content, "earliestDatestamp", EARLIEST.isoformat())
    add(content, "deletedRecord", "no")
    add(content, "granularity", GRANULARITY)
    # The protocol takes no text here, but an element of some schema: the one that every harvester knows.
    described = ET.SubElement(ET.SubElement(content, "description"), "oai_dc:dc", {"xmlns:oai_dc": OAI_DC})
    described.set("xmlns:dc", DC)
    described.set("xsi:schemaLocation", f"{OAI_DC} {FORMATS['oai_dc'].schema}")
    add(described, "dc:title", repository.name)
    add(described, "dc:description", repository.description)


def _list_formats(repository: Repository, given: Mapping[str, str], content: ET.Element) -> None:
    if "identifier" in given:
        repository.find(given["identifier"])
    for form in FORMATS.values():
        element = ET.SubElement(content, "metadataFormat")
        add(element, "metadataPrefix", form.prefix)
        add(element, "schema", form.schema)
        add(element, "metadataNamespace", form.namespace)


def _list_sets(repository: Repository, given: Mapping[str, str], content: ET.Element) -> None:
    if "resumptionToken" in given:
        raise Refused("badResumptionToken", "This is no token for a list that can be resumed")
    raise Refused("noSetHierarchy", "This repository has no sets")


def _get_record(repository: Repository, given: Mapping[str, str], content: ET.Element) -> None:
    record = repository.find(given["identifier"])
    _add_record(content, record, _format(given["metadataPrefix"]))


def _list_identifiers(repository: Repository, given: Mapping[str, str], content: ET.Element) -> None:
    _add_page(repository, given, content, lambda record, form: _add_header(content, record))


def _list_records(repository: Repository, given: Mapping[str, str], content: ET.Element) -> None:
    _add_page(repository, given, content, lambda record, form: _add_record(content, record, form))


VERBS: Final[Mapping[str, Verb]] = {
    "Identify": Verb(_identify),
    "ListMetadataFormats": Verb(_list_formats, optional=frozenset({"identifier"})),
    "ListSets": Verb(_list_sets, exclusive="resumptionToken"),
    "GetRecord": Verb(_get_record, required=frozenset({"identifier", "metadataPrefix"})),
    **{
        name: Verb(
            answer,
            required=frozenset({"metadataPrefix"}),
            optional=frozenset({"from", "until", "set"}),
            exclusive="resumptionToken",
        )
        for name, answer in (("ListIdentifiers", _list_identifiers), ("ListRecords", _list_records))
    },
}


# --- lists -----------------------------------------------------------------------------------------------------


def _add_page(
    repository: Repository,
    given: Mapping[str, str],
    content: ET.Element,
    add_one: Callable[[Record, Format], object],
) -> None:
    """The records of one page and, unless it is the whole list, the token of the next."""
    token = _resumed(content.tag, given) if "resumptionToken" in given else None
    if token is not None:
        prefix, begin, end, cursor = token.prefix, token.begin, token.end, token.cursor
    else:
        prefix, begin, end, cursor = given["metadataPrefix"], given.get("from", ""), given.get("until", ""), 0
        if begin and end and begin > end:
            raise Refused("badArgument", "The argument from is later than until")
        if "set" in given:
            raise Refused("noSetHierarchy", "This repository has no sets")
    form = _format(prefix)
    found = [record for record in repository.records if _is_between(record.datestamp, begin, end)]
    known_as = fingerprint(found)
    if token is not None and (token.fingerprint != known_as or not 0 < cursor < len(found)):
        raise Refused("badResumptionToken", "The list has changed since this token was given: begin again")
    if not found:
        raise Refused("noRecordsMatch", "No record is dated so")
    following = cursor + repository.page_size
    for record in found[cursor:following]:
        add_one(record, form)
    if following < len(found):
        text = Token(content.tag, prefix, begin, end, following, known_as).encode()
    elif token is not None:
        text = ""  # the last of several pages
    else:
        return
    add(content, "resumptionToken", text, {"completeListSize": str(len(found)), "cursor": str(cursor)})


def _resumed(verb: str, given: Mapping[str, str]) -> Token:
    token = Token.decode(given["resumptionToken"])
    if token is None or token.verb != verb or token.prefix not in FORMATS:
        raise Refused("badResumptionToken", "This is no token for a list that can be resumed")
    return token


def _is_between(datestamp: date, begin: str, end: str) -> bool:
    """Whether a day is in a window that may be open; days in this form are in the order of their texts."""
    day = datestamp.isoformat()
    return (not begin or begin <= day) and (not end or day <= end)


def _format(prefix: str) -> Format:
    if prefix not in FORMATS:
        raise Refused("cannotDisseminateFormat", "No item has metadata in this format")
    return FORMATS[prefix]


def _add_header(parent: ET.Element, record: Record) -> None:
    header = ET.SubElement(parent, "header")
    add(header, "identifier", record.identifier)
    add(header, "datestamp", record.datestamp.isoformat())


def _add_record(parent: ET.Element, record: Record, form: Format) -> None:
    element = ET.SubElement(parent, "record")
    _add_header(element, record)
    ET.SubElement(element, "metadata").append(form.element(record))
