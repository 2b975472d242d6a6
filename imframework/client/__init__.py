"""The client library: the REST API of a service, typed and synchronous, with nothing but the standard library.

    client = Client("https://im.example.org", [{"type": "InfrastructureManager", "username": "ana", "password": "…"}])
    infrastructure = client.create(Document(text, Language.TOSCA), asynchronous=True)
    for event in client.follow(infrastructure):
        print(event.type, event.data)

`client` has the operations, `transport` is one request and its errors, `following` the streams of events. What goes in
and comes out are the words of `imframework.api`; errors are those of `imframework.api.errors`, and `Unreachable`.
"""

from imframework.api.service import Document, Language, Outputs, StateReport
from imframework.client.client import Client
from imframework.client.transport import Unreachable

__all__ = ["Client", "Document", "Language", "Outputs", "StateReport", "Unreachable"]
