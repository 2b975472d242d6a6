"""The contract of front ends catches what it is there for: a broken front end fails its test, a good one none."""

import asyncio
import contextlib
import inspect
import json
import logging
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from imframework.api.error_table import presentable
from imframework.api.errors import ConfigurationError
from imframework.api.frontend import FrontEnd
from imframework.api.plugin import PluginInfo, PluginKind
from imframework.api.service import Document
from imframework.api.tls import ServerTls
from imframework.testing import frontend
from imframework.testing.certificates import Authority
from imframework.testing.frontend import FrontEndContract, Refused, Running, TlsFiles
from imframework.testing.service import PASSWORD, MemoryService

logger = logging.getLogger("example")


class Good(FrontEnd):
    """A front end that keeps the contract: a line of JSON is answered by a line of JSON."""

    info = PluginInfo("lines", PluginKind.FRONTEND, "1.0.0", (0, 1))

    def __init__(self, service, *, port=0, body_limit=64 * 1024, patience=60, tls=None):
        super().__init__(service, {})
        self.wanted, self.limit, self.patience = port, body_limit, patience
        self.tls = tls and ServerTls("LINES", tls.certificate, tls.key, tls.authorities)
        self.busy, self.server, self.port = {}, None, port

    async def start(self):
        try:
            self.server = await asyncio.start_server(
                self.converse, "127.0.0.1", self.wanted, limit=self.limit, ssl=self.tls
            )
        except OSError:
            raise ConfigurationError(f"port {self.wanted} is taken") from None
        self.port = self.server.sockets[0].getsockname()[1]

    @property
    def address(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def converse(self, reader, writer):
        task = asyncio.current_task()
        self.busy[writer, task] = False
        try:
            line = await asyncio.wait_for(reader.readline(), self.patience)
            self.busy[writer, task] = True
            answer = await self.answer(json.loads(line), writer.get_extra_info("peername")[0])
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):
            logger.debug("a client has gone, or sends what is no request")
        finally:
            writer.close()
            self.busy.pop((writer, task))

    async def answer(self, request, address):
        try:
            return [True, await self.run(request, address)]
        except Exception as error:  # noqa: BLE001 - a client always gets an answer
            return [False, self.shown(error)]

    def shown(self, error):
        return str(presentable(error, "a line"))

    async def run(self, request, address):
        if request["operation"] == "version":
            return self.service.version()
        caller = await self.caller(request, address)
        if request["operation"] == "state":
            return (await self.service.state(caller, request["infrastructure"])).state
        return await self.service.create(caller, Document(request["document"]))

    async def caller(self, request, address):
        item = {"type": "InfrastructureManager", "username": request["user"], "password": request["password"]}
        return await self.service.authenticate([item], address)

    async def stop(self):
        if self.server is not None:
            self.server.close()
        try:
            for (writer, _), busy in list(self.busy.items()):
                if not busy:
                    writer.close()
            await self.quiet()
        finally:
            for writer, task in list(self.busy):
                writer.close()
                task.cancel()

    async def quiet(self):
        while any(self.busy.values()):  # noqa: ASYNC110 - short, and nobody tells
            await asyncio.sleep(0.005)


def call(address, operation, **fields):
    """What a client of these front ends does."""
    request = {"operation": operation, "user": "", "password": PASSWORD, **fields}
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=frontend.PATIENCE) as connection:
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            good, text = json.loads(connection.makefile().readline() or '[false, "closed"]')
        except OSError as error:
            raise Refused(str(error)) from None
    if not good:
        raise Refused(text)
    return text


@pytest.fixture
def patience(monkeypatch):
    """Things that never happen are waited for only so long."""
    monkeypatch.setattr(frontend, "PATIENCE", 2.0)


@pytest.fixture
def run(patience, tmp_path, caplog):
    """Runs one test of the contract on front ends of a class."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    started = []

    def run(name, cls):
        def start(**options):
            service = MemoryService()
            service.infrastructures["inf"] = [0]
            started.append(Running(cls(service, **options), service, loop))
            return started[-1]

        test = getattr(FrontEndContract(), name)
        wanted = inspect.signature(test).parameters
        authority = Authority(tmp_path)
        fixtures = {
            "make_front_end": cls,
            "call": call,
            "beginning": b'{"operation": ',
            "start": start,
            "threads": threads,
            "authority": authority,
            "caplog": caplog,
        }
        if "running" in wanted:
            fixtures["running"] = start()
        if "secure" in wanted:
            pair = authority.issue("localhost", "server")
            fixtures["secure"] = start(tls=TlsFiles(pair.certificate, pair.key, authority.certificate))
        test(**{parameter: fixtures[parameter] for parameter in wanted})

    with ThreadPoolExecutor(8) as threads:
        yield run
        for running in started:
            for operation in list(running.service._gates):
                running.release(operation)
            with contextlib.suppress(Exception):
                running.run(Good.stop(running.front_end))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


TESTS = [name for name in vars(FrontEndContract) if name.startswith("test_")]


@pytest.mark.parametrize("name", TESTS)
def test_a_good_front_end_passes(name, run, monkeypatch):
    monkeypatch.setattr(frontend, "PATIENCE", 60.0)
    run(name, Good)


# --- front ends that do not keep it ---------------------------------------------------------------------------


class TellsAnotherAddress(Good):
    @property
    def address(self):
        return f"http://127.0.0.1:{self.wanted}"


class SharesItsAddress(Good):
    async def start(self):
        with contextlib.suppress(ConfigurationError):
            await super().start()


class AsksEverybodyWho(Good):
    async def run(self, request, address):
        await self.caller(request, address)
        return await super().run(request, address)


class LetsEverybodyIn(Good):
    async def caller(self, request, address):
        item = {"type": "InfrastructureManager", "username": "ana", "password": PASSWORD}
        return await self.service.authenticate([item], address)


class KnowsAsciiOnly(Good):
    async def run(self, request, address):
        text = request.get("document", "").encode("ascii", "replace").decode()
        return await super().run({**request, "document": text}, address)


class HidesWhoCalls(Good):
    async def caller(self, request, address):
        return await super().caller(request, "")


class DoesOneThingAfterTheOther(Good):
    lock = None

    async def run(self, request, address):
        self.lock = self.lock or asyncio.Lock()
        async with self.lock:
            return await super().run(request, address)


class ExplainsNothing(Good):
    def shown(self, error):
        return "no"


class ExplainsEverything(Good):
    def shown(self, error):
        return repr(error)


class KeepsFaultsToItself(Good):
    def shown(self, error):
        return str(error) if error.__class__.__module__.startswith("imframework") else "internal"


class LogsWhatItGets(Good):
    async def answer(self, request, address):
        logger.debug("%s", request)
        return await super().answer(request, address)


class TakesBodiesOfAnySize(Good):
    def __init__(self, service, **options):
        super().__init__(service, **{**options, "body_limit": 2**26})


class WaitsForEver(Good):
    def __init__(self, service, **options):
        super().__init__(service, **{**options, "patience": None})


class DiesOfNoise(Good):
    async def converse(self, reader, writer):
        line = await reader.readline()
        if not line.startswith(b"{"):
            self.server.close()
        reader.feed_data(line)
        await super().converse(reader, writer)


class CutsRequests(Good):
    async def quiet(self):
        pass


class CannotStopTwice(Good):
    async def stop(self):
        server, self.server = self.server, None
        server.close()
        await Good.stop(self)


class StaysOpenWhenCancelled(Good):
    async def stop(self):
        self.server.close()
        await self.quiet()


class SpeaksWithoutTls(Good):
    def __init__(self, service, *, tls=None, **options):
        super().__init__(service, **options)


class TrustsEverybody(Good):
    def __init__(self, service, *, tls=None, **options):
        super().__init__(service, tls=tls and TlsFiles(tls.certificate, tls.key, tls.key.with_name("none")), **options)


class KeepsItsFirstCertificate(Good):
    def __init__(self, service, *, tls=None, **options):
        super().__init__(service, **options)
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(tls.certificate, tls.key)


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (TellsAnotherAddress, "test_tells_where_it_listens"),
        (SharesItsAddress, "test_refuses_to_start_at_an_address_that_is_taken"),
        (AsksEverybodyWho, "test_tells_the_version_to_anybody"),
        (LetsEverybodyIn, "test_asks_for_credentials"),
        (KnowsAsciiOnly, "test_hands_a_document_over_as_it_is"),
        (HidesWhoCalls, "test_tells_the_service_who_calls_from_where"),
        (DoesOneThingAfterTheOther, "test_answers_others_while_a_call_waits"),
        (ExplainsNothing, "test_tells_the_errors_of_the_service"),
        (ExplainsEverything, "test_shows_nothing_of_the_inside_when_something_breaks"),
        (KeepsFaultsToItself, "test_shows_nothing_of_the_inside_when_something_breaks"),
        (LogsWhatItGets, "test_writes_no_credentials_into_the_log"),
        (TakesBodiesOfAnySize, "test_keeps_the_limit_of_bodies"),
        (WaitsForEver, "test_lets_go_of_clients_that_send_nothing_more"),
        (DiesOfNoise, "test_survives_noise"),
        (CutsRequests, "test_lets_requests_in_progress_end_when_it_stops"),
        (CannotStopTwice, "test_can_be_stopped_twice"),
        (StaysOpenWhenCancelled, "test_closes_everything_when_stopping_is_cancelled"),
        (SpeaksWithoutTls, "test_speaks_tls_1_2_and_later_only"),
        (TrustsEverybody, "test_accepts_certificates_of_its_authorities_only"),
        (KeepsItsFirstCertificate, "test_takes_up_a_new_certificate_and_keeps_its_connections"),
    ],
)
def test_a_broken_front_end_is_caught(cls, name, run):
    with pytest.raises((AssertionError, AttributeError, OSError, Refused, pytest.fail.Exception)):
        run(name, cls)
