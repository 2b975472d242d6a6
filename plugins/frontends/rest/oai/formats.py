"""The metadata formats: what a record looks like in each.

Elements are written with the prefixes that their format declares, on its own root, as the protocol asks: what stands
inside ``metadata`` is complete by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from imframework_plugins.frontends.rest.oai.records import Record

XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
OAI_DC: Final = "http://www.openarchives.org/OAI/2.0/oai_dc/"
DC: Final = "http://purl.org/dc/elements/1.1/"
OAIRE: Final = "http://namespace.openaire.eu/schema/oaire/"
DATACITE: Final = "http://datacite.org/schema/kernel-4"

_SOFTWARE: Final = {"resourceTypeGeneral": "software", "uri": "http://purl.org/coar/resource_type/c_5ce6"}
_OPEN_ACCESS: Final = {"rightsURI": "http://purl.org/coar/access_right/c_abf2"}
#: Keys of the metadata that mean the same in all formats.
_COMMON: Final = ("publisher", "format", "description")

#: What XML 1.0 has no way to write.
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Format:
    """One metadata format: its names on the wire, and what writes a record in it."""

    prefix: str
    schema: str
    namespace: str
    write: Callable[[Record], ET.Element]

    def element(self, record: Record) -> ET.Element:
        """The record in this format."""
        root = self.write(record)
        root.set("xmlns:xsi", XSI)
        root.set("xsi:schemaLocation", f"{self.namespace} {self.schema}")
        return root


def writable(text: str) -> str:
    """The text with a replacement character for each that XML cannot have."""
    return _UNWRITABLE.sub("\ufffd", text)


def is_writable(text: str) -> bool:
    """Whether a text can be written as it is."""
    return _UNWRITABLE.search(text) is None


def add(parent: ET.Element, tag: str, text: str, attributes: Mapping[str, str] | None = None) -> ET.Element:
    """A new element with a text."""
    element = ET.SubElement(parent, tag, dict(attributes or {}))
    element.text = writable(text)
    return element


def dublin_core(record: Record) -> ET.Element:
    """oai_dc"""
    root = ET.Element("oai_dc:dc", {"xmlns:oai_dc": OAI_DC, "xmlns:dc": DC})
    _plain(root, record)
    add(root, "dc:resourceType", "software")
    add(root, "dc:rights", "openaccess")
    _each(root, record, "template_version", "dc:version")
    _each(root, record, "tag", "dc:subject")
    return root


def openaire(record: Record) -> ET.Element:
    """oai_openaire"""
    root = ET.Element("oaire:resource", {"xmlns:oaire": OAIRE, "xmlns:datacite": DATACITE, "xmlns:dc": DC})
    _plain(root, record)
    add(root, "dc:resourceType", "software")
    add(root, "datacite:rights", "open access", _OPEN_ACCESS)
    _each(root, record, "template_version", "oaire:version")
    _each(root, record, "subject", "oaire:subject")
    return root


def datacite(record: Record) -> ET.Element:
    """oai_datacite"""
    root = ET.Element("datacite:resource", {"xmlns:datacite": DATACITE, "xmlns:oaire": OAIRE, "xmlns:dc": DC})
    add(root, "datacite:title", _title(record))
    for author in record.metadata.get("template_author", ()):
        add(ET.SubElement(root, "datacite:creator"), "datacite:creatorName", author)
    _each(root, record, "creation_date", "datacite:date", {"dateType": "Issued"})
    add(root, "datacite:identifier", record.identifier, {"identifierType": "URN"})
    add(root, "oaire:resourceType", "software", _SOFTWARE)
    add(root, "datacite:rights", "open access", _OPEN_ACCESS)
    for key in _COMMON:
        _each(root, record, key, f"dc:{key}")
    _each(root, record, "template_version", "dc:version")
    related = {"relatedIdentifierType": "DOI", "relationType": "References"}
    _each(root, record, "related_identifier", "datacite:relatedIdentifier", related)
    return root


def _plain(root: ET.Element, record: Record) -> None:
    """What two of the formats say in the same elements."""
    add(root, "dc:title", _title(record))
    _each(root, record, "template_author", "dc:creator")
    _each(root, record, "creation_date", "dc:date")
    add(root, "dc:identifier", record.identifier)
    for key in _COMMON:
        _each(root, record, key, f"dc:{key}")


def _title(record: Record) -> str:
    return record.first("display_name") or record.first("template_name") or record.name


def _each(root: ET.Element, record: Record, key: str, tag: str, attributes: Mapping[str, str] | None = None) -> None:
    """An element for each text that the metadata has under a key."""
    for text in record.metadata.get(key, ()):
        if text.strip():
            add(root, tag, text, attributes)


FORMATS: Final = {
    format.prefix: format
    for format in (
        Format("oai_dc", "http://www.openarchives.org/OAI/2.0/oai_dc.xsd", OAI_DC, dublin_core),
        Format("oai_openaire", "https://www.openaire.eu/schema/1.0/oaf-1.0.xsd", OAIRE, openaire),
        Format("oai_datacite", "https://schema.datacite.org/meta/kernel-4.3/metadata.xsd", DATACITE, datacite),
    )
}
