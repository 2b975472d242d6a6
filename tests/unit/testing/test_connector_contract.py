"""The contract of connectors catches what it is there for: a broken connector fails its test, a good one none."""

import inspect
import json
import logging
import random
import socket
import threading
import uuid
from dataclasses import replace
from typing import ClassVar

import pytest

from imframework.api.errors import CloudError, CloudRefused, NotSupported
from imframework.api.model import (
    Capability,
    Credential,
    Features,
    Image,
    Interval,
    Kind,
    NetworkRequest,
    Observation,
    Phase,
    Recognition,
    Refusal,
)
from imframework.testing.connector import ConnectorContract, deployer
from imframework.testing.rehearsal import Rehearsal
from imframework_plugins.connectors.dummy.connector import DummyConnector

SECRET = "planted-secret-value"
SYSTEM = {
    "cpu.count": Interval(minimum=1),
    "memory.size": Interval(minimum=2**29),
    "disk.0.image.url": "mock0://here/image",
    "net_interface.0.connection": "net",
}
NETWORKS = {"net": NetworkRequest(Features("net", {}))}
GIVEN = {"net": NetworkRequest(Features("net", {"provider_id": "vlan-17"}))}


class Good(DummyConnector):
    """A connector that keeps the contract."""

    behaviour: ClassVar = {"images": ["mock0://*"]}
    hang = 0.05

    @classmethod
    def make(cls, account, **behaviour):
        fields = {"host": "cloud.example", "password": SECRET}
        options = {"DUMMY_BEHAVIOUR": json.dumps({**cls.behaviour, **behaviour})}
        return cls(Credential(account, "Dummy", fields), options)

    @classmethod
    def make_silent(cls, account):
        hang = {"effect": "hang", "seconds": cls.hang, "verb": ["create", "read", "delete"]}
        return cls.make(account, faults=[hang])


class GoodByName(Good):
    behaviour: ClassVar = {**Good.behaviour, "recognition": {"*": "name"}}


class GoodByTag(Good):
    behaviour: ClassVar = {**Good.behaviour, "recognition": {"*": "tag"}, "window": {"*": 0.05}}


class GoodByNothing(Good):
    behaviour: ClassVar = {**Good.behaviour, "recognition": {"*": "none"}}


class IsAsynchronous(Good):
    async def read(self, handles):
        return super().read(handles)


class MisnamesAKind(Good):
    def __init__(self, credential, options):
        super().__init__(credential, options)
        self.kinds = {**self.kinds, "router": Kind("gateway", Recognition.NAME)}


class ConnectsWhenMade(Good):
    def __init__(self, credential, options):
        super().__init__(credential, options)
        try:
            socket.create_connection(("127.0.0.1", 9), timeout=0.1).close()
        except OSError:
            self.offline = True


class LacksAFeatureWithoutAWord(Good):
    def capabilities(self):
        return [*super().capabilities(), Capability("gpu", False)]


class ClaimsImagesItDoesNotList(Good):
    def images(self, filters):
        raise NotSupported("no images")


class ListsAnImageTwice(Good):
    def images(self, filters):
        return [Image("mock0://a", "a"), Image("mock0://a", "b")]


class ListsQuotasInSecret(Good):
    def capabilities(self):
        return [capability for capability in super().capabilities() if capability.feature != "quotas"]


class OffersTheDearestFirst(Good):
    def candidates(self, system):
        (candidate,) = super().candidates(system)
        return [replace(candidate, price=2.0), replace(candidate, price=1.0)]


class OffersTooLittle(Good):
    def candidates(self, system):
        return [replace(one, facts={**one.facts, "cpu.count": 0}) for one in super().candidates(system)]


class OffersAnotherImage(Good):
    def candidates(self, system):
        return [replace(one, image="mock0://elsewhere") for one in super().candidates(system)]


class RefusesWithoutAReason(Good):
    def candidates(self, system):
        return [Refusal(one.image, "") if isinstance(one, Refusal) else one for one in super().candidates(system)]


class KeepsSilentAboutWhatItCannotDo(Good):
    def candidates(self, system):
        return [one for one in super().candidates(system) if not isinstance(one, Refusal)]


class StumblesOverForeignImages(Good):
    def candidates(self, system):
        if any("nowhere" in image for image in system.texts("disk.0.image.url")):
            raise CloudRefused("what image is that?")
        return super().candidates(system)


class LooksAtTheFirstImageOnly(Good):
    def candidates(self, system):
        return super().candidates(system)[:1]


class ForgetsAMachine(Good):
    def plan(self, deployment):
        return super().plan(replace(deployment, machines=deployment.machines[:-1]))


class PlansTwoResourcesUnderOneKey(Good):
    def plan(self, deployment):
        plan = super().plan(deployment)
        return [*plan, replace(plan[-1], machine=None)]


class PlansAnUndeclaredKind(Good):
    def plan(self, deployment):
        plan = super().plan(deployment)
        return [*plan, replace(plan[0], key="dns", kind="dns_record")]


class AdoptsWithoutSayingWhat(Good):
    def plan(self, deployment):
        return [replace(one, adopted=one.kind == "network") for one in super().plan(deployment)]


class NamesAtRandom(Good):
    def plan(self, deployment):
        return [replace(one, name=f"{one.name}-{random.random()}") for one in super().plan(deployment)]


class NumbersByPosition(Good):
    def plan(self, deployment):
        position = {f"instance/{one.number}": f"instance/{i}" for i, one in enumerate(deployment.machines)}
        return [replace(one, key=position.get(one.key, one.key)) for one in super().plan(deployment)]


class CountsTheMachinesInASharedSpec(Good):
    def plan(self, deployment):
        size = len(deployment.machines)
        return [replace(one, spec={**one.spec, "size": size}) for one in super().plan(deployment)]


class RunsInCircles(Good):
    def plan(self, deployment):
        plan = super().plan(deployment)
        last = next(one for one in plan if one.depends_on)
        first = next(one for one in plan if one.key == last.depends_on[0].resource)
        circle = replace(first, depends_on=(replace(last.depends_on[0], resource=last.key),))
        return [circle if one is first else one for one in plan]


class DependsOnWhatIsNotPlanned(Good):
    def plan(self, deployment):
        return [one for one in super().plan(deployment) if one.kind != "key_pair"]


class RefersWithoutWaiting(Good):
    def plan(self, deployment):
        return [replace(one, depends_on=()) for one in super().plan(deployment)]


class PlansWhatIsNoJson(Good):
    def plan(self, deployment):
        return [replace(one, spec={**one.spec, "data": b"bytes"}) for one in super().plan(deployment)]


class PlansWithThePassword(Good):
    def plan(self, deployment):
        password = self.credential.get("password")
        return [replace(one, spec={**one.spec, "auth": password}) for one in super().plan(deployment)]


class MakesGivenThingsAnew(Good):
    def plan(self, deployment):
        return [replace(one, adopted=False, provider_id="") for one in super().plan(deployment)]


class LosesSightOfGivenThings(Good):
    """Once something has been deleted, it takes what was given for gone as well."""

    deleted = False

    def delete(self, handle):
        self.deleted = True
        super().delete(handle)

    def read(self, handles):
        gone = Observation(Phase.ABSENT)
        return [
            gone if self.deleted and handle.resource.adopted else seen
            for handle, seen in zip(handles, super().read(handles), strict=True)
        ]


class NeverGetsReady(Good):
    behaviour: ClassVar = {**Good.behaviour, "boot": {"instance": 3600}}


class FailsToBoot(Good):
    behaviour: ClassVar = {**Good.behaviour, "faults": [{"effect": "break", "verb": "create", "kind": "instance"}]}


class AnswersNoId(Good):
    def create(self, resource, token):
        return replace(super().create(resource, token), provider_id="")


class KnowsNoFacts(Good):
    def read(self, handles):
        return [
            replace(seen, attributes={**seen.attributes, "facts": {}} if seen.attributes else {})
            for seen in super().read(handles)
        ]

    def create(self, resource, token):
        return replace(super().create(resource, token), attributes={})


class GivesAnUnknownAccess(Good):
    def read(self, handles):
        return [
            replace(seen, attributes={**seen.attributes, "access": {"hostname": "here"}})
            for seen in super().read(handles)
        ]


class IgnoresTokens(Good):
    def create(self, resource, token):
        return super().create(resource, uuid.uuid4().hex)


class RefusesARepeatedToken(Good):
    def create(self, resource, token):
        if super().find(resource, token):
            raise CloudError("exists already")
        return super().create(resource, token)


class IgnoresNames(GoodByTag):
    """Makes what has the same name, and says it would not."""

    def __init__(self, credential, options):
        super().__init__(credential, options)
        self.kinds = {name: Kind(name, Recognition.TAG) for name in self.kinds}
        self.truth = self.kinds
        self.kinds = {name: Kind(name, Recognition.NAME) for name in self.kinds}

    def create(self, resource, token):
        declared, self.kinds = self.kinds, self.truth
        try:
            return super().create(resource, token)
        finally:
            self.kinds = declared


class FindsOneOfTwo(GoodByTag):
    def find(self, resource, token):
        return super().find(resource, token)[:1]


class ShowsLaterThanItSays(GoodByTag):
    behaviour: ClassVar = {**GoodByTag.behaviour, "visible_after": {"*": 3600}}


class FindsOnlyWhatItMade(Good):
    def __init__(self, credential, options):
        super().__init__(credential, options)
        self.mine = set()

    def create(self, resource, token):
        self.mine.add(token)
        return super().create(resource, token)

    def find(self, resource, token):
        return super().find(resource, token) if token in self.mine else []


class FindsSomethingForEverybody(Good):
    def find(self, resource, token):
        return super().find(resource, token) or [Observation(Phase.READY, "key-000001")]


class ReadsInItsOwnOrder(Good):
    def read(self, handles):
        return sorted(super().read(handles), key=lambda seen: seen.provider_id)


class ReadsOnlyWhatIsThere(Good):
    def read(self, handles):
        seen = super().read(handles)
        return [one for one in seen if one.phase is not Phase.ABSENT] if len(handles) > 1 else seen


class StumblesOverNothing(Good):
    def read(self, handles):
        assert handles[0]
        return super().read(handles)


class RefusesToDeleteWhatIsGone(Good):
    def delete(self, handle):
        if super().read([handle])[0].phase is Phase.ABSENT:
            raise CloudRefused("there is none")
        super().delete(handle)


class PromisesToDelete(Good):
    """It deletes nothing while the contract looks; what it left is deleted in the end."""

    patience = 20

    def delete(self, handle):
        self.patience -= 1
        if self.patience < 0:
            super().delete(handle)


class KeepsTheAnswerInItself(Good):
    def __init__(self, credential, options):
        super().__init__(credential, options)
        self.meeting = threading.Barrier(4)

    def create(self, resource, token):
        self.answer = super().create(resource, token)
        if resource.kind == "instance":
            try:
                self.meeting.wait(timeout=2)
            except threading.BrokenBarrierError:
                return self.answer
        return self.answer


class KnowsOnlyWhatItMade(Good):
    def __init__(self, credential, options):
        super().__init__(credential, options)
        self.mine = set()

    def create(self, resource, token):
        observed = super().create(resource, token)
        self.mine.add(observed.provider_id)
        return observed

    def read(self, handles):
        return [
            seen if handle.provider_id in self.mine else Observation(Phase.ABSENT)
            for handle, seen in zip(handles, super().read(handles), strict=True)
        ]


class StopsNothing(Good):
    def act(self, handle, action):
        if action != "stop":
            super().act(handle, action)


class StopsInSecret(Good):
    def capabilities(self):
        return [capability for capability in super().capabilities() if capability.feature != "stop"]


class ActsOnAnything(Good):
    def act(self, handle, action):
        try:
            super().act(handle, action)
        except CloudError:
            return


class ChangesNothing(Good):
    def update(self, handle, resource):
        return super().update(handle, handle.resource)


class PlansNoSize(Good):
    def plan(self, deployment):
        fixed = {"cpu": 1, "memory": 2**29}
        return [
            replace(one, spec={**one.spec, **fixed}) if one.machine is not None else one
            for one in super().plan(deployment)
        ]


class ResizesOnce(Good):
    def update(self, handle, resource):
        if self._cloud.read(self.account, [handle.provider_id])[handle.provider_id].spec == resource.spec:
            raise CloudRefused("it has that size")
        return super().update(handle, resource)


class ResizesInSecret(Good):
    def capabilities(self):
        return [capability for capability in super().capabilities() if capability.feature != "alter"]


class UpdatesAnything(Good):
    def update(self, handle, resource):
        try:
            return super().update(handle, resource)
        except CloudError:
            return Observation(Phase.READY, handle.provider_id)


class NamesSnapshotsAtRandom(Good):
    def snapshot(self, handle, disk, name):
        return super().snapshot(handle, disk, f"{name}-{uuid.uuid4().hex}")


class MakesAnotherSnapshotEachTime(Good):
    def create(self, resource, token):
        return super().create(resource, uuid.uuid4().hex if resource.kind == "image" else token)


class TellsNoAddressOfAnImage(Good):
    def _observe(self, entry, attachments):
        observed = super()._observe(entry, attachments)
        return replace(observed, attributes={"id": entry.provider_id}) if entry.kind == "image" else observed


class ForgetsHowToDeleteAnImage(Good):
    def delete(self, handle):
        if handle.resource.kind == "image" and not self._cloud.read(self.account, [handle.provider_id]):
            raise CloudRefused("there is none")
        super().delete(handle)


class RaisesWhatItLikes(Good):
    def act(self, handle, action):
        try:
            super().act(handle, action)
        except CloudError as error:
            raise KeyError("instance") from error


class FailsWithoutAWord(Good):
    def act(self, handle, action):
        raise CloudError("")


class EchoesThePassword(Good):
    def act(self, handle, action):
        raise CloudError(f"log-in with {self.credential.get('password')} failed")


class EchoesThePasswordInTheCause(Good):
    def act(self, handle, action):
        raise CloudError("log-in failed") from ValueError(dict(self.credential.fields))


class LogsThePassword(Good):
    def delete(self, handle):
        logging.getLogger("example").debug("logging in with %s", self.credential.get("password"))
        super().delete(handle)


class ShowsThePasswordInItsName(Good):
    def __repr__(self):
        return f"<connector {self.credential.get('password')}>"


class WaitsForEver(Good):
    hang = 3600


class TakesSilenceForANo(Good):
    @classmethod
    def make_silent(cls, account):
        return cls.make(account, faults=[{"effect": "refuse", "verb": ["create", "read", "delete"]}])


class TakesSilenceForAYes(Good):
    @classmethod
    def make_silent(cls, account):
        return cls.make(account)


def run(name, cls, patience, caplog, monkeypatch):
    """One test of the contract on one class."""
    account = uuid.uuid4().hex

    def make():
        return cls.make(account)

    rehearsal = Rehearsal(make(), patience)
    system = Features("node", SYSTEM)
    fixtures = {
        "make_connector": make,
        "system": system,
        "networks": NETWORKS,
        "patience": patience,
        "refused": Features("node", {"disk.0.image.url": "ost://cloud.example/image"}),
        "given": GIVEN,
        "altered": Features("node", {**SYSTEM, "cpu.count": Interval(minimum=4)}),
        "silent": cls.make_silent(account),
        "secrets": [SECRET],
        "deploy": deployer(Good.make(account), system, NETWORKS),
        "rehearsal": rehearsal,
        "caplog": caplog,
        "monkeypatch": monkeypatch,
    }
    test = getattr(ConnectorContract(), name)
    test(**{parameter: fixtures[parameter] for parameter in inspect.signature(test).parameters})
    rehearsal.connector = Good.make(account)
    rehearsal.clean()


TESTS = [name for name in vars(ConnectorContract) if name.startswith("test_")]


@pytest.mark.parametrize("cls", [Good, GoodByName, GoodByTag, GoodByNothing])
@pytest.mark.parametrize("name", TESTS)
def test_a_good_connector_passes(name, cls, caplog, monkeypatch):
    run(name, cls, 10.0, caplog, monkeypatch)


CAUGHT = {
    "test_is_a_well_formed_plugin": (IsAsynchronous, MisnamesAKind),
    "test_is_made_without_contacting_the_cloud": (ConnectsWhenMade,),
    "test_says_why_it_lacks_a_feature": (LacksAFeatureWithoutAWord,),
    "test_lists_images_and_quotas_if_it_says_so": (
        ClaimsImagesItDoesNotList,
        ListsAnImageTwice,
        ListsQuotasInSecret,
    ),
    "test_offers_candidates_cheapest_first": (OffersTheDearestFirst, OffersTooLittle, OffersAnotherImage),
    "test_gives_a_reason_for_each_refusal": (RefusesWithoutAReason, KeepsSilentAboutWhatItCannotDo),
    "test_judges_images_of_other_clouds": (StumblesOverForeignImages, LooksAtTheFirstImageOnly),
    "test_plans_each_machine_once": (
        ForgetsAMachine,
        PlansTwoResourcesUnderOneKey,
        PlansAnUndeclaredKind,
        AdoptsWithoutSayingWhat,
    ),
    "test_plans_the_same_each_time": (NamesAtRandom,),
    "test_keeps_what_stays_the_same_when_machines_come_and_go": (NumbersByPosition, CountsTheMachinesInASharedSpec),
    "test_plans_what_can_be_carried_out": (RunsInCircles, DependsOnWhatIsNotPlanned, RefersWithoutWaiting),
    "test_plans_what_can_be_stored": (PlansWhatIsNoJson, PlansWithThePassword),
    "test_adopts_what_is_given": (MakesGivenThingsAnew, LosesSightOfGivenThings),
    "test_makes_everything_ready": (NeverGetsReady, FailsToBoot, AnswersNoId, KnowsNoFacts, GivesAnUnknownAccess),
    "test_recognises_a_repeated_create": (
        IgnoresTokens,
        RefusesARepeatedToken,
        IgnoresNames,
        FindsOneOfTwo,
        ShowsLaterThanItSays,
    ),
    "test_finds_what_was_made_although_the_answer_was_lost": (FindsOnlyWhatItMade, ShowsLaterThanItSays),
    "test_finds_nothing_that_nobody_made": (FindsSomethingForEverybody,),
    "test_reads_many_in_their_order": (ReadsInItsOwnOrder, ReadsOnlyWhatIsThere),
    "test_reads_nothing_if_nothing_is_asked": (StumblesOverNothing,),
    "test_deletes_for_good_and_as_often_as_asked": (RefusesToDeleteWhatIsGone, PromisesToDelete),
    "test_serves_several_threads": (KeepsTheAnswerInItself,),
    "test_goes_on_with_what_another_instance_made": (KnowsOnlyWhatItMade,),
    "test_switches_machines_as_it_says": (StopsNothing, StopsInSecret),
    "test_refuses_to_touch_a_machine_that_is_not_there": (ActsOnAnything, UpdatesAnything),
    "test_changes_the_size_of_a_machine": (ChangesNothing, PlansNoSize, ResizesOnce, ResizesInSecret),
    "test_makes_snapshots_as_it_says": (
        NamesSnapshotsAtRandom,
        MakesAnotherSnapshotEachTime,
        TellsNoAddressOfAnImage,
        ForgetsHowToDeleteAnImage,
    ),
    "test_raises_errors_of_the_framework_only": (RaisesWhatItLikes, FailsWithoutAWord),
    "test_shows_no_secret": (
        EchoesThePassword,
        EchoesThePasswordInTheCause,
        LogsThePassword,
        ShowsThePasswordInItsName,
    ),
    "test_gives_up_on_a_cloud_that_never_answers": (WaitsForEver, TakesSilenceForANo, TakesSilenceForAYes),
}


def test_every_test_of_the_contract_can_fail():
    assert set(CAUGHT) == set(TESTS)


@pytest.mark.parametrize(("name", "cls"), [(name, cls) for name, classes in CAUGHT.items() for cls in classes])
def test_a_broken_connector_is_caught(name, cls, caplog, monkeypatch):
    with pytest.raises((AssertionError, pytest.fail.Exception, CloudError, TypeError, IndexError)):
        run(name, cls, 0.3, caplog, monkeypatch)
