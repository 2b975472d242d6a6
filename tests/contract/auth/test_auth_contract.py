"""The contract of auth plugins catches what it is there for: a broken provider fails its test, a good one none."""

import inspect
import itertools
import logging
import threading

import pytest

from imframework.api.auth import AuthProvider
from imframework.api.errors import Unauthenticated
from imframework.api.model import Credential, Identity
from imframework.api.plugin import PluginInfo, PluginKind
from imframework.testing.auth import AuthContract

IM = "InfrastructureManager"
GOOD = Credential("im", IM, {"username": "ana", "password": "correct horse"})
BAD = Credential("im", IM, {"username": "ana", "password": "wrong horse"})
FOREIGN = Credential("cloud", "OpenStack", {"username": "u", "password": "cloud-password"})
INFO = PluginInfo(name="example", kind=PluginKind.AUTH, version="1", api_version=(0, 1))


class Good(AuthProvider):
    """A provider that keeps the contract."""

    info = INFO
    blocking = False

    def __init__(self):
        super().__init__({})
        self.users = {("ana", "correct horse")}

    def authenticate(self, item):
        if item.type != IM:
            return None
        pair = (item.get("username"), item.get("password"))
        if pair not in self.users:
            raise Unauthenticated("Invalid credentials.")
        return Identity(pair[0], "\0".join(pair))


class LetsEverybodyIn(Good):
    def authenticate(self, item):
        return Identity("somebody", "somebody") if item.type == IM else None


class LetsNobodyIn(Good):
    def authenticate(self, item):
        if item.type != IM:
            return
        raise Unauthenticated("Invalid credentials.")


class FailsInsteadOfRefusing(Good):
    def authenticate(self, item):
        try:
            return super().authenticate(item)
        except Unauthenticated:
            raise PermissionError("no") from None


class JudgesEverything(Good):
    def authenticate(self, item):
        return super().authenticate(Credential(item.id, IM, item.fields))


class LosesItems(Good):
    def expand(self, items):
        return [item for item in items if item.type == IM]


class TakesNobodyForSomebody(Good):
    def authenticate(self, item):
        return super().authenticate(item) if item.type != IM or item.fields else Identity("nobody", "nobody")


class BelievesTheClient(Good):
    def authenticate(self, item):
        identity = super().authenticate(item)
        return identity and Identity(identity.username, identity.subject, admin=item.get("admin") == "true")


class ChangesItsMind(Good):
    calls = itertools.count()

    def authenticate(self, item):
        identity = super().authenticate(item)
        return identity and Identity(identity.username, f"{identity.subject}{next(self.calls)}")


class StumblesOverASecondThread(Good):
    """Takes its time in any thread but the first, and fails if another one comes meanwhile."""

    def __init__(self):
        super().__init__()
        self.busy = threading.Lock()
        self.stumbled = threading.Event()

    def authenticate(self, item):
        if threading.current_thread() is threading.main_thread():
            return super().authenticate(item)
        if not self.busy.acquire(blocking=False):
            self.stumbled.set()
            raise RuntimeError("called twice at once")
        try:
            self.stumbled.wait(timeout=30)
            return super().authenticate(item)
        finally:
            self.busy.release()


class EchoesThePassword(Good):
    def authenticate(self, item):
        try:
            return super().authenticate(item)
        except Unauthenticated:
            raise Unauthenticated(f"Wrong password: {item.get('password')}") from None


class EchoesThePasswordInTheCause(Good):
    def authenticate(self, item):
        try:
            return super().authenticate(item)
        except Unauthenticated:
            raise Unauthenticated("Wrong password.") from ValueError(item.fields)


class LogsThePassword(Good):
    def authenticate(self, item):
        logging.getLogger("example").debug("judging %s", dict(item.fields))
        return super().authenticate(item)


class NamesUsersByTheirSecret(Good):
    def authenticate(self, item):
        identity = super().authenticate(item)
        return identity and Identity(identity.subject.replace("\0", "/"), identity.subject)


class NeverForgets(Good):
    def __init__(self):
        super().__init__()
        self.known = {}

    def authenticate(self, item):
        key = str(sorted(item.fields.items()))
        if key not in self.known:
            self.known[key] = super().authenticate(item)
        return self.known[key]


class IsAsynchronous(Good):
    async def authenticate(self, item):
        return super().authenticate(item)


TESTS = [name for name in vars(AuthContract) if name.startswith("test_")]


def run(name, provider, caplog):
    """One test of the contract on one provider."""
    test = getattr(AuthContract(), name)
    fixtures = {
        "provider": provider,
        "accepted": [GOOD],
        "refused": [BAD],
        "foreign": [FOREIGN],
        "revoke": lambda item: provider.users.clear(),
        "caplog": caplog,
    }
    test(**{parameter: fixtures[parameter] for parameter in inspect.signature(test).parameters})


@pytest.mark.parametrize("name", TESTS)
def test_a_good_provider_passes(name, caplog):
    run(name, Good(), caplog)


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        (IsAsynchronous, "test_is_a_well_formed_plugin"),
        (LetsNobodyIn, "test_accepts_good_items"),
        (LetsEverybodyIn, "test_refuses_bad_items"),
        (FailsInsteadOfRefusing, "test_refuses_bad_items"),
        (JudgesEverything, "test_leaves_items_of_others_alone"),
        (LosesItems, "test_leaves_items_of_others_alone"),
        (TakesNobodyForSomebody, "test_does_not_take_an_empty_item_for_somebody"),
        (BelievesTheClient, "test_lets_nobody_make_himself_administrator"),
        (ChangesItsMind, "test_answers_the_same_every_time"),
        (StumblesOverASecondThread, "test_answers_several_threads_at_once"),
        (EchoesThePassword, "test_shows_no_secret"),
        (EchoesThePasswordInTheCause, "test_shows_no_secret"),
        (LogsThePassword, "test_shows_no_secret"),
        (NamesUsersByTheirSecret, "test_shows_no_secret"),
        (NeverForgets, "test_notices_that_an_item_is_good_no_longer"),
    ],
)
def test_a_broken_provider_is_caught(provider, name, caplog):
    with pytest.raises((AssertionError, pytest.fail.Exception, Unauthenticated, PermissionError, RuntimeError)):
        run(name, provider(), caplog)
