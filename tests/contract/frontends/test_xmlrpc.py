"""The plugin `xmlrpc` keeps the contract of front ends."""

import xmlrpc.client

import pytest

from imframework.testing.frontend import FrontEndContract, Refused
from imframework.testing.service import PASSWORD
from imframework_plugins.frontends.xmlrpc.frontend import XmlRpcFrontEnd


class TestXmlRpc(FrontEndContract):
    @pytest.fixture
    def make_front_end(self):
        def make(service, *, port=0, body_limit=64 * 1024, patience=60, tls=None):
            options = {
                "XMLRCP_ADDRESS": "127.0.0.1",
                "XMLRCP_PORT": port,
                "XMLRCP_SSL": tls is not None,
                "XMLRCP_SSL_KEYFILE": tls and tls.key,
                "XMLRCP_SSL_CERTFILE": tls and tls.certificate,
                "XMLRCP_SSL_CA_CERTS": tls and tls.authorities,
                "VMINFO_JSON": False,
                "REST_MAX_BLOCKING_CALLS": 32,
                "REST_BLOCKING_CALL_TIMEOUT": 0,
                "MAX_BODY_SIZE": body_limit,
                "REQUEST_TIMEOUT": patience,
                "TRUSTED_PROXIES": (),
            }
            return XmlRpcFrontEnd(service, options)

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
