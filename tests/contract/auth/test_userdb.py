"""The plugin `userdb` keeps the contract of auth plugins: without a file, with a file, and with hashes in it."""

import json

import pytest

from imframework.api.model import Credential
from imframework.testing.auth import AuthContract
from imframework_plugins.auth.userdb.passwords import PasswordHash
from imframework_plugins.auth.userdb.provider import UserDatabase


def item(**fields):
    return Credential("im", "InfrastructureManager", fields)


class TestWithoutAFile(AuthContract):
    @pytest.fixture
    def provider(self):
        return UserDatabase({"USER_DB": None, "ADMIN_USER": ({"username": "root", "password": "geheimnis"},)})

    @pytest.fixture
    def accepted(self):
        return [
            item(username="ana", password="correct horse"),
            item(username="ana", password="another one"),
            item(username="root", password="geheimnis"),
        ]

    @pytest.fixture
    def refused(self):
        return [
            item(username="__OPENID__ana", password="https://issuer/ana-sub"),
            item(password="without a name"),
            item(username="ana"),
            item(username="ana", password=""),
            item(username="a\0na", password="nul in the name"),
        ]

    @pytest.fixture
    def foreign(self):
        return [item(token="eyJhbGciOi.x.y"), Credential("c", "OpenStack", {"username": "u", "password": "pppp"})]


class TestWithAFile(AuthContract):
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "users.json"
        path.write_text(json.dumps({"users": [{"username": "ana", "password": self.stored("correct horse")}]}))
        return path

    def stored(self, password):
        return password

    @pytest.fixture
    def provider(self, path):
        return UserDatabase({"USER_DB": path})

    @pytest.fixture
    def accepted(self):
        return [item(username="ana", password="correct horse")]

    @pytest.fixture
    def refused(self):
        return [item(username="ana", password="wrong horse"), item(username="bob", password="correct horse")]

    @pytest.fixture
    def revoke(self, path):
        return lambda _: path.write_text('{"users": []}')


class TestWithHashesInTheFile(TestWithAFile):
    def stored(self, password):
        return str(PasswordHash.make(password, "pbkdf2-sha256", (10,)))
