"""Documents read back from stored texts."""

import pytest

from imframework.core import documents
from imframework.core.documents import parsed
from imframework.languages import radl

TEXT = "network net ()\nsystem node (cpu.count >= 2 and net_interface.0.connection = 'net')\ndeploy node 1\n"


def test_a_document_is_the_callers_own() -> None:
    mine = parsed(TEXT)
    mine.systems["node"].set("cpu.count", 8)
    mine.deploys.clear()
    del mine.networks["net"]
    assert radl.dumps(parsed(TEXT)) == radl.dumps(radl.parse(TEXT))


@pytest.mark.parametrize("longest", [0, documents.LONGEST])
def test_long_texts_are_read_like_others(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LONGEST", longest)
    assert parsed(TEXT).systems["node"].text("net_interface.0.connection") == "net"
