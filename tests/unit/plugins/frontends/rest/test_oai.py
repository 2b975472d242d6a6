"""The catalogue as harvesters see it: every verb, every error, lists in pages, and documents that are well formed."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from defusedxml import ElementTree as ET
from hypothesis import given, settings
from hypothesis import strategies as st

from imframework.api.service import Template
from imframework_plugins.frontends.rest.oai.formats import FORMATS
from imframework_plugins.frontends.rest.oai.protocol import VERBS, Repository, respond
from imframework_plugins.frontends.rest.oai.records import records

BASE = "https://github.com/example/templates/blob/main/"
ENABLED = {
    "OAIPMH_REPO_NAME": "Templates & more",
    "OAIPMH_REPO_DESCRIPTION": "Templates of the site <all>",
    "OAIPMH_REPO_BASE_IDENTIFIER_URL": BASE,
    "OAIPMH_REPO_ADMIN_EMAIL": "admin@example.org",
}
NS = {
    "o": "http://www.openarchives.org/OAI/2.0/",
    "oai_dc": "http://www.openarchives.org/OAI/2.0/oai_dc/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "oaire": "http://namespace.openaire.eu/schema/oaire/",
    "datacite": "http://datacite.org/schema/kernel-4",
}
SCHEMA_LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
SLURM = Template(
    "slurm.yaml",
    {
        "display_name": ("SLURM <virtual> & cluster",),
        "template_author": ("Ana", "Miguel \x00\ud800"),
        "creation_date": ("2021-05-03",),
        "publisher": ("The site",),
        "format": ("text/yaml",),
        "description": ("A queue",),
        "template_version": ("1.2.0",),
        "tag": ("batch", "cluster"),
        "subject": ("computing",),
        "related_identifier": ("10.5281/zenodo.1",),
    },
)
PLAIN = Template("plain file.yml", {})
LISTS = ("ListIdentifiers", "ListRecords")


def template(name, day=""):
    return Template(name, {"creation_date": (day,)} if day else {})


@pytest.fixture
def repository(serve):
    """A server with a repository, and the means to harvest it."""

    def start(*templates, **options):
        server = serve(**ENABLED, **options)
        server.service.catalogue = list(templates)
        return Harvester(server)

    return start


class Harvester:
    def __init__(self, server):
        self.server = server

    def ask(self, query="", **arguments):
        """The document that answers a GET, whose structure is that of the schema."""
        arguments = {name.rstrip("_"): value for name, value in arguments.items()}
        target = f"/oai?{query or urlencode(arguments)}"
        return self.checked(self.server.get(target, auth=None))

    @staticmethod
    def checked(answer):
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
        root = ET.fromstring(answer.body)
        assert root.tag == f"{{{NS['o']}}}OAI-PMH"
        assert root.get(SCHEMA_LOCATION) == f"{NS['o']} http://www.openarchives.org/OAI/2.0/OAI-PMH.xsd"
        date, request, *content = root
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", date.text)
        assert [date.tag, request.tag] == [f"{{{NS['o']}}}responseDate", f"{{{NS['o']}}}request"]
        names = [element.tag.rpartition("}")[2] for element in content]
        assert set(names) == {"error"} or names == [request.get("verb")], names
        assert request.text.endswith("/oai")
        if {error.get("code") for error in root.findall("o:error", NS)} & {"badVerb", "badArgument"}:
            assert request.attrib == {}
        return root

    def error(self, query="", **arguments):
        errors = self.ask(query, **arguments).findall("o:error", NS)
        assert all(error.text for error in errors)
        [code] = {error.get("code") for error in errors} or {""}
        return code

    def names(self, verb="ListIdentifiers", **arguments):
        """The names of the files that a list has, over all its pages."""
        found, sizes = [], []
        document = self.ask(verb=verb, **(arguments or {"metadataPrefix": "oai_dc"}))
        while True:
            page = [element.text for element in document.iterfind(".//o:header/o:identifier", NS)]
            token = document.find(f"o:{verb}/o:resumptionToken", NS)
            if token is not None:
                assert int(token.get("cursor")) == len(found)
                sizes.append(int(token.get("completeListSize")))
            found += page
            assert page
            if token is None or not token.text:
                break
            document = self.ask(verb=verb, resumptionToken=token.text)
        assert all(size == len(found) for size in sizes)
        return [name.removeprefix(BASE) for name in found]


# --- whether it is there -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["OAIPMH_REPO_NAME", "OAIPMH_REPO_DESCRIPTION", "OAIPMH_REPO_BASE_IDENTIFIER_URL"])
def test_it_is_off_unless_all_is_set_that_it_needs(serve, missing):
    answer = serve(**{**ENABLED, missing: ""}).get("/oai?verb=Identify", auth=None)
    assert (answer.status, answer.text) == (400, "OAI-PMH not enabled.")


def test_a_form_is_as_good_as_a_query(repository):
    harvester = repository(SLURM)
    form = {"Content_Type": "application/x-www-form-urlencoded; charset=utf-8", "auth": None}
    answer = harvester.checked(harvester.server.post("/oai", b"verb=GetRecord&metadataPrefix=nope", **form))
    assert answer.find("o:error", NS).get("code") == "badArgument"
    identifier = urlencode({"identifier": f"{BASE}slurm.yaml"})
    body = f"verb=GetRecord&metadataPrefix=oai_dc&{identifier}".encode()
    record = harvester.checked(harvester.server.post("/oai", body, **form))
    assert record.find(".//oai_dc:dc/dc:title", NS).text == "SLURM <virtual> & cluster"
    assert harvester.server.post("/oai", b"{}", Content_Type="application/json", auth=None).status == 415


# --- the verbs ---------------------------------------------------------------------------------------------------


def test_identify_says_who_offers_what(repository):
    harvester = repository(SLURM)
    identify = harvester.ask(verb="Identify").find("o:Identify", NS)
    texts = [(element.tag.rpartition("}")[2], element.text) for element in identify]
    assert texts == [
        ("repositoryName", "Templates & more"),
        ("baseURL", f"{harvester.server.url}/oai"),
        ("protocolVersion", "2.0"),
        ("adminEmail", "admin@example.org"),
        ("earliestDatestamp", "2000-01-01"),
        ("deletedRecord", "no"),
        ("granularity", "YYYY-MM-DD"),
        ("description", None),
    ]
    assert identify.find("o:description/oai_dc:dc/dc:description", NS).text == "Templates of the site <all>"


def test_the_base_url_is_the_one_that_clients_use(repository):
    headers = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "im.example.org", "X_Forwarded_Prefix": "/im"}
    answer = repository().server.get("/oai?verb=Identify", auth=None, **headers)
    document = Harvester.checked(answer)
    assert document.find("o:request", NS).text == "https://im.example.org/im/oai"


def test_the_request_is_repeated_with_its_arguments(repository):
    request = (
        repository(SLURM).ask(verb="ListRecords", metadataPrefix="oai_dc", from_="2020-01-01").find("o:request", NS)
    )
    assert request.attrib == {"verb": "ListRecords", "metadataPrefix": "oai_dc", "from": "2020-01-01"}


def test_the_formats_are_those_that_records_have(repository):
    harvester = repository(SLURM)
    for arguments in ({}, {"identifier": f"{BASE}slurm.yaml"}):
        listed = harvester.ask(verb="ListMetadataFormats", **arguments).findall(".//o:metadataFormat", NS)
        formats = {form.find("o:metadataPrefix", NS).text: form for form in listed}
        assert list(formats) == ["oai_dc", "oai_openaire", "oai_datacite"]
        for prefix, form in formats.items():
            record = harvester.ask(verb="GetRecord", identifier=f"{BASE}slurm.yaml", metadataPrefix=prefix)
            [root] = record.find(".//o:metadata", NS)
            namespace, schema = (form.find(f"o:{name}", NS).text for name in ("metadataNamespace", "schema"))
            assert root.tag.startswith(f"{{{namespace}}}")
            assert root.get(SCHEMA_LOCATION) == f"{namespace} {schema}"


def metadata(harvester, prefix, name="slurm.yaml"):
    """The elements of a record in a format, as (prefixed name, attributes, text)."""
    document = harvester.ask(verb="GetRecord", identifier=BASE + name, metadataPrefix=prefix)
    [root] = document.findall("o:GetRecord/o:record/o:metadata/*", NS)
    prefixes = {uri: short for short, uri in NS.items()}

    def short(tag):
        uri, _, local = tag[1:].partition("}")
        return f"{prefixes[uri]}:{local}"

    return short(root.tag), [(short(element.tag), element.attrib, "".join(element.itertext())) for element in root]


def test_a_record_in_dublin_core(repository):
    assert metadata(repository(SLURM), "oai_dc") == (
        "oai_dc:dc",
        [
            ("dc:title", {}, "SLURM <virtual> & cluster"),
            ("dc:creator", {}, "Ana"),
            ("dc:creator", {}, "Miguel \ufffd\ufffd"),
            ("dc:date", {}, "2021-05-03"),
            ("dc:identifier", {}, f"{BASE}slurm.yaml"),
            ("dc:publisher", {}, "The site"),
            ("dc:format", {}, "text/yaml"),
            ("dc:description", {}, "A queue"),
            ("dc:resourceType", {}, "software"),
            ("dc:rights", {}, "openaccess"),
            ("dc:version", {}, "1.2.0"),
            ("dc:subject", {}, "batch"),
            ("dc:subject", {}, "cluster"),
        ],
    )


def test_a_record_for_openaire(repository):
    root, elements = metadata(repository(SLURM), "oai_openaire")
    assert root == "oaire:resource"
    assert ("datacite:rights", {"rightsURI": "http://purl.org/coar/access_right/c_abf2"}, "open access") in elements
    assert ("oaire:version", {}, "1.2.0") in elements
    assert ("oaire:subject", {}, "computing") in elements
    assert ("dc:creator", {}, "Ana") in elements


def test_a_record_for_datacite(repository):
    root, elements = metadata(repository(SLURM), "oai_datacite")
    assert root == "datacite:resource"
    assert ("datacite:creator", {}, "Ana") in elements
    assert ("datacite:date", {"dateType": "Issued"}, "2021-05-03") in elements
    assert ("datacite:identifier", {"identifierType": "URN"}, f"{BASE}slurm.yaml") in elements
    kind = {"resourceTypeGeneral": "software", "uri": "http://purl.org/coar/resource_type/c_5ce6"}
    assert ("oaire:resourceType", kind, "software") in elements
    related = {"relatedIdentifierType": "DOI", "relationType": "References"}
    assert ("datacite:relatedIdentifier", related, "10.5281/zenodo.1") in elements
    assert ("dc:version", {}, "1.2.0") in elements


def test_a_template_that_says_nothing_of_itself_has_its_name_for_a_title(repository):
    harvester = repository(PLAIN)
    assert metadata(harvester, "oai_dc", "plain%20file.yml")[1][0] == ("dc:title", {}, "plain file.yml")
    assert (
        harvester.ask(verb="ListIdentifiers", metadataPrefix="oai_dc").find(".//o:datestamp", NS).text == "2000-01-01"
    )


@pytest.mark.parametrize(
    ("written", "dated"),
    [
        ("2021-05-03", "2021-05-03"),
        ("2021/5/3", "2021-05-03"),
        ("2021-05-03T10:00:00Z", "2021-05-03"),
        ("1999-12-31", "2000-01-01"),
        ("2021-02-30", "2000-01-01"),
        ("yesterday", "2000-01-01"),
        ("20210503", "2000-01-01"),
    ],
)
def test_the_day_of_a_record_is_the_one_its_template_was_made(repository, written, dated):
    document = repository(template("a.yaml", written)).ask(verb="ListRecords", metadataPrefix="oai_dc")
    assert document.find(".//o:datestamp", NS).text == dated


# --- lists -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", LISTS)
def test_a_list_goes_on_page_by_page_and_ends_with_an_empty_token(repository, verb):
    harvester = repository(*(template(f"{i:02}.yaml", f"2020-01-{i:02}") for i in range(1, 8)), OAIPMH_PAGE_SIZE=3)
    assert harvester.names(verb) == [f"{i:02}.yaml" for i in range(1, 8)]


def test_a_list_of_exactly_one_page_has_no_token(repository):
    harvester = repository(*(template(f"{i}.yaml") for i in range(3)), OAIPMH_PAGE_SIZE=3)
    assert harvester.ask(verb="ListRecords", metadataPrefix="oai_dc").find(".//o:resumptionToken", NS) is None


def test_from_and_until_are_days_that_belong_to_the_window(repository):
    harvester = repository(*(template(f"{i}.yaml", f"2020-01-0{i}") for i in range(1, 6)), OAIPMH_PAGE_SIZE=2)
    windows = {
        ("2020-01-02", "2020-01-04"): ["2.yaml", "3.yaml", "4.yaml"],
        ("2020-01-03", "2020-01-03"): ["3.yaml"],
        ("2020-01-04", ""): ["4.yaml", "5.yaml"],
        ("", "2020-01-01"): ["1.yaml"],
    }
    for (begin, end), expected in windows.items():
        given = {name: day for name, day in (("from_", begin), ("until", end)) if day}
        assert harvester.names(metadataPrefix="oai_dc", **given) == expected


def first_token(harvester, **arguments):
    document = harvester.ask(verb="ListRecords", metadataPrefix="oai_dc", **arguments)
    return document.find(".//o:resumptionToken", NS).text


def test_a_token_answers_the_same_each_time_and_on_another_server(repository):
    templates = [template(f"{i}.yaml") for i in range(5)]
    first, second = repository(*templates, OAIPMH_PAGE_SIZE=2), repository(*templates, OAIPMH_PAGE_SIZE=2)
    token = first_token(first)
    pages = [harvester.ask(verb="ListRecords", resumptionToken=token) for harvester in (first, first, second)]
    assert len({tuple(e.text for e in page.iterfind(".//o:identifier", NS)) for page in pages}) == 1


def test_a_token_of_a_list_that_has_changed_is_refused(repository):
    harvester = repository(*(template(f"{i}.yaml") for i in range(5)), OAIPMH_PAGE_SIZE=2)
    token = first_token(harvester)
    harvester.server.service.catalogue.pop(0)
    assert harvester.error(verb="ListRecords", resumptionToken=token) == "badResumptionToken"


def test_a_token_is_good_for_its_own_verb_only(repository):
    harvester = repository(*(template(f"{i}.yaml") for i in range(5)), OAIPMH_PAGE_SIZE=2)
    assert harvester.error(verb="ListIdentifiers", resumptionToken=first_token(harvester)) == "badResumptionToken"


@pytest.mark.parametrize("token", ["", "x", "AAAA", "W10", "WzFd", "é", "a" * 5000, "eyJhIjoxfQ", "bnVsbA"])
@pytest.mark.parametrize("verb", [*LISTS, "ListSets"])
def test_garbage_is_no_token(repository, verb, token):
    assert repository(SLURM).error(verb=verb, resumptionToken=token) == "badResumptionToken"


# --- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "badVerb"),
        ("verb=", "badVerb"),
        ("verb=identify", "badVerb"),
        ("verb=Identify&verb=Identify", "badVerb"),
        ("verb=Identify&identifier=a", "badArgument"),
        ("verb=Identify&a%01b=c", "badArgument"),
        ("verb=ListMetadataFormats&metadataPrefix=oai_dc", "badArgument"),
        ("verb=ListMetadataFormats&identifier=unknown", "idDoesNotExist"),
        ("verb=ListSets", "noSetHierarchy"),
        ("verb=ListSets&set=a", "badArgument"),
        ("verb=GetRecord", "badArgument"),
        ("verb=GetRecord&metadataPrefix=oai_dc", "badArgument"),
        ("verb=GetRecord&identifier=a", "badArgument"),
        ("verb=GetRecord&identifier=a%01&metadataPrefix=oai_dc", "badArgument"),
        ("verb=GetRecord&identifier=a&identifier=a&metadataPrefix=oai_dc", "badArgument"),
        ("verb=GetRecord&identifier=a&metadataPrefix=oai_dc", "idDoesNotExist"),
        (f"verb=GetRecord&identifier={BASE}slurm.yaml&metadataPrefix=marc", "cannotDisseminateFormat"),
        *((f"verb={verb}{rest}", code) for verb in LISTS for rest, code in (
            ("", "badArgument"),
            ("&metadataPrefix=", "badArgument"),
            ("&metadataPrefix=a%20b", "badArgument"),
            ("&metadataPrefix=marc", "cannotDisseminateFormat"),
            ("&metadataPrefix=oai_dc&metadataPrefix=oai_dc", "badArgument"),
            ("&metadataPrefix=oai_dc&from=2020", "badArgument"),
            ("&metadataPrefix=oai_dc&from=2020-13-01", "badArgument"),
            ("&metadataPrefix=oai_dc&from=2020-01-01T00:00:00Z", "badArgument"),
            ("&metadataPrefix=oai_dc&from=2020-01-01&until=2020-01-01T00:00:00Z", "badArgument"),
            ("&metadataPrefix=oai_dc&from=2020-01-02&until=2020-01-01", "badArgument"),
            ("&metadataPrefix=oai_dc&from=%D9%A2020-01-02", "badArgument"),
            ("&metadataPrefix=oai_dc&until=1990-01-01", "noRecordsMatch"),
            ("&metadataPrefix=oai_dc&from=2022-01-01", "noRecordsMatch"),
            ("&metadataPrefix=oai_dc&set=a:b", "noSetHierarchy"),
            ("&metadataPrefix=oai_dc&set=", "badArgument"),
            ("&metadataPrefix=oai_dc&resumptionToken=x", "badArgument"),
        )),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_by_its_code(repository, query, code):
    assert repository(SLURM).error(query or "x=y") == code


def test_an_empty_repository_has_no_records(repository):
    assert repository().error(verb="ListRecords", metadataPrefix="oai_dc") == "noRecordsMatch"


def test_every_wrong_argument_is_named(repository):
    document = repository().ask("verb=GetRecord&a=b&c=d")
    assert len(document.findall("o:error", NS)) == 4


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["verb", "metadataPrefix", "identifier", "from", "until", "set", "resumptionToken"])
            | st.text(max_size=5),
            st.sampled_from([*VERBS, *FORMATS, "2020-01-01", f"{BASE}slurm.yaml"]) | st.text(max_size=20),
        ),
        max_size=4,
    )
)
def test_whatever_is_asked_the_answer_is_a_document(arguments):
    found = records([SLURM, PLAIN], BASE)
    document = respond(Repository("name", "about", "", "http://x/oai", 1, found), arguments, 0.0)
    root = ET.fromstring(document)
    assert root.find("o:responseDate", NS).text == "1970-01-01T00:00:00Z"
    assert len(root) >= 3
