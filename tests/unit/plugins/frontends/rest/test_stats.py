"""Stats as JSON and as a table."""

from datetime import date

import pytest


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/*", "image/png, */*"])
def test_stats_are_json(server, accept):
    answer = server.get("/stats", Accept=accept)
    assert answer.media_type == "application/json"
    assert answer.json == {"stats": server.service.records}


@pytest.mark.parametrize("accept", ["text/csv", "text/*", "text/csv, application/json"])
def test_stats_are_a_table_for_those_who_ask_for_text(server, accept):
    answer = server.get("/stats", Accept=accept)
    assert answer.media_type == "text/csv"
    assert answer.text == (
        "creation_date,tosca_name,vm_count,cpu_count,memory_size,cloud_type,cloud_host,hybrid,deleted,im_user,inf_id,"
        "last_date\r\n"
        '2026-11-26 21:10:17,"a, b",2,4,1024,Dummy,,False,True,,inf,2026-11-27 00:00:00\r\n'
    )


def test_no_stats_are_a_table_without_rows(server):
    server.service.records = []
    assert server.get("/stats", Accept="text/csv").text.count("\r\n") == 1
    assert server.get("/stats").json == {"stats": []}


def test_stats_have_no_plain_text(server):
    answer = server.get("/stats", Accept="text/plain")
    assert (answer.status, answer.text) == (415, "Unsupported Accept Media Types: text/plain")


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ("", None, None),
        ("?init_date=2026/01/31", date(2026, 1, 31), None),
        ("?init_date=2026-1-2&end_date=2026/02/28", date(2026, 1, 2), date(2026, 2, 28)),
    ],
)
def test_stats_are_of_a_time(server, query, since, until):
    assert server.get(f"/stats{query}").status == 200
    assert server.service.calls == [("stats", since, until)]


@pytest.mark.parametrize("text", ["", "2026", "2026/01-01", "31/01/2026", "2026/02/30", "0000-01-01", "2026-01-01Z"])
@pytest.mark.parametrize("name", ["init_date", "end_date"])
def test_a_day_that_there_is_not_is_refused(server, name, text):
    answer = server.get(f"/stats?{name}={text}")
    assert (answer.status, answer.text) == (400, f"Incorrect format in {name} parameter: YYYY/MM/dd")
    assert not server.service.calls
