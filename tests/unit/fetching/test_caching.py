"""What is kept, for how long, and for whom it is fetched once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from imframework.fetching import Cache, FetchFailed
from imframework.fetching.cache import Entry, Validators

PATIENCE = 30


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def versioned(texts, **headers):
    """Answers the current text with its number as ETag, or 304 to whoever has it."""

    def answer(handler):
        tag = f'"{len(texts)}"'
        if handler.headers["If-None-Match"] == tag:
            handler.send(status=304, Content_Length=None, ETag=tag, **headers)
        else:
            handler.send(texts[-1], ETag=tag, **headers)

    return answer


# --- how long


def test_a_file_with_an_etag_is_sent_again_only_when_it_has_changed(serve, fetcher, clock):
    texts = [b"one"]
    server, fetch = serve(versioned(texts)), fetcher(clock=clock)

    assert [fetch(server.url()), fetch(server.url())] == ["one", "one"]
    texts.append(b"two")
    assert [fetch(server.url()), fetch(server.url())] == ["two", "two"]

    asked = [request.headers["If-None-Match"] for request in server.requests]
    assert asked == [None, '"1"', '"1"', '"2"']


def test_a_file_with_a_date_is_asked_for_by_it(serve, fetcher):
    date = "Sun, 22 Nov 2026 10:00:00 GMT"

    def answer(handler):
        if handler.headers["If-Modified-Since"] == date:
            handler.send(status=304, Content_Length=None)
        else:
            handler.send(b"one", Last_Modified=date)

    server, fetch = serve(answer), fetcher()

    assert [fetch(server.url()) for _ in range(3)] == ["one"] * 3
    assert [request.headers["If-Modified-Since"] for request in server.requests] == [None, date, date]


def test_a_file_that_nothing_is_known_of_is_current_for_a_minute(serve, fetcher, clock):
    server, fetch = serve(b"one"), fetcher(clock=clock)

    for seconds in (0, 59, 1, 1):
        clock.now += seconds
        fetch(server.url())

    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("control", "age", "fresh"),
    [
        ("max-age=10", None, 10),
        ("public, MAX-AGE = 10", None, 10),
        ("max-age=10", "4", 6),
        ("max-age=86400", None, 60),
        ("max-age=0", None, 0),
        ("no-cache", None, 0),
        ("no-store, max-age=10", None, 0),
        ("max-age=10", "20", 0),
    ],
)
def test_a_server_can_say_for_how_long_at_most_a_minute(serve, fetcher, clock, control, age, fresh):
    headers = {"Cache_Control": control, "ETag": '"1"', **({"Age": age} if age else {})}
    server, fetch = serve(lambda handler: handler.send(b"one", **headers)), fetcher(clock=clock)

    fetch(server.url())
    if fresh:
        clock.now += fresh - 0.5
        fetch(server.url())
        assert len(server.requests) == 1
    clock.now += 1
    fetch(server.url())
    assert len(server.requests) == 2


def test_an_answer_that_nothing_has_changed_makes_a_file_current_again(serve, fetcher, clock):
    server, fetch = serve(versioned([b"one"], Cache_Control="max-age=30")), fetcher(clock=clock)

    for seconds in (0, 31, 29, 2):
        clock.now += seconds
        assert fetch(server.url()) == "one"

    assert len(server.requests) == 3


def test_what_may_not_be_stored_is_not(serve, fetcher):
    cache = Cache()
    server = serve(lambda handler: handler.send(b"one", Cache_Control="no-store", ETag='"1"'))
    fetch = fetcher(cache=cache)

    assert [fetch(server.url()), fetch(server.url())] == ["one", "one"]
    assert server.requests[1].headers["If-None-Match"] is None
    assert cache.bytes == 0


def test_a_validator_is_shown_only_to_where_it_came_from(serve, fetcher):
    final = serve(versioned([b"one"]))
    start = serve(lambda handler: handler.send(status=302, Location=final.url()))
    fetch = fetcher()

    assert [fetch(start.url()), fetch(start.url())] == ["one", "one"]
    assert [request.headers["If-None-Match"] for request in start.requests] == [None, None]
    assert [request.headers["If-None-Match"] for request in final.requests] == [None, '"1"']


def test_a_redirect_that_leads_elsewhere_later_brings_the_other_file(serve, fetcher):
    first, second = serve(versioned([b"first"])), serve(versioned([b"second"]))
    targets = [first.url(), second.url()]
    start = serve(lambda handler: handler.send(status=302, Location=targets.pop(0)))
    fetch = fetcher()

    assert [fetch(start.url()), fetch(start.url())] == ["first", "second"]


def test_urls_with_other_logins_or_queries_are_other_files(serve, fetcher):
    server, fetch = serve(lambda handler: handler.send(str(handler.headers["Authorization"]).encode())), fetcher()

    texts = {fetch(server.url()), fetch(server.url().replace("//", "//a:b@")), fetch(server.url("/file?x"))}

    assert texts == {"None", "Basic YTpi"}
    assert len(server.requests) == 3


def test_a_fragment_does_not_make_another_file(serve, fetcher):
    server, fetch = serve(b"one"), fetcher()

    assert fetch(server.url("/file#a")) == fetch(server.url("/file#b"))
    assert len(server.requests) == 1


def test_failures_are_not_kept(serve, fetcher):
    answers = [(b"", 500), (b"one", 200)]

    def answer(handler):
        body, status = answers.pop(0)
        handler.send(body, status=status)

    server, fetch = serve(answer), fetcher()

    with pytest.raises(FetchFailed, match="500"):
        fetch(server.url())
    assert fetch(server.url()) == "one"


def test_a_server_that_is_gone_is_an_error_though_the_file_is_known(serve, fetcher):
    answers = [{"body": b"one", "ETag": '"1"'}, {"status": 503}]
    server, fetch = serve(lambda handler: handler.send(**answers.pop(0))), fetcher()

    assert fetch(server.url()) == "one"
    with pytest.raises(FetchFailed, match="503"):
        fetch(server.url())


# --- for whom


class ObservedCache(Cache):
    """Tells when somebody looks whether a file is known; next they see, in the same step, who fetches it already."""

    def __init__(self):
        super().__init__()
        self.asked = threading.Semaphore(0)

    def get(self, url):
        self.asked.release()
        return super().get(url)


@pytest.mark.parametrize(("status", "expected"), [(200, "one"), (404, FetchFailed)])
def test_all_who_ask_meanwhile_share_one_request(serve, fetcher, status, expected):
    arrived, go_on = threading.Event(), threading.Event()
    cache = ObservedCache()

    def answer(handler):
        arrived.set()
        go_on.wait(PATIENCE)
        handler.send(b"one", status=status, Cache_Control="no-store")

    server = serve(answer)
    fetch = fetcher(timeout=PATIENCE, cache=cache)

    with ThreadPoolExecutor(5) as threads:
        calls = [threads.submit(fetch, server.url())]
        assert arrived.wait(PATIENCE)
        calls += [threads.submit(fetch, server.url()) for _ in range(4)]
        for _ in range(5):
            assert cache.asked.acquire(timeout=PATIENCE)
        go_on.set()

    assert [type(call.exception()) if call.exception() else call.result() for call in calls] == [expected] * 5
    assert len(server.requests) == 1


def test_different_files_do_not_wait_for_each_other(serve, fetcher, released):
    server = serve(lambda handler: released.wait() if handler.path == "/slow" else handler.send(b"quick"))
    fetch = fetcher(timeout=PATIENCE)

    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(fetch, server.url("/slow"))
        assert fetch(server.url("/quick")) == "quick"
        assert not slow.done()
        released.set()


# --- how much


def entry(text, url=""):
    return Entry(text, 0.0, Validators(url, '"1"'))


def test_equal_files_are_kept_once():
    cache = Cache()
    first = cache.put("http://a/x", entry("text" * 1000))
    alone = cache.bytes
    again = cache.put("http://b/x", entry("".join(["text"] * 1000)))

    assert again.text is first.text
    assert cache.bytes - alone < 1000


def test_those_not_used_for_longest_make_room():
    cache = Cache(100_000)
    for name in "abc":
        cache.put(name, entry(name * 30_000))
    cache.get("a")
    cache.put("d", entry("d" * 30_000))

    assert [name for name in "abcd" if cache.get(name)] == ["a", "c", "d"]
    assert cache.bytes <= 100_000


def test_a_text_stays_while_one_of_its_urls_does():
    cache = Cache(100_000)
    cache.put("a", entry("x" * 50_000))
    cache.put("b", entry("x" * 50_000))
    cache.forget("a")

    assert cache.get("a") is None
    assert cache.get("b").text == "x" * 50_000
    cache.forget("b")
    cache.forget("b")
    assert cache.bytes == 0


def test_a_file_larger_than_the_cache_is_not_kept():
    cache = Cache(10_000)

    assert cache.put("a", entry("x" * 20_000)).text == "x" * 20_000
    assert cache.get("a") is None
    assert cache.bytes == 0


def test_empty_files_cost_something_too():
    cache = Cache(10_000)
    for number in range(1000):
        cache.put(str(number), entry(""))

    assert cache.bytes <= 10_000
    assert cache.get("0") is None


# --- for one document


def test_the_files_of_a_document_are_counted(serve, fetcher):
    fetch = fetcher(document_files=2).for_document()
    server = serve(b"x")

    assert [fetch(server.url()), fetch(server.url())] == ["x", "x"]
    with pytest.raises(FetchFailed, match="refers to more than 2 files"):
        fetch(server.url())


def test_the_files_of_a_document_have_a_size_together(serve, fetcher):
    whole = fetcher(document_characters=100)
    server, fetch = serve(b"x" * 60), whole.for_document()

    fetch(server.url("/a"))
    with pytest.raises(FetchFailed, match="have more than 100 characters"):
        fetch(server.url("/b"))
    assert whole.for_document()(server.url("/b")) == "x" * 60


def test_the_files_of_a_document_have_a_time_together(serve, fetcher, released):
    fetch = fetcher(timeout=0.2, document_time=0.1).for_document()
    server = serve(lambda handler: released.wait())

    with pytest.raises(FetchFailed, match="no complete answer"):
        fetch(server.url("/a"))
    with pytest.raises(FetchFailed, match=r"the files of this document took more than 0\.1 s"):
        fetch(server.url("/b"))
    assert len(server.requests) == 1
