"""The grammar of credential lists: every form a request can carry, and what is refused."""

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imframework.api.errors import Unauthenticated
from imframework.api.model import Credential
from imframework.core.credentials import (
    MAX_CHARACTERS,
    MAX_ITEMS,
    MAX_KEYS,
    Endpoint,
    Malformed,
    clouds,
    endpoint,
    from_items,
    identities,
    parse_header,
    to_header,
)


def one(text: str) -> dict[str, str]:
    """The keys of the only item of a header, with its type and id."""
    (item,) = parse_header(text)
    return {"id": item.id, "type": item.type, **item.fields}


def refusal(text: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        parse_header(text)
    return str(caught.value)


class TestLines:
    def test_are_separated_by_the_two_characters_backslash_and_n(self):
        items = parse_header(r"type = InfrastructureManager; username = u; password = p\nid = one; type = OpenNebula\n")

        assert [(item.id, item.type) for item in items] == [
            ("InfrastructureManager0", "InfrastructureManager"),
            ("one", "OpenNebula"),
        ]
        assert dict(items[0].fields) == {"username": "u", "password": "p"}

    def test_may_come_as_the_text_of_a_file(self):
        text = "# mine\r\n\r\ntype = Dummy\r\n  # not this one; type = OpenStack\ntype=EC2;username=k;password=s\n"

        assert [item.type for item in parse_header(text)] == ["Dummy", "EC2"]

    def test_need_no_blanks_around_the_equals_sign(self):
        assert one("type=EC2 ;username=k;  password  =  s  ") == {
            "id": "EC20",
            "type": "EC2",
            "username": "k",
            "password": "s",
        }

    def test_keep_further_equals_signs_of_an_unquoted_value(self):
        assert one("type = EC2; password = c2VjcmV0Cg==")["password"] == "c2VjcmV0Cg=="

    def test_lose_the_quotes_but_not_what_they_protect(self):
        item = one("""type = 'X'; a = 'x;y=z'; b = "it's"; c = '"'; d = ' kept '; e = pre'fix;ed'; f = ''""")

        assert item == {
            "id": "X0",
            "type": "X",
            "a": "x;y=z",
            "b": "it's",
            "c": '"',
            "d": " kept ",
            "e": "prefix;ed",
            "f": "",
        }

    def test_take_a_quote_without_a_partner_literally(self):
        assert one("type = X; password = pa'ss; username = u") == {
            "id": "X0",
            "type": "X",
            "password": "pa'ss",
            "username": "u",
        }

    def test_end_at_a_piece_that_is_no_pair_and_keep_what_came_before(self):
        assert one("type = X; a = 1; nonsense; b = 2") == {"id": "X0", "type": "X", "a": "1"}
        assert one("type = 'X'; a = '1'; 'b = 2'; c = 3") == {"id": "X0", "type": "X", "a": "1"}

    @pytest.mark.parametrize("text", ["type = X;", "type = X;;", ";type = X", "type = 'X' ; ; "])
    def test_ignore_empty_pieces(self, text):
        assert one(text) == {"id": "X0", "type": "X"}

    def test_take_the_last_of_a_repeated_key(self):
        assert one("type = X; a = 1; a = 2")["a"] == "2"

    def test_keep_unknown_keys(self):
        assert one("type = X; colour = red")["colour"] == "red"

    def test_never_evaluate_functions(self):
        item = one("type = X; password = file(/etc/passwd); token = command(id)")

        assert (item["password"], item["token"]) == ("file(/etc/passwd)", "command(id)")


class TestNewlinesInsideValues:
    def test_come_as_two_backslashes_and_n(self):
        assert one(r"type = GCE; password = BEGIN\\nMII\\nEND")["password"] == "BEGIN\nMII\nEND"

    def test_come_as_backslash_and_n_inside_quotes(self):
        items = parse_header(r"""type = GCE; password = '{"key": "BEGIN\nMII"}'; project = p\ntype = Dummy""")

        assert [item.type for item in items] == ["GCE", "Dummy"]
        assert items[0].get("password") == '{"key": "BEGIN\nMII"}'
        assert items[0].get("project") == "p"

    def test_cannot_be_told_from_separators_when_a_quote_stays_open(self):
        items = parse_header(r"type = X; password = pa'ss\ntype = Dummy")

        assert [item.type for item in items] == ["X", "Dummy"]


class TestJson:
    def test_is_recognised_by_its_bracket(self):
        items = [
            {"id": "a", "type": "OpenStack", "password": "x;y'\"=\\n"},
            {"type": "InfrastructureManager", "token": "t"},
        ]

        parsed = parse_header("  " + json.dumps(items))

        assert [(item.id, item.type, dict(item.fields)) for item in parsed] == [
            ("a", "OpenStack", {"password": "x;y'\"=\\n"}),
            ("InfrastructureManager1", "InfrastructureManager", {"token": "t"}),
        ]

    def test_keeps_newline_escapes_inside_strings(self):
        assert one('[{"type": "GCE", "password": "BEGIN\\nEND"}]')["password"] == "BEGIN\nEND"

    def test_may_have_been_joined_from_several_lines(self):
        assert one(r'[\n  {"type": "X",\n   "a": "1"}\n]\n') == {"id": "X0", "type": "X", "a": "1"}

    def test_takes_numbers_and_booleans_as_text_and_drops_nulls(self):
        assert one('[{"type": "X", "a": 1.5, "b": true, "c": 7, "d": null}]') == {
            "id": "X0",
            "type": "X",
            "a": "1.5",
            "b": "true",
            "c": "7",
        }

    def test_may_be_empty(self):
        assert parse_header("[]") == ()

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ('[{"type": "s3cret"', "it begins with '[' but is not valid JSON: Expecting ',' delimiter at character 19"),
            ("[" * 200_000, "it begins with '[' but is not valid JSON"),
            ('[{"type": "X", "a": ' + "9" * 5000 + "}]", "it begins with '[' but is not valid JSON"),
            ('["s3cret"]', "item 1 is not a structure of keys and values"),
            ('[{"type": "X"}, {"type": "X", "a": ["s3cret"]}]', "a key or value of item 2 is not text"),
            (r'[{"type": "X", "a": "\ud800"}]', "a key or value of item 1 is not text"),
            ("[" + '{"type": "X"},' * MAX_ITEMS + '{"type": "X"}]', f"it has more than {MAX_ITEMS} items"),
        ],
    )
    def test_says_what_is_wrong_and_shows_no_value(self, text, reason):
        assert refusal(text) == f"Error parsing authentication data: {reason}"


class TestSchemes:
    def test_bearer_is_an_item_with_a_token(self):
        assert one("Bearer abc.def-_~+/==") == {
            "id": "InfrastructureManager0",
            "type": "InfrastructureManager",
            "token": "abc.def-_~+/==",
        }

    def test_basic_is_an_item_with_username_and_password(self):
        header = "basic " + base64.b64encode("jürgen:pass:with:colons".encode()).decode()

        assert one(header) == {
            "id": "InfrastructureManager0",
            "type": "InfrastructureManager",
            "username": "jürgen",
            "password": "pass:with:colons",
        }

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("Bearer", "Bearer must be followed by one token"),
            ("Bearer s3cret s3cret", "Bearer must be followed by one token"),
            ("Basic", "Basic must hold a username and a password with a colon between them"),
            ("Basic s3cret!", "Basic must be followed by base64 of UTF-8 text"),
            ("Basic gICA", "Basic must be followed by base64 of UTF-8 text"),
            ("Basic s\u00e9cret", "Basic must be followed by base64 of UTF-8 text"),
            ("Basic " + base64.b64encode(b"s3cret").decode(), "Basic must hold a username and a password"),
        ],
    )
    def test_are_refused_when_malformed(self, text, reason):
        assert refusal(text).startswith(f"Error parsing authentication data: {reason}")


class TestItems:
    @pytest.mark.parametrize("text", ["", "   ", "\n"])
    def test_must_be_there(self, text):
        assert refusal(text) == "No authentication data provided"

    def test_need_a_type(self):
        assert refusal(r"type = X\nusername = s3cret") == "Error parsing authentication data: item 2 has no type"
        assert refusal("s3cret") == "Error parsing authentication data: item 1 has no type"

    @pytest.mark.parametrize("name", ["a", "_x", ".x", "ost-1.b_c", "ñandú"])
    def test_may_have_an_id(self, name):
        assert one(f"id = {name}; type = X")["id"] == name

    @pytest.mark.parametrize("name", ["1a", "-a", "a b", "a/b", "a\u0301/", "a$"])
    def test_refuse_an_ill_formed_id(self, name):
        assert refusal(f"id = {name}; type = X").endswith(f"Incorrect value in auth item id: {name}")

    def test_count_an_empty_id_as_none_and_number_the_whole_list(self):
        items = parse_header(r"type = InfrastructureManager; token = t\nid = ; type = Dummy\ntype = Dummy")

        assert [item.id for item in items] == ["InfrastructureManager0", "Dummy1", "Dummy2"]

    def test_refuse_a_host_whose_port_is_no_number(self):
        reason = "the port of a host is not a number from 1 to 65535"

        assert refusal("type = X; host = https://server:s3cret/") == f"Error parsing authentication data: {reason}"

    def test_are_limited_in_size_and_number(self):
        assert "longer than" in refusal("type = X; a = " + "b" * MAX_CHARACTERS)
        assert "more than" in refusal("type = X; " + ";".join(f"k{n} = v" for n in range(MAX_KEYS)))
        assert "the id of item 1 is longer" in refusal("type = X; id = " + "b" * 1000)
        assert "the type of item 1 is longer" in refusal("type = " + "b" * 1000)
        with pytest.raises(Unauthenticated, match="longer than"):
            from_items([{"type": "X", "a": "b" * MAX_CHARACTERS}])

    def test_come_as_native_structures_too(self):
        assert from_items([{"type": "X", "id": "x", "a": "1"}])[0].get("a") == "1"

    @pytest.mark.parametrize("items", [None, "text", {"type": "X"}, [None], [[]], [{1: b""}], [{"type": 10**5000}]])
    def test_are_refused_when_they_are_something_else(self, items):
        with pytest.raises(Malformed, match=r"^(it|item 1|a key or value of item 1) (is|has) "):
            from_items(items)

    def test_cannot_be_changed(self):
        (item,) = parse_header("type = X; a = 1")

        with pytest.raises(TypeError):
            item.fields["a"] = "2"


def test_clouds_are_all_items_but_identities_catalogues_and_stand_ins():
    items = from_items(
        [
            {"type": t}
            for t in ("InfrastructureManager", "OpenStack", "VMRC", "EGIIS", "AppDBIS", "Vault", "vault", "EGI")
        ]
    )

    assert [item.type for item in clouds(items)] == ["OpenStack", "EGI"]
    assert [item.type for item in identities(items)] == ["InfrastructureManager"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("server", Endpoint("server")),
        ("server:5000", Endpoint("server", port=5000)),
        ("https://server.example.org", Endpoint("server.example.org", "https")),
        ("http://server:80/v3/", Endpoint("server", "http", 80, "/v3/")),
        ("server/path:with?http://x", Endpoint("server", path="/path:with?http://x")),
        ("https://[2001:db8::1]:6443/k", Endpoint("2001:db8::1", "https", 6443, "/k")),
        ("[::1]", Endpoint("::1")),
        ("2001:db8::1", Endpoint("2001:db8::1")),
        ("unix:///var/run/docker.sock", Endpoint("", "unix", None, "/var/run/docker.sock")),
    ],
)
def test_a_host_has_a_protocol_a_server_a_port_and_a_path(host, expected):
    assert endpoint(host) == expected


@pytest.mark.parametrize(
    "host", ["s:", "s:http", "s:0", "s:65536", "s:-1", "s:²", "s:1:2", "[::1]5000", "https://s:5000x/p"]
)
def test_a_host_with_a_bad_port_is_refused(host):
    with pytest.raises(Unauthenticated, match="the port of a host is not a number"):
        endpoint(host)


# --- properties --------------------------------------------------------------------------------------------

names = st.from_regex(r"[A-Za-z_.][A-Za-z0-9_.-]{0,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
json_items = st.builds(
    lambda name, kind, fields: Credential(name, kind, fields),
    names,
    texts.filter(bool),
    st.dictionaries(texts.filter(lambda key: key not in {"id", "type", "host"}), texts, max_size=5),
)


def line(item: Credential) -> str:
    """An item as a line of a header: every value in quotes, newlines in the three-character form."""

    def quoted(text: str) -> str:
        quote = '"' if "'" in text else "'"
        return quote + text.replace("\n", r"\\n") + quote

    pairs = {"id": item.id, "type": item.type, **item.fields}
    return "; ".join(f"{key} = {quoted(value)}" for key, value in pairs.items())


line_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\"), max_size=30).filter(
    lambda text: not ("'" in text and '"' in text)
)
line_items = st.builds(
    lambda name, kind, fields: Credential(name, kind, fields),
    names,
    st.from_regex(r"[A-Z][A-Za-z]{1,14}", fullmatch=True),
    st.dictionaries(names.filter(lambda key: key not in {"id", "type", "host"}), line_texts, max_size=5),
)


@given(st.lists(json_items, max_size=5))
def test_what_is_printed_as_a_header_is_read_as_the_same_items(items):
    header = to_header(items)

    assert header.isascii()
    assert list(parse_header(header)) == items


@given(st.lists(line_items, min_size=1, max_size=4))
def test_quoted_lines_are_read_as_the_items_they_were_made_of(items):
    assert list(parse_header(r"\n".join(line(item) for item in items))) == items


fragments = st.sampled_from(
    [
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
        ";",
        "=",
        "\\",
        "\\n",
        "\\\\n",
        "\n",
        "id",
        "type",
        "host",
        ":",
        "://",
        "Bearer ",
        "Basic ",
        "#",
    ]
)


@given(st.one_of(st.text(), st.lists(st.one_of(fragments, st.text(max_size=5)), max_size=40).map("".join)))
@example("Basic \x00")
@example("type=x;host=[")
@example("[" * 10_000)
@example('[{"type": "\\udfff"}]')
@example("\ud800")
def test_any_text_gives_items_or_is_refused(text):
    try:
        items = parse_header(text)
    except Unauthenticated:
        return
    for item in items:
        assert item.type
        assert item.id
        assert all(isinstance(value, str) for value in item.fields.values())
        to_header([item]).encode()


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.one_of(st.text(), st.integers()), inner)),
)


@given(st.one_of(anything, st.lists(st.dictionaries(st.sampled_from(["id", "type", "host", "a"]), anything))))
def test_any_structure_gives_items_or_is_refused(items):
    try:
        parsed = from_items(items)
    except Unauthenticated:
        return
    assert list(parse_header(to_header(parsed))) == list(parsed)
