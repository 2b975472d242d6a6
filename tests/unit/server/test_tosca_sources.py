"""How the options of im.cfg decide what TOSCA documents may refer to."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from imframework.api.errors import InvalidDocument
from imframework.fetching import FetchFailed
from imframework.languages.tosca import ARTIFACTS_URL, Sources, translate
from imframework.server.tosca_sources import tosca_sources
from imframework.settings.loader import load

DOCUMENT = """
tosca_definitions_version: tosca_simple_yaml_1_0
topology_template:
  node_templates:
    site:
      type: tosca.nodes.SoftwareComponent
      requirements: [ { host: server } ]
      interfaces: { Standard: { configure: { implementation: IMPLEMENTATION } } }
    server: { type: tosca.nodes.Compute }
"""


@pytest.fixture
def sources(tmp_path):
    """The Sources of one document, by lines of im.cfg."""

    def make(*lines: str) -> Sources:
        path = tmp_path / "im.cfg"
        path.write_text("\n".join(["[im]", *lines]))
        settings, problems = load(path, {"IM_DATA_DB": str(tmp_path / "inf.dat")}, {}, system_directory=tmp_path)
        assert problems == []
        return tosca_sources(settings)()

    return make


@pytest.fixture
def recipes():
    """The URL of a server that has a recipe, named after its path, at every path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"- tasks: [{{name: 'from {self.path}', ping: }}]".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Servers of tests are silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join(30)
    server.server_close()


def recipe_of(implementation, sources):
    radl = translate(DOCUMENT.replace("IMPLEMENTATION", implementation), sources=sources).radl
    return radl.configures["site_server_conf"].recipe


def test_by_default_relative_paths_are_those_of_the_public_repository(sources):
    found = sources()

    assert (found.artifacts_url, found.templates) == (ARTIFACTS_URL, "")
    assert found.artifact("any/path.yml") is None


def test_by_default_nothing_of_this_machine_can_be_fetched(sources, recipes):
    with pytest.raises(InvalidDocument, match="loopback address, and is not among those that the operator allows"):
        recipe_of(f"{recipes}/a.yml", sources())


def test_a_host_that_the_operator_allows_can_be_fetched_from(sources, recipes):
    assert "from /a.yml" in recipe_of(f"{recipes}/a.yml", sources("TOSCA_ALLOWED_HOSTS = 127.0.0.1"))


def test_schemes_can_be_restricted(sources, recipes):
    restricted = sources("TOSCA_ALLOWED_HOSTS = 127.0.0.1", "TOSCA_ALLOWED_SCHEMES = https")

    with pytest.raises(InvalidDocument, match="http is not fetched here, only https"):
        recipe_of(f"{recipes}/a.yml", restricted)


def test_files_of_the_server_are_never_read(sources, tmp_path):
    (tmp_path / "secret.yml").write_text("- tasks: []")

    with pytest.raises(InvalidDocument, match="files of the server are not read"):
        recipe_of(f"file://{tmp_path}/secret.yml", sources())


def test_private_networks_of_the_site_are_not_fetched_from(sources):
    found = sources("PRIVATE_NET_MASKS = 8.8.8.0/24")

    with pytest.raises(InvalidDocument, match="a private address"):
        recipe_of("http://8.8.8.8/a.yml", found)


def test_a_relative_path_is_looked_for_in_the_folder_then_at_the_url(sources, recipes, tmp_path):
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "here.yml").write_text("- tasks: [{name: from the folder, ping: }]")
    found = sources(
        "TOSCA_ALLOWED_HOSTS = 127.0.0.1",
        f"TOSCA_ARTIFACTS_DIR = {tmp_path}/artifacts",
        f"TOSCA_ARTIFACTS_URL = {recipes}/mirror",
    )

    assert "from the folder" in recipe_of("here.yml", found)
    assert "from /mirror/there.yml" in recipe_of("there.yml", found)


def test_templates_are_those_of_the_repository(sources):
    found = sources("OAIPMH_REPO_BASE_IDENTIFIER_URL = https://templates.example.org/all/")

    assert found.templates == "https://templates.example.org/all/"


def test_the_limits_are_those_of_the_options(sources, recipes):
    found = sources("TOSCA_ALLOWED_HOSTS = 127.0.0.1", "TOSCA_FETCH_MAX_SIZE = 1024")

    with pytest.raises(FetchFailed, match="it has more than 1024 bytes"):
        found.fetch(f"{recipes}/{'x' * 1024}")
