"""The plugin `rest` keeps the contract of front ends."""

import http.client
from urllib.parse import urlsplit

import pytest

from imframework.testing.frontend import FrontEndContract, Refused
from imframework.testing.service import PASSWORD
from imframework_plugins.frontends.rest import declaration
from imframework_plugins.frontends.rest.frontend import RestFrontEnd

REQUESTS = {
    "version": ("GET", "/version"),
    "state": ("GET", "/infrastructures/{}/state"),
    "create": ("POST", "/infrastructures"),
}


class TestRest(FrontEndContract):
    @pytest.fixture
    def make_front_end(self):
        def make(service, *, port=0, body_limit=64 * 1024, patience=60, tls=None):
            options = {option.name: None for option in declaration.info.options} | {
                "REST_ADDRESS": "127.0.0.1",
                "REST_PORT": port,
                "REST_SSL": tls is not None,
                "REST_SSL_KEYFILE": tls and tls.key,
                "REST_SSL_CERTFILE": tls and tls.certificate,
                "REST_SSL_CA_CERTS": tls and tls.authorities,
                "REST_ROOT_PATH": "/",
                "REST_MAX_BLOCKING_CALLS": 32,
                "REST_BLOCKING_CALL_TIMEOUT": 0,
                "MAX_BODY_SIZE": body_limit,
                "REQUEST_TIMEOUT": patience,
                "TRUSTED_PROXIES": (),
            }
            return RestFrontEnd(service, options)

        return make

    @pytest.fixture
    def call(self):
        def call(address, operation, *, user="", password=PASSWORD, infrastructure="", document=""):
            method, path = REQUESTS[operation]
            item = f"type = InfrastructureManager; username = {user}; password = {password}"
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
            try:
                headers = {"Authorization": item} if user else {}
                connection.request(method, path.format(infrastructure), document.encode(), headers)
                response = connection.getresponse()
                text = response.read().decode()
            finally:
                connection.close()
            if response.status != 200:
                raise Refused(text)
            return text

        return call
