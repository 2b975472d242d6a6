"""The plugin `rest` keeps the contract of front ends."""

import http.client
from urllib.parse import urlsplit

import pytest

from imframework.testing.frontend import FrontEndContract, Refused, http_options
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
        def make(service, **how):
            others = {option.name: None for option in declaration.info.options} | {"REST_ROOT_PATH": "/"}
            return RestFrontEnd(service, others | http_options("REST", **how))

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
