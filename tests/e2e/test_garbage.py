"""Generated requests, sent as bytes: whatever comes, the server stays whole and tells nothing of its inside.

The seed of the examples is shown with a failure; HYPOTHESIS_SEED repeats them.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.xdist_group("garbage")

SEED = int(os.environ.get("HYPOTHESIS_SEED", random.SystemRandom().randrange(2**32)))

EXAMPLES = 700

#: Nothing of this may be in an answer.
INNER = ("Traceback", "site-packages", "/work", ".py", "Incident")

profile = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def server(new_module_server: Any) -> Any:
    """A service with simulated machines."""
    server = new_module_server(CONNECTORS="dummy", MAX_BODY_SIZE=100_000, REQUEST_TIMEOUT=2).start()
    server.garbled = True
    return server


@pytest.fixture(scope="module")
def target(server: Any, document: Any) -> Any:
    """An infrastructure to aim at, and its owner."""
    owner = server.api("target")
    infrastructure = owner.create(document(cloud="dummy", count=2), asynchronous=False)
    yield owner, infrastructure
    owner.destroy(infrastructure)


def pick(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


odd_text = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=40)
segments = odd_text | pick(
    *("infrastructures", "vms", "state", "radl", "contmsg", "events", "reconfigure", "start", "stop", "reboot", "plan"),
    *("ID", "0", "1", "0,1", "-1", "version", "readyz", "", "..", "%2e%2e", "%00", "%ff"),
)
resources = pick(
    ["infrastructures"],
    ["infrastructures"],
    ["infrastructures", "plan"],
    *(["infrastructures", "ID", *rest] for rest in ([], ["state"], ["contmsg"], ["events"], ["radl"], ["reconfigure"])),
    *(
        ["infrastructures", "ID", "vms", vm, *rest]
        for vm in ("0", "1")
        for rest in ([], ["stop"], ["start"], ["state"])
    ),
)
paths = (
    resources
    | resources.flatmap(lambda known: st.lists(segments, max_size=3).map(lambda more: [*known, *more]))
    | st.lists(segments, max_size=6)
)
queries = st.lists(
    st.tuples(
        pick("async", "force", "context", "headeronly", "vm_list", "after", "limit", "filter") | odd_text,
        pick("1", "0", "yes", "", "-1", "9" * 30, "(", "(a+)+$", "%", "%ff", "0,1") | odd_text,
    ),
    max_size=3,
)
header_values = st.binary(max_size=60).map(lambda value: bytes(byte for byte in value if byte not in b"\r\n\0"))
headers = st.lists(
    st.tuples(
        pick("Accept", "Content-Type", "Content-Encoding", "X-Forwarded-Host", "X-Forwarded-Prefix", "Host", "Expect",
             "X-Forwarded-For", "X-Forwarded-Port", "Range", "If-None-Match", "Origin", "Upgrade"),
        pick(b"application/json", b"*/*", b"text/yaml", b"text/plain;q=0", b"image/png", b"100-continue", b"gzip",
             b"evil.example/<script>", b"99999", b"::1", b"a,b,,;=") | header_values,
    ),
    max_size=4,
)  # fmt: skip
keys = pick("class", "id", "system", "vm_number", "cloud", "recipes", "items", "softs", "cpu.count_min", "x")
leaves = st.none() | st.booleans() | st.integers() | st.floats() | odd_text | pick("system", "network", "deploy", "n")
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | odd_text, inner, max_size=5),
    max_leaves=12,
)
words = pick(
    *("network", "system", "deploy", "configure", "contextualize", "description", "contains", "soft", "option", "step"),
    *("cpu.count", "net_interface.0.connection", "disk.0.applications", "node", "net", "(", ")", "and", "=", ">="),
    *("1", "-1", "2G", "'text'", "'", "@begin\n", "\n@end\n", "- tasks: []\n", "#", "\n", "\0", "é"),
)
bodies = (
    st.lists(words, max_size=30).map(lambda parts: " ".join(parts).encode())
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=300)
)
credentials = pick("OWN", "OWN", "OWN", "OWN", "") | odd_text


def check(server: Any, answer: bytes, seen: Counter[str]) -> None:
    """Check the bytes of an answer: a status below 500, or none at all, and nothing of the inside."""
    text = answer.decode("utf-8", "replace")
    status = text[9:12]
    seen[status] += 1
    assert not answer or (text.startswith("HTTP/1.1 ") and (status < "500" or "/readyz" in text)), text
    for inner in (*INNER, str(server.directory)):
        assert inner not in text


def test_no_request_surprises_the_server(server: Any, target: Any) -> None:
    owner, infrastructure = target

    @seed(SEED)
    @profile
    @given(
        pick(*["GET", "POST", "PUT"] * 3, "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"),
        paths,
        queries,
        headers,
        credentials,
        bodies,
        st.booleans(),
    )
    def send(
        method: str,
        path: list[str],
        query: list[tuple[str, str]],
        more: list[tuple[str, bytes]],
        who: str,
        body: bytes,
        chunked: bool,
    ) -> None:
        line = "/" + "/".join(infrastructure if segment == "ID" else segment for segment in path)
        line += "?" + "&".join(f"{name}={value}" for name, value in query) if query else ""
        line = line.replace(" ", "%20")
        if method == "DELETE" and path[:2] == ["infrastructures", "ID"]:
            method = "GET"  # it is still needed
        head = [f"{method} {line} HTTP/1.1".encode(), b"Connection: close"]
        if not any(name == "Host" for name, _ in more):
            head.append(b"Host: x")
        if who:
            head.append(b"Authorization: " + (owner.authorization if who == "OWN" else who).encode())
        head += [name.encode() + b": " + value for name, value in more]
        if chunked:
            head.append(b"Transfer-Encoding: chunked")
            body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        else:
            head.append(b"Content-Length: %d" % len(body))
        check(server, server.say(b"\r\n".join(head) + b"\r\n\r\n" + body), seen)

    print(f"HYPOTHESIS_SEED={SEED}")
    seen: Counter[str] = Counter()
    send()
    print(f"answers by status: {seen}")
    assert {"400", "404"} <= seen.keys()
    assert owner.request("GET", "/healthz").text == "ok"
    for made in owner.ids():
        machines = owner.vms(made)
        assert all(owner.prop(made, vm, "state") for vm in machines)


def test_no_bytes_surprise_the_server(server: Any, target: Any) -> None:
    owner, infrastructure = target
    whole = (
        f"PUT /infrastructures/{infrastructure}/reconfigure HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: {owner.authorization}\r\nContent-Length: 11\r\n\r\nnetwork n ()"
    ).encode()
    start = whole.index(b"\r\n")
    changes = st.tuples(st.integers(0, len(whole)), st.integers(0, 8), st.binary(max_size=8))

    @seed(SEED)
    @profile
    @given(
        st.lists(changes, min_size=1, max_size=4),
        st.none() | st.integers(start, len(whole)),
    )
    def send(made: list[tuple[int, int, bytes]], end: int | None) -> None:
        data = whole[:end]
        for position, length, inserted in made:
            data = data[:position] + inserted + data[position + length :]
        check(server, server.say(data, hang_up=True), seen)

    print(f"HYPOTHESIS_SEED={SEED}")
    seen: Counter[str] = Counter()
    send()
    print(f"answers by status: {seen}")
    assert {"400", "404"} <= seen.keys()
    assert owner.request("GET", "/healthz").text == "ok"
    assert owner.vms(infrastructure) == [0, 1]
