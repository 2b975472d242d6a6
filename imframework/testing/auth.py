"""The conformance suite of auth plugins: inherit from `AuthContract` and say which items are good and bad.

::

    class TestMyProvider(AuthContract):
        @pytest.fixture
        def provider(self):
            return MyProvider({"MY_OPTION": "value"})

        @pytest.fixture
        def accepted(self):
            return [Credential("im", "InfrastructureManager", {"username": "u", "password": "p"})]

        @pytest.fixture
        def refused(self):
            return [Credential("im", "InfrastructureManager", {"username": "u", "password": "wrong"})]
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from imframework.api.auth import AuthProvider
from imframework.api.errors import Unauthenticated
from imframework.api.model import Credential, Identity
from imframework.api.plugin import PluginKind

THREADS = 8
ROUNDS = 5


class AuthContract:
    """What every auth plugin must do. Override the fixtures; add tests of your own beside them."""

    @pytest.fixture
    def provider(self) -> AuthProvider:
        """The provider to test, ready to judge."""
        raise NotImplementedError("Override the fixture `provider`.")

    @pytest.fixture
    def accepted(self) -> Sequence[Credential]:
        """Items that it must accept; at least one."""
        raise NotImplementedError("Override the fixture `accepted`.")

    @pytest.fixture
    def refused(self) -> Sequence[Credential]:
        """Items that it judges and must refuse; at least one. Give them secrets that are no everyday words."""
        raise NotImplementedError("Override the fixture `refused`.")

    @pytest.fixture
    def foreign(self) -> Sequence[Credential]:
        """Items that are none of its business. Add the InfrastructureManager items it leaves to others."""
        return [Credential("cloud", "OpenStack", {"username": "cloud-user", "password": "cloud-password"})]

    @pytest.fixture
    def revoke(self) -> Callable[[Credential], None] | None:
        """Makes an accepted item a refused one behind the provider's back (a changed file, a revoked token).

        None, the default, if that cannot be arranged: the test that needs it is skipped.
        """
        return None

    def test_is_a_well_formed_plugin(self, provider: AuthProvider) -> None:
        assert provider.info.kind is PluginKind.AUTH
        assert type(provider).faults() == []
        assert isinstance(provider.blocking, bool)

    def test_accepts_good_items(self, provider: AuthProvider, accepted: Sequence[Credential]) -> None:
        assert accepted, "give at least one item that is accepted"
        for item in accepted:
            identity = provider.authenticate(item)
            assert isinstance(identity, Identity)
            assert identity.username
            assert identity.subject

    def test_refuses_bad_items(self, provider: AuthProvider, refused: Sequence[Credential]) -> None:
        assert refused, "give at least one item that is refused"
        for item in refused:
            with pytest.raises(Unauthenticated):
                provider.authenticate(item)

    def test_leaves_items_of_others_alone(self, provider: AuthProvider, foreign: Sequence[Credential]) -> None:
        assert [provider.authenticate(item) for item in foreign] == [None] * len(foreign)
        assert [item for item in provider.expand(foreign) if item in foreign] == list(foreign)

    def test_does_not_take_an_empty_item_for_somebody(self, provider: AuthProvider) -> None:
        assert not isinstance(_judge(provider, Credential("im", "InfrastructureManager", {})), Identity)

    def test_lets_nobody_make_himself_administrator(
        self, provider: AuthProvider, accepted: Sequence[Credential]
    ) -> None:
        for item in accepted:
            asking = Credential(item.id, item.type, {**item.fields, "admin": "true"})
            assert _judge(provider, asking) == _judge(provider, item)

    def test_answers_the_same_every_time(
        self, provider: AuthProvider, accepted: Sequence[Credential], refused: Sequence[Credential]
    ) -> None:
        items = [*accepted, *refused]
        first = [_judge(provider, item) for item in items]

        assert [_judge(provider, item) for item in reversed(items)] == first[::-1]

    def test_answers_several_threads_at_once(
        self, provider: AuthProvider, accepted: Sequence[Credential], refused: Sequence[Credential]
    ) -> None:
        items = [*accepted, *refused]
        alone = [_judge(provider, item) for item in items]
        together = threading.Barrier(THREADS)

        def rounds() -> list[list[Identity | str | None]]:
            together.wait(timeout=60)
            return [[_judge(provider, item) for item in items] for _ in range(ROUNDS)]

        with ThreadPoolExecutor(THREADS) as pool:
            answers = [pool.submit(rounds) for _ in range(THREADS)]
        assert all(answer == alone for future in answers for answer in future.result())

    def test_shows_no_secret(
        self,
        provider: AuthProvider,
        accepted: Sequence[Credential],
        refused: Sequence[Credential],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            for item in [*accepted, *refused]:
                shown = _shown(provider, item)
                for secret in _secrets(item):
                    assert secret not in shown, "an answer shows a secret"
        for item in [*accepted, *refused]:
            for secret in _secrets(item):
                assert secret not in caplog.text, "the log shows a secret"

    def test_notices_that_an_item_is_good_no_longer(
        self,
        provider: AuthProvider,
        accepted: Sequence[Credential],
        revoke: Callable[[Credential], None] | None,
    ) -> None:
        if revoke is None:
            pytest.skip("the fixture `revoke` is not overridden")
        item = accepted[0]
        assert isinstance(_judge(provider, item), Identity)

        revoke(item)

        assert not isinstance(_judge(provider, item), Identity)


def _judge(provider: AuthProvider, item: Credential) -> Identity | str | None:
    """The identity, None, or the text of the refusal."""
    try:
        return provider.authenticate(item)
    except Unauthenticated as error:
        return str(error)


def _shown(provider: AuthProvider, item: Credential) -> str:
    """Everything that somebody may get to read of a judgement: reprs, the error, and the errors behind it."""
    try:
        return repr(provider.authenticate(item))
    except Unauthenticated as error:
        return "\n".join(f"{link!r} {link}" for link in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _secrets(item: Credential) -> list[str]:
    """The values that must not be shown: all but names, and but those too short to be told from other text."""
    return [value for key, value in item.fields.items() if key not in {"username", "host"} and len(value) > 3]
