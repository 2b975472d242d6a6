"""The plugin `userdb`: the rules of user names and passwords, and the exact texts of refusals."""

import hashlib
import json
import logging
import os
import subprocess
import sys

import pytest

from imframework.api.errors import ConfigurationError, Unauthenticated
from imframework.api.model import Credential
from imframework_plugins.auth.userdb import declaration
from imframework_plugins.auth.userdb.passwords import PasswordHash
from imframework_plugins.auth.userdb.provider import UserDatabase

INVALID = "Invalid InfrastructureManager credentials"


def item(kind="InfrastructureManager", **fields):
    return Credential("im", kind, fields)


def refusal(provider, **fields):
    with pytest.raises(Unauthenticated) as caught:
        provider.authenticate(item(**fields))
    return str(caught.value)


def cheap_hash(password):
    return str(PasswordHash.make(password, "pbkdf2-sha256", (10,)))


class TestWithoutAFile:
    def test_a_name_and_password_are_a_user_of_their_own(self):
        provider = UserDatabase({})

        one, two = (provider.authenticate(item(username="ana", password=p)) for p in ("one", "two"))

        assert (one.username, one.subject, one.admin) == ("ana", "ana\0one", False)
        assert one.subject != two.subject

    def test_type_names_are_compared_without_case(self):
        assert UserDatabase({}).authenticate(item("infrastructuremanager", username="u", password="p")).username == "u"

    def test_items_of_other_types_and_with_tokens_are_not_its_own(self):
        provider = UserDatabase({"FORCE_OIDC_AUTH": True})

        assert provider.authenticate(item("OpenStack", username="u", password="p")) is None
        assert provider.authenticate(item(token="t", username="u", password="p")) is None

    def test_refusals_are_worded_as_clients_expect(self):
        provider = UserDatabase({})

        assert refusal(provider) == "No username nor token for the InfrastructureManager."
        assert refusal(provider, token="", password="p") == "No username nor token for the InfrastructureManager."
        assert refusal(provider, username="__OPENID__ana", password="p") == (
            "Invalid username used for the InfrastructureManager."
        )
        assert refusal(provider, username="ana") == INVALID
        assert refusal(provider, username="ana", password="") == INVALID
        assert refusal(UserDatabase({"FORCE_OIDC_AUTH": True}), username="ana", password="p") == (
            "No token provided for the InfrastructureManager."
        )

    def test_a_name_cannot_spell_the_subject_of_another_user(self):
        assert refusal(UserDatabase({}), username="ana\0one", password="two") == INVALID

    def test_it_never_waits(self):
        assert UserDatabase({}).blocking is False


class TestAdministrators:
    def test_are_those_of_admin_user_with_their_password(self):
        provider = UserDatabase(
            {"ADMIN_USER": ({"username": "root", "password": "p"}, {"username": "ana", "password": "q"})}
        )

        assert provider.authenticate(item(username="root", password="p")).admin
        assert provider.authenticate(item(username="ana", password="q")).admin
        assert not provider.authenticate(item(username="root", password="q")).admin

    def test_are_checked_against_the_file_like_everybody(self, tmp_path):
        (tmp_path / "users").write_text('{"users": []}')
        provider = UserDatabase({"ADMIN_USER": ({"username": "root", "password": "p"},), "USER_DB": tmp_path / "users"})

        assert refusal(provider, username="root", password="p") == INVALID

    def test_with_tokens_are_left_to_others(self):
        entry = {"username": "__OPENID__ana", "password": "https://issuer/sub", "token": ""}

        provider = UserDatabase({"ADMIN_USER": (entry,)})

        assert refusal(provider, username="__OPENID__ana", password="https://issuer/sub").startswith("Invalid username")

    def test_may_not_ask_to_be_one(self):
        assert not UserDatabase({}).authenticate(item(username="u", password="p", admin="true")).admin

    @pytest.mark.parametrize("entry", ["root", {"username": "root"}, {"username": "root", "password": 1}, None])
    def test_malformed_are_a_configuration_error(self, entry):
        with pytest.raises(ConfigurationError, match="ADMIN_USER: entry 1"):
            UserDatabase({"ADMIN_USER": (entry,)})


class TestFile:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "users.json"

    @pytest.fixture
    def provider(self, path):
        self.write(path, ana="correct horse", zoë="contraseña")
        return UserDatabase({"USER_DB": path})

    def write(self, path, **users):
        path.write_text(json.dumps({"users": [{"username": u, "password": p} for u, p in users.items()]}))

    def test_lets_in_who_stands_in_it_and_nobody_else(self, provider):
        assert provider.authenticate(item(username="ana", password="correct horse")).username == "ana"
        assert provider.authenticate(item(username="zoë", password="contraseña")).username == "zoë"
        assert refusal(provider, username="ana", password="correct hors") == INVALID
        assert refusal(provider, username="Ana", password="correct horse") == INVALID
        assert refusal(provider, username="bob", password="correct horse") == INVALID

    def test_is_read_again_when_it_is_replaced(self, provider, path, tmp_path):
        self.write(tmp_path / "new", bob="builder")
        os.replace(tmp_path / "new", path)

        assert provider.authenticate(item(username="bob", password="builder")).username == "bob"
        assert refusal(provider, username="ana", password="correct horse") == INVALID

    def test_is_read_again_when_it_is_written_over_with_the_same_size_and_time(self, provider, path):
        before = path.stat()
        content = path.read_text()
        path.write_text(content.replace("ana", "eva"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

        assert path.stat().st_size == before.st_size
        assert provider.authenticate(item(username="eva", password="correct horse")).username == "eva"
        assert refusal(provider, username="ana", password="correct horse") == INVALID

    def test_that_did_not_change_is_not_read_again(self, provider, monkeypatch):
        monkeypatch.setattr("imframework_plugins.auth.userdb.users._SETTLING", -1)
        provider.authenticate(item(username="ana", password="correct horse"))
        monkeypatch.delattr("imframework_plugins.auth.userdb.users.parse")

        assert provider.authenticate(item(username="ana", password="correct horse")).username == "ana"

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "it is not JSON: line 1, column 1"),
            (b'{"users": [\n{"username": "s3cret"', "it is not JSON: line 2, column 22"),
            (b"[" * 200_000, "it is not JSON that can be read"),
            (b'{"users": [' + b"9" * 5000 + b"]}", "it is not JSON that can be read"),
            (b"\xff\xfe", "it is not UTF-8 text"),
            (b"[]", 'it must be an object with an array "users"'),
            (b'{"users": {"ana": "s3cret"}}', 'it must be an object with an array "users"'),
            (b'{"users": ["s3cret"]}', 'user 1 needs a "username" and a "password"'),
            (b'{"users": [{"username": "a", "password": "p"}, {"username": "b"}]}', "user 2 needs"),
            (b'{"users": [{"username": "a", "password": 1}]}', "user 1 needs"),
            (b'{"users": [{"username": "a", "password": "\\ud800"}]}', "user 1 is not Unicode text"),
            (b'{"users": [{"username": "a", "password": "$s3cret$"}]}', "the password of user 1 is not of the form"),
        ],
    )
    def test_that_is_malformed_lets_nobody_in_and_the_log_says_why_once(self, path, content, problem, caplog):
        path.write_bytes(content)
        provider = UserDatabase({"USER_DB": path})

        assert refusal(provider, username="a", password="p") == INVALID
        assert refusal(provider, username="a", password="p") == INVALID
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert problem in caplog.text
        assert "s3cret" not in caplog.text

    def test_that_is_missing_lets_nobody_in_until_it_comes(self, path, caplog):
        caplog.set_level(logging.INFO)
        provider = UserDatabase({"USER_DB": path})
        assert refusal(provider, username="ana", password="p") == INVALID
        assert refusal(provider, username="ana", password="p") == INVALID

        self.write(path, ana="p")

        assert provider.authenticate(item(username="ana", password="p")).username == "ana"
        path.unlink()
        assert refusal(provider, username="ana", password="p") == INVALID
        assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "ERROR"]
        assert "No such file or directory" in caplog.text

    def test_does_not_concern_items_with_tokens(self, path):
        assert UserDatabase({"USER_DB": path}).authenticate(item(token="t")) is None

    def test_that_is_a_pipe_or_directory_is_refused_without_waiting(self, path, tmp_path):
        os.mkfifo(path)

        assert refusal(UserDatabase({"USER_DB": path}), username="ana", password="p") == INVALID
        assert refusal(UserDatabase({"USER_DB": tmp_path}), username="ana", password="p") == INVALID


class TestHashesInTheFile:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "users.json"

    def write(self, path, *users):
        path.write_text(json.dumps({"users": [{"username": u, "password": p} for u, p in users]}))

    def test_stand_for_their_password(self, path):
        self.write(path, ("ana", cheap_hash("one")), ("ana", cheap_hash("two")), ("bob", "plain"), ("eva", "$5.00"))
        provider = UserDatabase({"USER_DB": path})

        for username, password in [("ana", "one"), ("ana", "two"), ("bob", "plain"), ("eva", "$5.00")]:
            for _ in range(2):
                assert provider.authenticate(item(username=username, password=password)).username == username
        assert refusal(provider, username="ana", password="three") == INVALID
        assert refusal(provider, username="bob", password="one") == INVALID
        assert refusal(provider, username="eve", password="one") == INVALID

    def test_are_no_passwords_themselves(self, path):
        text = cheap_hash("one")
        self.write(path, ("ana", text))

        assert refusal(UserDatabase({"USER_DB": path}), username="ana", password=text) == INVALID

    def test_make_it_wait_only_while_they_are_there(self, path):
        self.write(path, ("ana", "plain"))
        provider = UserDatabase({"USER_DB": path})
        assert provider.blocking is False

        self.write(path, ("ana", cheap_hash("one")))
        assert provider.blocking is True

    def test_are_worked_out_once_for_a_good_password_and_again_after_a_change(self, path, monkeypatch):
        monkeypatch.setattr("imframework_plugins.auth.userdb.users._SETTLING", -1)
        work = []
        verify = PasswordHash.verify
        monkeypatch.setattr(PasswordHash, "verify", lambda self, password: work.append(1) or verify(self, password))
        self.write(path, ("ana", cheap_hash("one")))
        provider = UserDatabase({"USER_DB": path})

        for _ in range(3):
            provider.authenticate(item(username="ana", password="one"))
        assert len(work) == 1
        self.write(path, ("ana", cheap_hash("two")))
        assert refusal(provider, username="ana", password="one") == INVALID

    def test_cost_unknown_names_the_same_work(self, path, monkeypatch):
        work = []
        monkeypatch.setattr(PasswordHash, "verify", lambda self, password: bool(work.append(1)))
        self.write(path, ("ana", cheap_hash("one")))
        provider = UserDatabase({"USER_DB": path})

        refusal(provider, username="ana", password="x")
        refusal(provider, username="nobody", password="x")
        assert len(work) == 2


class TestPasswordHash:
    def test_reads_what_it_prints(self):
        made = PasswordHash.make("päss", "scrypt", (4, 8, 1))

        assert PasswordHash.parse(str(made)) == made
        assert made.verify("päss")
        assert not made.verify("pass")

    @pytest.mark.parametrize(
        ("text", "password"),
        [  # made with passlib's published examples and with hashlib
            ("$pbkdf2-sha256$6400$0ZrzXitFSGltTQnBWOsdAw$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M", "password"),
            ("$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E", "password"),
        ],
    )
    def test_reads_hashes_made_by_others(self, text, password):
        assert PasswordHash.parse(text).verify(password)

    def test_is_what_hashlib_makes(self):
        made = PasswordHash.make("p", "pbkdf2-sha512", (3,))

        assert made.digest == hashlib.pbkdf2_hmac("sha512", b"p", made.salt, 3, 32)

    @pytest.mark.parametrize(
        "text",
        [
            "$1$salt$hash",
            "$scrypt$ln=40,r=8,p=1$c2FsdHNhbHQ$" + "A" * 43,
            "$scrypt$ln=20,r=32,p=1$c2FsdHNhbHQ$" + "A" * 43,
            "$scrypt$ln=0,r=8,p=1$c2FsdHNhbHQ$" + "A" * 43,
            "$scrypt$ln=4,r=8$c2FsdHNhbHQ$" + "A" * 43,
            "$pbkdf2-sha256$99999999$c2FsdHNhbHQ$" + "A" * 43,
            "$pbkdf2-md5$1$c2FsdHNhbHQ$" + "A" * 43,
            "$pbkdf2-sha256$1$c2Fs$" + "A" * 43,
            "$pbkdf2-sha256$1$c2FsdHNhbHQ$" + "A" * 10,
            "$pbkdf2-sha256$1$c2FsdHNhbHQ$" + "A" * 41,
            "$scrypt$",
        ],
    )
    def test_refuses_what_it_does_not_know_or_would_take_too_long(self, text):
        with pytest.raises(ValueError, match=r"^(is|has|needs) ") as caught:
            PasswordHash.parse(text)
        assert "c2Fs" not in str(caught.value)


def test_the_declaration_names_the_options_it_wants_to_be_given():
    assert [option.name for option in declaration.info.options] == ["USER_DB", "ADMIN_USER", "FORCE_OIDC_AUTH"]
    assert UserDatabase.info is declaration.info


class TestTheHashingProgram:
    def run(self, typed):
        command = [sys.executable, "-W", "ignore", "-m", "imframework_plugins.auth.userdb"]
        return subprocess.run(command, input=typed, capture_output=True, text=True, start_new_session=True, timeout=60)

    def test_prints_a_hash_of_what_is_typed_twice(self):
        assert PasswordHash.parse(self.run("correct horse\ncorrect horse\n").stdout.strip()).verify("correct horse")

    @pytest.mark.parametrize("typed", ["one\ntwo\n", "\n\n"])
    def test_refuses_what_differs_or_is_empty(self, typed):
        ended = self.run(typed)

        assert (ended.returncode, ended.stdout) == (1, "")
