"""Which documents may be deployed where the operator allows templates of the catalogue only.

A document is one of the catalogue's if it is the same but for what users choose, which
`imframework.languages.tosca.sketch` says, or if it builds on a template of the repository and adds nothing but values.
RADL can only say how many machines more of systems that an infrastructure has. Administrators may deploy anything.
"""

from __future__ import annotations

import asyncio

from imframework.api.errors import Forbidden, InvalidDocument
from imframework.api.service import Caller, Document, Language
from imframework.core.catalogue import Catalogue
from imframework.languages import radl, tosca

REFUSED = "Only templates of the catalogue of this service can be deployed"


class Restriction:
    """Refuses what is not in the catalogue."""

    def __init__(self, catalogue: Catalogue, base_url: str = "") -> None:
        """`base_url` is where the templates of the repository are, empty if nowhere."""
        self._catalogue = catalogue
        self._base = base_url.rstrip("/")

    async def check(self, caller: Caller, document: Document, *, creates: bool) -> None:
        """Refuse a document for a new infrastructure (`creates`), or to be added to one.

        One that cannot be read is let through to whoever says what is wrong with it.

        Raises:
            Forbidden: it is not of the catalogue.
        """
        if caller.admin:
            return
        try:
            if document.language is not Language.TOSCA:
                if creates or not await asyncio.to_thread(_only_deploys, document):
                    raise Forbidden(f"{REFUSED}: a TOSCA template, not RADL")
                return
            sketch = await asyncio.to_thread(tosca.sketch, document.text)
        except InvalidDocument:
            return
        if sketch.builds_on and self._is_in_repository(sketch.builds_on):
            return
        if sketch.fingerprint in (await self._catalogue.contents()).fingerprints:
            return
        raise Forbidden(f"{REFUSED}: this one differs from all of them in more than values of inputs")

    def check_import(self, caller: Caller) -> None:
        """Refuse an infrastructure from elsewhere, with which any document could come.

        Raises:
            Forbidden: the caller is no administrator.
        """
        if not caller.admin:
            raise Forbidden(f"{REFUSED}: infrastructures are imported by administrators")

    def _is_in_repository(self, template: str) -> bool:
        """Relative paths are looked for in the repository; translating refuses those that would leave it."""
        return bool(self._base) and ("://" not in template or template.startswith(f"{self._base}/"))


def _only_deploys(document: Document) -> bool:
    """Whether nothing is defined in a RADL document: it refers to what is there, and says how many more."""
    parse = radl.parse_json if document.language is Language.RADL_JSON else radl.parse
    parsed = parse(document.text)
    parts: list[radl.Network | radl.System | radl.Configure] = [*parsed.networks.values(), *parsed.systems.values()]
    parts += parsed.configures.values()
    return all(part.reference for part in parts) and not (parsed.ansibles or parsed.contextualize)
