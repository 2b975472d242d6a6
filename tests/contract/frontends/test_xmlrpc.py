"""The plugin `xmlrpc` keeps the contract of front ends."""

import xmlrpc.client

import pytest

from imframework.testing.frontend import FrontEndContract, Refused, http_options
from imframework.testing.service import PASSWORD
from imframework_plugins.frontends.xmlrpc.frontend import XmlRpcFrontEnd


class TestXmlRpc(FrontEndContract):
    @pytest.fixture
    def make_front_end(self):
        def make(service, **how):
            return XmlRpcFrontEnd(service, {"VMINFO_JSON": False} | http_options("XMLRCP", **how))

        return make

    @pytest.fixture
    def call(self):
        def call(address, operation, *, user="", password=PASSWORD, infrastructure="", document=""):
            auth = [{"type": "InfrastructureManager", "username": user, "password": password}] if user else []
            with xmlrpc.client.ServerProxy(address) as server:
                try:
                    good, value = {
                        "version": lambda: server.GetVersion(),
                        "state": lambda: server.GetInfrastructureState(infrastructure, auth),
                        "create": lambda: server.CreateInfrastructure(document, auth),
                    }[operation]()
                except (xmlrpc.client.Fault, xmlrpc.client.ProtocolError) as error:
                    raise Refused(str(error)) from None
            if not good:
                raise Refused(value)
            return str(value)

        return call
