"""The conformance suite of connectors: inherit from `ConnectorContract` and say how a connector is made.

::

    class TestMyConnector(ConnectorContract):
        @pytest.fixture
        def make_connector(self):
            credential = Credential("one", "MyCloud", {"host": "...", "username": "u", "password": "planted-secret"})
            return lambda: MyConnector(credential, {"MY_OPTION": "value"})

Everything is made for real, in the cloud that the credential names, and deleted again whatever happens. Fixtures that
stand for something a cloud need not have (`refused`, `given`, `altered`, `silent`) skip their test until overridden.

Names of capabilities: ``start``, ``stop``, ``reboot``, ``alter``, ``snapshot``, ``images``, ``quotas``.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import pytest

from imframework.api.connector import Connector
from imframework.api.errors import CloudError, IMError, NotSupported
from imframework.api.model import (
    Access,
    Action,
    Candidate,
    Deployment,
    Features,
    Handle,
    Image,
    Interval,
    Machine,
    NetworkRequest,
    Phase,
    Quota,
    Recognition,
    Ref,
    Refusal,
    Resource,
)
from imframework.api.plugin import PluginKind
from imframework.testing.rehearsal import Rehearsal, in_order, until

MakeConnector = Callable[[], Connector]
Deploy = Callable[..., Deployment]

INFRASTRUCTURE = "c0ffee00-0000-4000-8000-000000000000"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0QyJmWGfVNHgaCeLZZKmbrmBZFhFq2eWrNQ9VhBmQ4 contract"
NO_SUCH_THING = "no-such-thing"
THREADS = 4


class ConnectorContract:
    """What every connector must do. Override the fixtures; add tests of your own beside them."""

    # --- what an author says -------------------------------------------------------------------------------

    @pytest.fixture
    def make_connector(self) -> MakeConnector:
        """Makes connectors of one and the same account. Give its credential secrets that are no everyday words."""
        raise NotImplementedError("Override the fixture `make_connector`.")

    @pytest.fixture
    def system(self) -> Features:
        """A system that the cloud can realise. Its interfaces are connected to `networks`."""
        return Features(
            "node",
            {
                "cpu.count": Interval(minimum=1),
                "memory.size": Interval(minimum=512 * 1024**2),
                "net_interface.0.connection": "net",
            },
        )

    @pytest.fixture
    def networks(self) -> Mapping[str, NetworkRequest]:
        """The networks of the document."""
        return {"net": NetworkRequest(Features("net", {}))}

    @pytest.fixture
    def patience(self) -> float:
        """How long one thing may take to come or to go, in seconds; for real clouds some minutes."""
        return 30.0

    @pytest.fixture
    def refused(self) -> Features | None:
        """A system that this cloud can't realise with any image."""
        return None

    @pytest.fixture
    def given(self) -> Mapping[str, NetworkRequest] | None:
        """Instead of `networks`: networks with a `provider_id` that exist in the cloud already."""
        return None

    @pytest.fixture
    def altered(self) -> Features | None:
        """Instead of `system`: the same with another size."""
        return None

    @pytest.fixture
    def silent(self) -> Connector | None:
        """A connector whose cloud takes connections and never answers, with short time-outs if it has any."""
        return None

    @pytest.fixture
    def secrets(self, make_connector: MakeConnector) -> Sequence[str]:
        """Values of the credential that must never be shown: those of its keys that are declared secret."""
        connector = make_connector()
        secret = {key.name for key in connector.info.credential_keys if key.secret}
        return [value for name, value in connector.credential.fields.items() if name in secret and value]

    # --- what the tests use --------------------------------------------------------------------------------

    @pytest.fixture
    def deploy(self, make_connector: MakeConnector, system: Features, networks: Mapping[str, NetworkRequest]) -> Deploy:
        """Makes deployments of the machines with these numbers, of `system` and `networks` or others."""
        return deployer(make_connector(), system, networks)

    @pytest.fixture
    def rehearsal(self, make_connector: MakeConnector, patience: float) -> Iterator[Rehearsal]:
        """Makes and keeps things; they are deleted after the test."""
        rehearsal = Rehearsal(make_connector(), patience)
        try:
            yield rehearsal
        finally:
            rehearsal.clean()

    # --- shape ---------------------------------------------------------------------------------------------

    def test_is_a_well_formed_plugin(self, make_connector: MakeConnector) -> None:
        connector = make_connector()
        assert connector.info.kind is PluginKind.CONNECTOR
        assert type(connector).faults() == []
        assert connector.kinds, "it handles no kinds of resource"
        for name, kind in connector.kinds.items():
            assert kind.name == name
            assert kind.recognised_by in Recognition
            assert min(kind.window, kind.lag) >= 0
        assert isinstance(connector.endpoint, str)

    def test_is_made_without_contacting_the_cloud(
        self, make_connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contacts: list[object] = []

        def refuse(*arguments: object, **named: object) -> NoReturn:
            contacts.append(arguments)
            raise OSError("the constructor must not use the network")

        with monkeypatch.context() as patch:
            for owner, name in (
                (socket, "getaddrinfo"), (socket, "gethostbyname"), (socket, "create_connection"),
                (socket.socket, "connect"), (socket.socket, "connect_ex"),
            ):  # fmt: skip
                patch.setattr(owner, name, refuse)
            try:
                make_connector()
            except OSError:
                assert contacts, "it cannot be made at all"
        assert not contacts

    def test_says_why_it_lacks_a_feature(self, make_connector: MakeConnector) -> None:
        capabilities = make_connector().capabilities()
        features = [capability.feature for capability in capabilities]
        assert sorted(set(features)) == sorted(features), "a feature is listed twice"
        for capability in capabilities:
            assert capability.supported or capability.reason.strip(), f"no reason why {capability.feature} is missing"

    def test_lists_images_and_quotas_if_it_says_so(self, make_connector: MakeConnector) -> None:
        connector = make_connector()
        if _can(connector, "images"):
            images = connector.images({})
            assert all(isinstance(image, Image) and image.uri and image.name for image in images)
            assert len({image.uri for image in images}) == len(images)
        else:
            with pytest.raises(NotSupported):
                connector.images({})
        if _can(connector, "quotas"):
            quotas = connector.quotas()
            assert quotas
            assert all(isinstance(quota, Quota) and quota.limit >= -1 for quota in quotas.values())
        else:
            with pytest.raises(NotSupported):
                connector.quotas()

    # --- candidates ----------------------------------------------------------------------------------------

    def test_offers_candidates_cheapest_first(self, make_connector: MakeConnector, system: Features) -> None:
        candidates = _candidates(make_connector().candidates(system))
        assert candidates, "it can't realise the system of the contract: override the fixture `system`"
        prices = [candidate.price for candidate in candidates if candidate.price is not None]
        assert prices == sorted(prices)
        wanted = system.texts("disk.0.image.url")
        for candidate in candidates:
            assert not wanted or candidate.image in wanted
            for size in ("cpu.count", "memory.size"):
                value = candidate.facts.get(size)
                assert isinstance(value, int | float), f"a candidate does not say its {size}"
                assert system.interval(size).admits(value)

    def test_gives_a_reason_for_each_refusal(self, make_connector: MakeConnector, refused: Features | None) -> None:
        if refused is None:
            pytest.skip("the fixture `refused` is not overridden")
        answers = make_connector().candidates(refused)
        assert answers, "neither a candidate nor a reason"
        for answer in answers:
            assert isinstance(answer, Refusal)
            assert answer.reason.strip(), f"image {answer.image} is refused without a reason"

    def test_judges_images_of_other_clouds(self, make_connector: MakeConnector, system: Features) -> None:
        known = system.texts("disk.0.image.url")
        foreign = "nowhere://cloud.invalid/image"
        mixed = replace(system, values={**system.values, "disk.0.image.url": (foreign, *known)})
        answers = make_connector().candidates(mixed)
        assert all(isinstance(answer, Candidate | Refusal) for answer in answers)
        assert {answer.image for answer in answers} <= {foreign, *known}
        assert not known or {answer.image for answer in _candidates(answers)} >= set(known)

    # --- plans ---------------------------------------------------------------------------------------------

    def test_plans_each_machine_once(self, make_connector: MakeConnector, deploy: Deploy) -> None:
        connector = make_connector()
        deployment = deploy(0, 1, 5)
        plan = connector.plan(deployment)
        numbers = {machine.number for machine in deployment.machines}
        assert sorted(resource.machine for resource in plan if resource.machine is not None) == sorted(numbers)
        keys = [resource.key for resource in plan]
        assert len(set(keys)) == len(keys), "two resources have one key"
        for resource in plan:
            assert resource.kind in connector.kinds, f"{resource.key} is of an undeclared kind"
            assert resource.name, f"{resource.key} has no name"
            assert resource.owners <= numbers, f"{resource.key} belongs to machines that nobody wants"
            assert resource.machine is None or resource.owners == {resource.machine}
            assert resource.adopted == bool(resource.provider_id), f"{resource.key}: given, and yet without provider id"

    def test_plans_the_same_each_time(self, make_connector: MakeConnector, deploy: Deploy) -> None:
        deployment = deploy(0, 1)
        assert make_connector().plan(deployment) == make_connector().plan(deployment)

    def test_keeps_what_stays_the_same_when_machines_come_and_go(
        self, make_connector: MakeConnector, deploy: Deploy
    ) -> None:
        connector = make_connector()
        before = {resource.key: resource for resource in connector.plan(deploy(0, 1))}
        grown = {resource.key: resource for resource in connector.plan(deploy(0, 1, 2))}
        shrunk = {resource.key: resource for resource in connector.plan(deploy(1))}
        assert set(before) <= set(grown), "an added machine makes others' resources disappear"
        assert {key for key, resource in before.items() if 1 in resource.owners} <= set(shrunk)
        for later in (grown, shrunk):
            for key in set(before) & set(later):
                assert replace(later[key], owners=before[key].owners) == before[key], f"{key} is planned differently"

    def test_plans_what_can_be_carried_out(self, make_connector: MakeConnector, deploy: Deploy) -> None:
        needed: dict[str, set[str]] = {}
        by_key: dict[str, Resource] = {}
        for resource in in_order(make_connector().plan(deploy(0, 1))):
            direct = {dependency.resource for dependency in resource.depends_on}
            needed[resource.key] = direct.union(*(needed[key] for key in direct))
            by_key[resource.key] = resource
        for resource in by_key.values():
            for reference in _references(resource.spec):
                assert reference.resource in needed[resource.key], (
                    f"{resource.key} refers to {reference.resource} without waiting for it"
                )
            assert not resource.goes_with or resource.goes_with in by_key

    def test_plans_what_can_be_stored(
        self, make_connector: MakeConnector, deploy: Deploy, secrets: Sequence[str]
    ) -> None:
        for resource in make_connector().plan(deploy(0)):
            text = json.dumps(resource.spec, default=_as_reference)
            assert not _shown_secrets(text, secrets), f"the spec of {resource.key} holds a secret"

    def test_adopts_what_is_given(
        self,
        make_connector: MakeConnector,
        deploy: Deploy,
        rehearsal: Rehearsal,
        given: Mapping[str, NetworkRequest] | None,
    ) -> None:
        if given is None:
            pytest.skip("the fixture `given` is not overridden")
        plan = make_connector().plan(deploy(0, networks=given))
        adopted = [resource for resource in plan if resource.adopted]
        wanted = {network.features.text("provider_id") for network in given.values()} - {""}
        assert wanted <= {resource.provider_id for resource in adopted}, "what is given is made anew"

        rehearsal.launch(plan)
        rehearsal.clean()

        left = rehearsal.connector.read([Handle(resource, "", resource.provider_id) for resource in adopted])
        assert [observed.phase for observed in left] == [Phase.READY] * len(adopted), "what was given is gone"

    # --- making --------------------------------------------------------------------------------------------

    def test_makes_everything_ready(self, rehearsal: Rehearsal, deploy: Deploy) -> None:
        handles = rehearsal.launch(rehearsal.connector.plan(deploy(0, 1)))
        ids = [(handle.resource.kind, handle.provider_id) for handle in handles]
        assert len(set(ids)) == len(ids), "two resources have one provider id"
        for handle in handles:
            json.dumps(dict(handle.attributes))
            facts = handle.attributes.get("facts", {})
            for name, value in facts.items():
                assert isinstance(value, str | int | float | list), f"{name} is no plain value"
            if handle.resource.machine is not None:
                assert facts, "a machine without facts"
                if access := handle.attributes.get("access"):
                    assert Access(**access).address, "an access without an address"

    def test_recognises_a_repeated_create(self, rehearsal: Rehearsal, deploy: Deploy) -> None:
        """As each kind declares: by token, by name, or by what `find` tells."""
        connector = rehearsal.connector
        for resource in in_order(connector.plan(deploy(0))):
            if resource.adopted or connector.kinds[resource.kind].recognised_by is Recognition.NONE:
                rehearsal.make(resource)
                continue
            kind, token = connector.kinds[resource.kind], uuid.uuid4().hex
            first = rehearsal.make(resource, token).provider_id
            try:
                second = rehearsal.create(rehearsal.filled(resource), token).provider_id
            except CloudError:
                assert kind.recognised_by is not Recognition.TOKEN, f"{resource.key}: a repeated token is an error"
                second = first
            if kind.recognised_by in (Recognition.TOKEN, Recognition.NAME):
                assert second == first, f"{resource.key}: the same {kind.recognised_by} makes a second one"
            self._wait_until_found(rehearsal, resource, token, {first, second})

    def test_finds_what_was_made_although_the_answer_was_lost(
        self, make_connector: MakeConnector, rehearsal: Rehearsal, deploy: Deploy
    ) -> None:
        connector = rehearsal.connector
        for resource in in_order(connector.plan(deploy(0))):
            token = uuid.uuid4().hex
            made = rehearsal.make(resource, token)
            if not resource.adopted and connector.kinds[resource.kind].recognised_by is not Recognition.NONE:
                rehearsal.connector = make_connector()  # that knows nothing of the create
                self._wait_until_found(rehearsal, resource, token, {made.provider_id})

    def test_finds_nothing_that_nobody_made(self, rehearsal: Rehearsal, deploy: Deploy) -> None:
        connector = rehearsal.connector
        for resource in in_order(connector.plan(deploy(0))):
            rehearsal.make(resource)
            if resource.adopted or connector.kinds[resource.kind].recognised_by is Recognition.NONE:
                continue
            other = replace(rehearsal.filled(resource), name=f"{resource.name}-other")
            found = connector.find(other, uuid.uuid4().hex)
            assert [observed for observed in found if observed.phase is not Phase.ABSENT] == []

    # --- reading -------------------------------------------------------------------------------------------

    def test_reads_many_in_their_order(self, rehearsal: Rehearsal, deploy: Deploy) -> None:
        handles = rehearsal.launch(rehearsal.connector.plan(deploy(0, 1, 2)))
        gone = next(handle for handle in handles if handle.resource.machine == 2)
        for handle in reversed(handles):
            if handle.resource.owners == {2}:
                rehearsal.remove(handle)
        left = [handle for handle in handles if handle.resource.owners != {2}]
        asked = [gone, *reversed(left), gone, *left, gone]

        answers = rehearsal.connector.read(asked)

        assert len(answers) == len(asked)
        for handle, observed in zip(asked, answers, strict=True):
            if handle is gone:
                assert observed.phase is Phase.ABSENT
            else:
                assert (observed.provider_id, observed.phase) == (handle.provider_id, Phase.READY)

    def test_reads_nothing_if_nothing_is_asked(self, make_connector: MakeConnector) -> None:
        assert list(make_connector().read([])) == []

    # --- deleting ------------------------------------------------------------------------------------------

    def test_deletes_for_good_and_as_often_as_asked(self, rehearsal: Rehearsal, deploy: Deploy) -> None:
        handles = [
            handle for handle in rehearsal.launch(rehearsal.connector.plan(deploy(0))) if not handle.resource.adopted
        ]
        for handle in reversed(handles):
            rehearsal.remove(handle)
            rehearsal.connector.delete(handle)  # of the absent: succeeds
        assert [observed.phase for observed in rehearsal.connector.read(handles)] == [Phase.ABSENT] * len(handles)

    # --- several at once, and one after the other ----------------------------------------------------------

    def test_serves_several_threads(self, rehearsal: Rehearsal, deploy: Deploy) -> None:
        plan = in_order(rehearsal.connector.plan(deploy(*range(THREADS))))
        shared = [resource for resource in plan if len(resource.owners) != 1]
        rehearsal.launch(shared)
        together = threading.Barrier(THREADS)

        def live(number: int) -> list[Handle]:
            mine = [resource for resource in plan if resource.owners == {number}]
            together.wait(timeout=60)
            handles = [rehearsal.make(resource) for resource in mine]
            for handle, observed in zip(handles, rehearsal.connector.read(handles), strict=True):
                assert observed.provider_id == handle.provider_id, "a thread got the answer of another"
            for handle in reversed(handles):
                rehearsal.remove(handle)
            return handles

        with ThreadPoolExecutor(THREADS) as pool:
            lives = [future.result() for future in [pool.submit(live, number) for number in range(THREADS)]]
        made = [(handle.resource.kind, handle.provider_id) for handles in lives for handle in handles]
        assert len(set(made)) == len(made), "two threads got one thing"

    def test_goes_on_with_what_another_instance_made(
        self, make_connector: MakeConnector, rehearsal: Rehearsal, deploy: Deploy
    ) -> None:
        handles = rehearsal.launch(rehearsal.connector.plan(deploy(0)))
        stored = [replace(handle, attributes=json.loads(json.dumps(dict(handle.attributes)))) for handle in handles]

        rehearsal.connector = make_connector()

        answers = rehearsal.connector.read(stored)
        assert [(seen.provider_id, seen.phase) for seen in answers] == [(it.provider_id, Phase.READY) for it in stored]
        for handle in reversed(stored):
            rehearsal.remove(handle)

    # --- machines ------------------------------------------------------------------------------------------

    def test_switches_machines_as_it_says(self, rehearsal: Rehearsal, deploy: Deploy) -> None:
        connector = rehearsal.connector
        machine = _machine(rehearsal.launch(connector.plan(deploy(0))))
        if _can(connector, "stop"):
            connector.act(machine, Action.STOP)
            machine = rehearsal.settle(machine, {Phase.STOPPED})
        if _can(connector, "start"):
            connector.act(machine, Action.START)
            machine = rehearsal.settle(machine, {Phase.READY})
        if _can(connector, "reboot"):
            connector.act(machine, Action.REBOOT)
            machine = rehearsal.settle(machine, {Phase.READY})
        for action in Action:
            if not _can(connector, action.value):
                with pytest.raises(NotSupported):
                    connector.act(machine, action)

    def test_refuses_to_touch_a_machine_that_is_not_there(self, rehearsal: Rehearsal, deploy: Deploy) -> None:
        connector = rehearsal.connector
        handles = rehearsal.launch(connector.plan(deploy(0)))
        machine = _machine(handles)
        for handle in reversed(handles):
            rehearsal.remove(handle)
        for action in Action:
            with pytest.raises(IMError):
                connector.act(machine, action)
        for handle in handles:
            if connector.kinds[handle.resource.kind].updatable:
                with pytest.raises(IMError):
                    connector.update(handle, handle.resource)

    def test_changes_the_size_of_a_machine(
        self, rehearsal: Rehearsal, deploy: Deploy, altered: Features | None
    ) -> None:
        if altered is None:
            pytest.skip("the fixture `altered` is not overridden")
        connector = rehearsal.connector
        assert _can(connector, "alter"), "`capabilities` does not say that it alters machines"
        plan, wanted = connector.plan(deploy(0)), deploy(0, system=altered)
        old = next(resource for resource in plan if resource.machine == 0)
        new = next(resource for resource in connector.plan(wanted) if resource.machine == 0)
        assert old.key == new.key, "another size is another machine"
        assert old.spec != new.spec, "the plan does not show the other size"
        assert connector.kinds[new.kind].updatable

        machine = _machine(rehearsal.launch(plan))
        new = rehearsal.filled(new)
        facts = wanted.machines[0].candidate.facts
        for _ in range(2):  # an answer may have been lost: it is asked again
            observed = connector.update(machine, new)
            changed = replace(machine, resource=new, attributes={**machine.attributes, **observed.attributes})
            changed = rehearsal.settle(changed, {Phase.READY, Phase.STOPPED})
            for size in ("cpu.count", "memory.size"):
                assert changed.attributes["facts"][size] == facts[size]
            assert changed.provider_id == machine.provider_id

        old = machine.resource  # what is refused elsewhere is brought back
        connector.update(changed, old)
        changed = rehearsal.settle(replace(changed, resource=old), {Phase.READY, Phase.STOPPED})
        for size in ("cpu.count", "memory.size"):
            assert changed.attributes["facts"][size] == machine.attributes["facts"][size]

    def test_makes_snapshots_as_it_says(self, rehearsal: Rehearsal, deploy: Deploy) -> None:
        connector = rehearsal.connector
        handles = rehearsal.launch(connector.plan(deploy(0)))
        machine = _machine(handles)
        if not _can(connector, "snapshot"):
            with pytest.raises(NotSupported):
                connector.snapshot(machine, 0, "contract")
            return
        described = connector.snapshot(machine, 0, "contract")
        assert described == connector.snapshot(machine, 0, "contract"), "an image is described differently each time"
        assert described.kind in connector.kinds, "an image is of an undeclared kind"
        assert not described.depends_on
        assert not _references(json.loads(json.dumps(dict(described.spec))))

        token = uuid.uuid4().hex
        image = rehearsal.make(described, token)
        assert "://" in str(image.attributes.get("url")), "an image without an address"
        if connector.kinds[described.kind].recognised_by in (Recognition.TOKEN, Recognition.NAME):
            try:
                again = rehearsal.create(described, token).provider_id
            except CloudError:
                again = image.provider_id
            assert again == image.provider_id, "a repeated snapshot is another one"
        for handle in reversed(handles):
            rehearsal.remove(handle)
        assert connector.read([image])[0].phase is Phase.READY, "an image goes with its machine"
        rehearsal.remove(image)
        connector.delete(image)  # of the absent: succeeds

    # --- when something is wrong ---------------------------------------------------------------------------

    def test_raises_errors_of_the_framework_only(self, rehearsal: Rehearsal, deploy: Deploy) -> None:
        for verb, error in _provoked(rehearsal, deploy):
            assert isinstance(error, IMError), f"{verb} raises {type(error).__name__}"
            assert str(error).strip(), f"{verb} fails without a word"

    def test_shows_no_secret(
        self, rehearsal: Rehearsal, deploy: Deploy, secrets: Sequence[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        if not secrets:
            pytest.skip("the credential has no secret")
        with caplog.at_level(logging.DEBUG):
            for verb, error in _provoked(rehearsal, deploy):
                shown = "\n".join(f"{link!r} {link}" for link in _chain(error))
                assert not _shown_secrets(shown, secrets), f"the error of {verb} shows a secret"
        assert not _shown_secrets(caplog.text, secrets), "the log shows a secret"
        assert not _shown_secrets(repr(rehearsal.connector), secrets)

    def test_gives_up_on_a_cloud_that_never_answers(
        self, silent: Connector | None, deploy: Deploy, patience: float
    ) -> None:
        if silent is None:
            pytest.skip("the fixture `silent` is not overridden")
        resource = next(item for item in in_order(silent.plan(deploy(0))) if not _references(item.spec))
        handle = Handle(resource, "", NO_SUCH_THING)
        calls: Mapping[str, Callable[[], object]] = {
            "create": partial(silent.create, resource, uuid.uuid4().hex),
            "read": partial(silent.read, [handle]),
            "delete": partial(silent.delete, handle),
        }
        for verb, call in calls.items():
            outcome: list[BaseException] = []
            thread = threading.Thread(target=_into, args=(call, outcome), daemon=True)
            thread.start()
            thread.join(patience)
            assert not thread.is_alive(), f"{verb} still waits after {patience:g} s"
            assert outcome, f"{verb} succeeds although nobody answers"
            assert isinstance(outcome[0], CloudError)
            assert outcome[0].retryable, f"{verb} says that asking again is useless"

    def _wait_until_found(self, rehearsal: Rehearsal, resource: Resource, token: str, ids: set[str]) -> None:
        window = rehearsal.connector.kinds[resource.kind].window
        resource = rehearsal.filled(resource)
        found: list[str] = []

        def seen() -> bool:
            answers = rehearsal.connector.find(resource, token)
            found[:] = [answer.provider_id for answer in answers if answer.phase is not Phase.ABSENT]
            return ids <= set(found)

        until(seen, window + rehearsal.patience, lambda: f"{resource.key}: found {found} instead of {sorted(ids)}")
        assert set(found) == ids, f"{resource.key}: found {found} instead of {sorted(ids)}"


def deployer(connector: Connector, system: Features, networks: Mapping[str, NetworkRequest]) -> Deploy:
    """A function that makes deployments of machines with given numbers."""

    def deploy(
        *numbers: int, system: Features = system, networks: Mapping[str, NetworkRequest] = networks
    ) -> Deployment:
        candidates = _candidates(connector.candidates(system))
        assert candidates, f"{connector.info.title} can't realise system '{system.name}'"
        machines = tuple(Machine(number, system, candidates[0], public_key=PUBLIC_KEY) for number in numbers)
        return Deployment(INFRASTRUCTURE, "contract", machines, networks)

    return deploy


def _candidates(answers: Iterable[Candidate | Refusal]) -> list[Candidate]:
    return [answer for answer in answers if isinstance(answer, Candidate)]


def _can(connector: Connector, feature: str) -> bool:
    return any(capability.feature == feature and capability.supported for capability in connector.capabilities())


def _machine(handles: Iterable[Handle]) -> Handle:
    return next(handle for handle in handles if handle.resource.machine is not None)


def _references(value: Any) -> list[Ref]:
    """All references in a spec."""
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [reference for item in value for reference in _references(item)]
    return []


def _as_reference(value: object) -> object:
    """For the JSON encoder: a reference can be stored, nothing else that is no JSON."""
    if isinstance(value, Ref):
        return {"resource": value.resource, "attribute": value.attribute}
    raise TypeError(f"a spec holds a {type(value).__name__}, which is no JSON")


def _shown_secrets(text: str, secrets: Iterable[str]) -> list[str]:
    return [f"secret number {position}" for position, secret in enumerate(secrets) if secret in text]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _into(call: Callable[[], object], outcome: list[BaseException]) -> None:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - judged by the test
        outcome.append(error)


def _provoked(rehearsal: Rehearsal, deploy: Deploy) -> list[tuple[str, BaseException]]:
    """Errors that come of asking for things that make no sense; as (verb, error)."""
    connector = rehearsal.connector
    calls: list[tuple[str, Callable[[], object]]] = []
    for resource in connector.plan(deploy(0)):
        nonsense = replace(resource, spec=_broken(resource.spec))
        handle = Handle(nonsense, uuid.uuid4().hex, NO_SUCH_THING)
        if _references(resource.spec):
            calls.append(("create", partial(rehearsal.create, nonsense, uuid.uuid4().hex)))
        calls.append(("read", partial(connector.read, [handle])))
        calls.append(("update", partial(connector.update, handle, nonsense)))
        calls.append(("delete", partial(connector.delete, handle)))
        if resource.machine is not None:
            calls.extend((action.value, partial(connector.act, handle, action)) for action in Action)
    errors: list[tuple[str, BaseException]] = []
    for verb, call in calls:
        outcome: list[BaseException] = []
        _into(call, outcome)
        errors.extend((verb, error) for error in outcome)
    return errors


def _broken(value: Any) -> Any:
    """A spec whose references lead nowhere."""
    if isinstance(value, Ref):
        return NO_SUCH_THING
    if isinstance(value, Mapping):
        return {name: _broken(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_broken(item) for item in value]
    return value
