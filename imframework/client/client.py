"""The operations of a service, one method for each resource of its REST API."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from urllib.parse import quote

from imframework.api.errors import IMError, NotFound, Problem
from imframework.api.model import JSON, AuditRecord, Event, Image, Quota
from imframework.api.service import Document, Language, Outputs, StateReport
from imframework.client.following import follow
from imframework.client.transport import JSON_ANSWER, Request, Transport, Unreachable, problem

#: Seconds that the service may be silent: usually, and where a call waits for clouds.
TIMEOUT = 30.0
WORK_TIMEOUT = 900.0
#: Seconds for which what may be repeated is repeated, when a service that was there is not.
PERSISTENCE = 60.0

_MEDIA_TYPES = {
    Language.RADL: "text/plain",
    Language.RADL_JSON: "application/json",
    Language.TOSCA: "text/yaml",
}
#: Is told of lost connections.
_Lost = Callable[[Unreachable], None] | None


class Client:
    """A service, as the person whose credentials it is made with.

    Every method raises errors of `imframework.api.errors` with the text of the service, and `Unreachable`. What has the
    same effect when it is asked twice is asked again after a lost connection. Documents are text in RADL, or a
    `Document`. Methods with `asynchronous` wait for the clouds unless it is set. Threads may share a client.
    """

    def __init__(
        self,
        url: str,
        authorization: str | Sequence[Mapping[str, str]],
        *,
        timeout: float = TIMEOUT,
        persistence: float = PERSISTENCE,
        ca_file: str | Path | None = None,
        certificate: str | Path | None = None,
        certificate_key: str | Path | None = None,
    ) -> None:
        """`url` is ``http`` or ``https`` and may have a path.

        `authorization` is a list of credentials, or the value of an Authorization header in any of its forms. The
        service may be silent for `timeout` seconds, and one that has answered before may be away for `persistence`
        seconds. With `ca_file` it is verified by those authorities; `certificate` (PEM) is our own.

        Raises:
            ConfigurationError: not the URL of a service, or a file that cannot be used.
        """
        self._transport = Transport(
            url,
            authorization,
            timeout=timeout,
            persistence=persistence,
            ca_file=ca_file,
            certificate=certificate,
            certificate_key=certificate_key,
        )

    # --- infrastructures -----------------------------------------------------------------------------------

    def list(self, pattern: str | None = None) -> Sequence[str]:
        """Ids of your infrastructures, with a pattern of those whose RADL or TOSCA matches the regular expression."""
        return _ids(self._get("/infrastructures", {} if pattern is None else {"filter": pattern}))

    def create(
        self, document: Document | str, *, asynchronous: bool = False, idempotency_key: str | None = None
    ) -> str:
        """Make an infrastructure; its id. However often this is repeated with one key, it makes one.

        The key is a new one for each call by default.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        query = _flags(**{"async": asynchronous})
        answer = self._send("POST", "/infrastructures", query, document, headers, repeatable=True)
        return _last_segment(_member(answer, "uri"))

    def estimate(self, document: Document | str) -> Mapping[str, JSON]:
        """What creating this would use, by cloud id; nothing is made."""
        answer: Mapping[str, JSON] = self._send(
            "POST", "/infrastructures", {"dry_run": "true"}, document, repeatable=True
        )
        return answer

    def validate(self, document: Document | str) -> Sequence[Problem]:
        """What is wrong with a document; nothing if it is sound."""
        answer = self._send("POST", "/infrastructures/validate", document=document, repeatable=True)
        return [problem(each) for each in _member(answer, "problems")]

    def plan(self, document: Document | str, infrastructure: str | None = None) -> JSON:
        """What creating this would do, or sending it to an infrastructure; kept under its ``id`` for `apply`."""
        path = "/infrastructures/plan" if infrastructure is None else _path(infrastructure, "plan")
        return self._send("POST", path, document=document, repeatable=True)

    def apply(self, plan: str, *, asynchronous: bool = False) -> str:
        """Carry out a plan; the id of the infrastructure."""
        path = f"/infrastructures/plan/{quote(plan, safe='')}"
        return _last_segment(_member(self._send("POST", path, _flags(**{"async": asynchronous})), "uri"))

    def destroy(self, infrastructure: str, *, force: bool = False, asynchronous: bool = False) -> None:
        """Delete everything; verified, unless forced."""
        self._delete(_path(infrastructure), _flags(force=force, **{"async": asynchronous}))

    def add(self, infrastructure: str, document: Document | str, *, context: bool = True) -> Sequence[int]:
        """Add machines; their numbers."""
        return _numbers(self._send("POST", _path(infrastructure), {"context": _flag(context)}, document))

    def remove(self, infrastructure: str, vms: Sequence[int], *, context: bool = True) -> None:
        """Remove machines."""
        numbers = ",".join(map(str, vms))
        self._delete(_path(infrastructure, f"vms/{numbers}"), {"context": _flag(context)})

    def reconfigure(
        self, infrastructure: str, document: Document | str | None = None, vms: Sequence[int] | None = None
    ) -> None:
        """Configure again, with changed recipes if a document is given; all machines or those."""
        query = {} if vms is None else {"vm_list": ",".join(map(str, vms))}
        self._send("PUT", _path(infrastructure, "reconfigure"), query, document)

    def start(self, infrastructure: str, vm: int | None = None) -> None:
        """Start one machine, or all."""
        self._send("PUT", _path(infrastructure, _of(vm, "start")), repeatable=True)

    def stop(self, infrastructure: str, vm: int | None = None) -> None:
        """Stop one machine, or all."""
        self._send("PUT", _path(infrastructure, _of(vm, "stop")), repeatable=True)

    def reboot(self, infrastructure: str, vm: int) -> None:
        """Reboot a machine."""
        self._send("PUT", _path(infrastructure, _of(vm, "reboot")))

    def alter(self, infrastructure: str, vm: int, document: Document | str) -> None:
        """Change a machine to what the system of its name in the document says."""
        self._send("PUT", _path(infrastructure, f"vms/{vm}"), document=document)

    def snapshot(self, infrastructure: str, vm: int, disk: int, name: str, *, auto_delete: bool = False) -> str:
        """Make an image of a disk; its URL. With `auto_delete` it goes with the infrastructure."""
        query = {"image_name": name, **_flags(auto_delete=auto_delete)}
        path = _path(infrastructure, f"vms/{vm}/disks/{disk}/snapshot")
        request = Request("PUT", path, query, {"Accept": f"text/plain, {JSON_ANSWER}"}, timeout=WORK_TIMEOUT)
        return self._transport.text(request).strip()

    # --- what there is -------------------------------------------------------------------------------------

    def state(self, infrastructure: str) -> StateReport:
        """State of an infrastructure, and of each of its machines."""
        report = _member(self._get(_path(infrastructure, "state")), "state")
        states = {int(number): str(state) for number, state in _member(report, "vm_states").items()}
        return StateReport(str(_member(report, "state")), dict(sorted(states.items())))

    def machines(self, infrastructure: str) -> Sequence[int]:
        """Numbers of the machines, ascending."""
        return _numbers(self._get(_path(infrastructure)))

    def info(self, infrastructure: str, vm: int) -> Sequence[Mapping[str, JSON]]:
        """A machine as it is now, as RADL JSON: its networks and its system, secrets included."""
        found: Sequence[Mapping[str, JSON]] = _member(self._get(_path(infrastructure, f"vms/{vm}")), "radl")
        return found

    def property(self, infrastructure: str, vm: int, name: str) -> JSON:
        """One feature of a machine, such as ``net_interface.0.ip``."""
        return _member(self._get(_path(infrastructure, f"vms/{vm}/{quote(name, safe='')}")), name)

    def contmsg(self, infrastructure: str, vm: int | None = None, *, header_only: bool = False) -> str:
        """The configuration log: whole, the part before the machines' blocks, or that of one machine."""
        query = {"headeronly": "true"} if header_only and vm is None else {}
        return str(_member(self._get(_path(infrastructure, _of(vm, "contmsg")), query), "contmsg"))

    def radl(self, infrastructure: str) -> str:
        """The stored document as RADL."""
        return str(_member(self._get(_path(infrastructure, "radl")), "radl"))

    def tosca(self, infrastructure: str) -> str:
        """The stored TOSCA document."""
        return str(_member(self._get(_path(infrastructure, "tosca")), "tosca"))

    def outputs(self, infrastructure: str) -> Outputs:
        """The outputs of the TOSCA document."""
        answer = self._get(_path(infrastructure, "outputs"))
        return Outputs(_member(answer, "outputs"), answer.get("missing", {}))

    def export_document(self, infrastructure: str, *, delete: bool = False) -> str:
        """An infrastructure as text for `import_document`. With `delete` it is forgotten here; its machines go on."""
        request = Request("GET", _path(infrastructure, "data"), _flags(delete=delete), repeatable=not delete)
        return str(_member(self._transport.ask(request), "data"))

    def import_document(self, text: str) -> str:
        """Take over an exported infrastructure; its id."""
        request = Request("PUT", "/infrastructures", headers={"Content-Type": "application/json"}, body=text)
        return _last_segment(_member(self._transport.ask(request), "uri"))

    def owners(self, infrastructure: str) -> Sequence[str]:
        """Names of the owners."""
        found: Sequence[str] = _member(self._get(_path(infrastructure, "authorization")), "authorization")
        return found

    def change_owners(self, infrastructure: str, owner: Mapping[str, str], *, overwrite: bool = False) -> None:
        """Add an owner, an InfrastructureManager item, or have that one instead of all others."""
        body = Document(json.dumps(dict(owner)), Language.RADL_JSON)
        self._send("POST", _path(infrastructure, "authorization"), _flags(overwrite=overwrite), body, repeatable=True)

    # --- clouds and the service ----------------------------------------------------------------------------

    def images(self, cloud: str, filters: Mapping[str, str] | None = None) -> Sequence[Image]:
        """The images of a cloud, by the id of its credential."""
        query = {"filters": ",".join(f"{name}={value}" for name, value in filters.items())} if filters else {}
        answer = self._get(f"/clouds/{quote(cloud, safe='')}/images", query, timeout=WORK_TIMEOUT)
        return [Image(str(_member(each, "uri")), str(_member(each, "name"))) for each in _member(answer, "images")]

    def quotas(self, cloud: str) -> Mapping[str, Quota]:
        """What the account at a cloud has used and may use, by the id of its credential."""
        found = _member(self._get(f"/clouds/{quote(cloud, safe='')}/quotas", timeout=WORK_TIMEOUT), "quotas")
        return dict(_quotas(found))

    def stats(self, since: date | None = None, until: date | None = None) -> Sequence[Mapping[str, JSON]]:
        """A record for each of your infrastructures, deleted ones too, created in ``since <= day < until``."""
        dates = {"init_date": since, "end_date": until}
        query = {name: day.isoformat() for name, day in dates.items() if day is not None}
        found: Sequence[Mapping[str, JSON]] = _member(self._get("/stats", query), "stats")
        return found

    def version(self) -> str:
        """Version of the service."""
        return str(_member(self._get("/version"), "version"))

    # --- what happens --------------------------------------------------------------------------------------

    def events(self, infrastructure: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """A page of what happened after an event number, oldest first."""
        page = self._page(_path(infrastructure, "events"), after, limit)
        return [_event(record, infrastructure) for record in page]

    def account_events(self, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """A page of what happened to all your infrastructures after a position (`Event.position`)."""
        return [_event(record) for record in self._page("/events", after, limit)]

    def audit(self, after: int = 0, limit: int = 1000) -> Sequence[AuditRecord]:
        """A page of who did what after a number (`AuditRecord.id`)."""
        return [_audit_record(record) for record in self._page("/audit", after, limit)]

    def follow(self, infrastructure: str | None = None, after: int = 0, *, lost: _Lost = None) -> Iterator[Event]:
        """The events after a number (of all your infrastructures: after a position), and then those to come, each once.

        It ends with the event ``deleted`` of the infrastructure. `lost` is told of every lost connection; a service
        that is away for longer than `persistence` is an error.
        """
        if infrastructure is None:
            yield from map(_event, follow(self._transport, "/events", after, lost=lost))
            return

        def over(last: int) -> bool:
            """Whether it was deleted, and that was told before."""
            try:
                self.state(infrastructure)
            except NotFound:
                return not self.events(infrastructure, last, 1)
            return False

        for record in follow(self._transport, _path(infrastructure, "events"), after, lost=lost, over=over):
            event = _event(record, infrastructure)
            yield event
            if event.type == "deleted":
                return

    def follow_audit(self, after: int = 0, *, lost: _Lost = None) -> Iterator[AuditRecord]:
        """The audit records after a number, and then those to come, each once."""
        return map(_audit_record, follow(self._transport, "/audit", after, lost=lost))

    # --- requests ------------------------------------------------------------------------------------------

    def _get(self, path: str, query: Mapping[str, str] | None = None, timeout: float | None = None) -> JSON:
        return self._transport.ask(Request("GET", path, query or {}, timeout=timeout, repeatable=True))

    def _page(self, path: str, after: int, limit: int) -> Sequence[JSON]:
        answer = self._get(path, {"after": str(after), "limit": str(limit)})
        found: Sequence[JSON] = _member(answer, path.rpartition("/")[2])
        return found

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        document: Document | str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        repeatable: bool = False,
    ) -> JSON:
        """A request that may wait for clouds, unless it says that it is asynchronous."""
        headers, body = dict(headers or {}), None
        if document is not None:
            document = Document(document) if isinstance(document, str) else document
            headers["Content-Type"] = _MEDIA_TYPES[document.language]
            body = document.text
        waits = (query or {}).get("async") != "true"
        timeout = WORK_TIMEOUT if waits else None
        return self._transport.ask(Request(method, path, query or {}, headers, body, timeout, repeatable))

    def _delete(self, path: str, query: Mapping[str, str]) -> None:
        """Delete, and if the answer is lost, again: what is not found then, we have deleted."""
        request = Request("DELETE", path, query, timeout=None if query.get("async") else WORK_TIMEOUT)
        try:
            self._transport.ask(request)
        except Unreachable as error:
            if not error.passing:
                raise
            try:
                self._transport.ask(replace(request, repeatable=True))
            except NotFound:
                return


def _path(infrastructure: str, member: str = "") -> str:
    return f"/infrastructures/{quote(infrastructure, safe='')}" + (f"/{member}" if member else "")


def _of(vm: int | None, member: str) -> str:
    return member if vm is None else f"vms/{vm}/{member}"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _flags(**flags: bool) -> dict[str, str]:
    """Query parameters for the flags that are set."""
    return {name: "true" for name, value in flags.items() if value}


def _last_segment(uri: JSON) -> str:
    return str(uri).rstrip("/").rpartition("/")[2]


def _ids(answer: JSON) -> Sequence[str]:
    return [_last_segment(_member(entry, "uri")) for entry in _member(answer, "uri-list")]


def _numbers(answer: JSON) -> Sequence[int]:
    return [int(id) for id in _ids(answer)]


def _member(answer: JSON, name: str) -> JSON:
    """A member of an answer that must have it."""
    if not isinstance(answer, dict) or name not in answer:
        raise IMError(f"The service's answer has no '{name}': it is not that of an Infrastructure Manager")
    return answer[name]


def _quotas(found: Mapping[str, JSON], group: str = "") -> Iterator[tuple[str, Quota]]:
    """Quotas by name. Some services have groups of them, for families of machines; their names get a prefix."""
    for name, quota in found.items():
        if "used" in quota:
            yield group + name, Quota(quota["used"], _member(quota, "limit"))
        else:
            yield from _quotas(quota, f"{group}{name}.")


def _event(record: Mapping[str, JSON], infrastructure: str | None = None) -> Event:
    """An event; in a stream of the account ``id`` is its position."""
    number, account = int(_member(record, "id")), infrastructure is None
    return Event(
        infrastructure=str(_member(record, "infrastructure")) if infrastructure is None else infrastructure,
        sequence=int(_member(record, "sequence")) if account else number,
        time=float(_member(record, "time")),
        type=str(_member(record, "type")),
        data=_member(record, "data"),
        position=number if account else 0,
    )


def _audit_record(record: Mapping[str, JSON]) -> AuditRecord:
    known = {each.name for each in fields(AuditRecord)} - {"owner_keys"}
    members = {name: value for name, value in record.items() if name in known}
    return AuditRecord(**{**members, "users": tuple(_member(record, "users"))})
