"""Whatever a client sends, it is answered, and never with a fault of ours."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

VISIBLE = bytes([*range(0x21, 0x7F), *range(0x80, 0x100)])


def made_of(characters: bytes, most: int = 30):
    return st.lists(st.sampled_from(characters), max_size=most).map(bytes)


methods = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"])
segments = st.one_of(
    st.sampled_from(
        [b"infrastructures", b"inf", b"plan", b"vms", b"0", b"0,1", b"state", b"contmsg", b"events", b"start"]
    ),
    st.sampled_from(
        [
            b"reconfigure",
            b"radl",
            b"data",
            b"authorization",
            b"clouds",
            b"images",
            b"stats",
            b"disks",
            b"snapshot",
            b"command",
            b"version",
            b"%",
            b"%C3%B1",
            b"%00",
            b"%0d%0aX:%20y",
            b"..",
            b"",
        ]
    ),
    made_of(VISIBLE.replace(b"?", b""), 8),
)
names = st.sampled_from(
    [
        b"async",
        b"force",
        b"context",
        b"vm_list",
        b"after",
        b"limit",
        b"filter",
        b"filters",
        b"headeronly",
        b"init_date",
        b"image_name",
        b"step",
        b"delete",
        b"x",
    ]
)
queries = st.lists(st.tuples(names, made_of(VISIBLE, 8)).map(b"=".join), max_size=3).map(b"&".join)
targets = st.tuples(
    st.one_of(st.just([b"infrastructures", b"inf"]), st.just([])), st.lists(segments, max_size=5), queries
).map(lambda parts: b"/" + b"/".join([*parts[0], *parts[1]]) + (b"?" + parts[2] if parts[2] else b""))
headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                b"Accept",
                b"Content-Type",
                b"X-Forwarded-Host",
                b"X-Forwarded-For",
                b"X-Forwarded-Prefix",
                b"If-Match",
                b"If-None-Match",
                b"Idempotency-Key",
                b"X",
            ]
        ),
        st.one_of(
            st.sampled_from(
                [
                    b"application/json",
                    b"text/html",
                    b"text/yaml",
                    b"*/*",
                    b"text/*",
                    b"image/png",
                    b'"1-a"',
                    b'W/"a", "',
                ]
            ),
            made_of(VISIBLE, 20),
        ),
    ).map(b": ".join),
    max_size=4,
)


@pytest.mark.usefixtures("infrastructure")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True)
@given(method=methods, target=targets, headers=headers, body=st.binary(max_size=50))
def test_garbage_is_answered_with_less_than_500(server, method, target, headers, body):
    head = [
        b"%s %s HTTP/1.1" % (method, target),
        b"Host: h",
        b"Authorization: ana",
        b"Connection: close",
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    answer = server.raw(b"\r\n".join(head) + b"\r\n\r\n" + body)
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert status, answer
    assert int(status[1]) < 500, answer
    assert b"Traceback" not in answer
