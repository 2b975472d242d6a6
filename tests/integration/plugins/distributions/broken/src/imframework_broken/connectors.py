"""Connectors that would be in order, but for what their names say."""

from imframework.api.connector import MachineConnector
from imframework_broken import declared


class Good(MachineConnector):
    info = declared.lacking.info

    def candidates(self, system):
        return ()

    def machine_spec(self, deployment, machine):
        return {}

    def create(self, resource, token):
        raise NotImplementedError

    def find(self, resource, token):
        return ()

    def read(self, handles):
        return ()

    def delete(self, handle):
        raise NotImplementedError


class Asynchronous(Good):
    info = declared.asynchronous.info

    async def read(self, handles):
        return ()


class Crashing(Good):
    """It takes for granted what a credential item need not have."""

    info = declared.crashing.info

    def __init__(self, credential, options):
        super().__init__(credential, options)
        self.address = credential.fields["host"]
