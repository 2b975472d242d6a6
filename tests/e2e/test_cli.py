"""The command line with a real service, real machines of this computer, and real Ansible.

Machines cost seconds, so the tests share one service, and most of them one deployment of one machine.
"""

import json
import os
import pty
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from imframework.cli.ssh import Login
from imframework.cli.ssh import _configuration as ssh_configuration

DOCUMENT = """\
network net ()
system node (net_interface.0.connection = 'net' and disk.0.image.url = 'local://localhost')
configure node (
@begin
---
- tasks:
    - name: Say hello
      ansible.builtin.copy:
        content: "@input.greeting@"
        dest: greeting
@end
)
deploy node 1
"""

SLOW = """\
system node (disk.0.image.url = 'local://localhost')
configure node (
@begin
---
- tasks:
    - name: Take one's time
      ansible.builtin.command: sleep 3
    - name: Say that it is done
      ansible.builtin.file:
        path: done
        state: touch
@end
)
deploy node 1
"""

BROKEN = """\
system node (disk.0.image.url = 'local://localhost')
configure node (
@begin
---
- tasks:
    - name: Do the impossible
      ansible.builtin.fail:
        msg: it cannot be done
@end
)
deploy node 1
"""

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_0
imports:
  - types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml
topology_template:
  inputs:
    nodes: { type: integer, default: 1 }
  node_templates:
    node:
      type: tosca.nodes.indigo.Compute
      capabilities:
        scalable: { properties: { count: { get_input: nodes } } }
        os: { properties: { type: linux, image: "local://localhost" } }
  outputs:
    addresses: { value: { get_attribute: [ node, private_address ] } }
    second: { value: { get_attribute: [ other, private_address, 0 ] } }
"""

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.slow]

COMMAND = (sys.executable, "-m", "imframework.cli")


class CommandLine:
    """The command line as one user of a service has it."""

    def __init__(self, folder, url):
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "IMFRAMEWORK_URL": url,
            "IMFRAMEWORK_AUTH_FILE": str(folder / "auth.dat"),
        }

    def popen(self, *arguments, **options):
        """Start a command."""
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            **{"env": self.environment, "cwd": self.folder, "text": True, "stdin": subprocess.DEVNULL, **options},
        )

    def run(self, *arguments, env=None):
        """Run a command to its end."""
        process = self.popen(
            *arguments, env={**self.environment, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def write(self, name, text):
        """Write a file; its path."""
        path = self.folder / name
        path.write_text(text)
        return path


@pytest.fixture(scope="module")
def service(new_module_server, tmp_path_factory):
    """The command line of a user whose password is in a file, and a service that knows the user."""
    folder = tmp_path_factory.mktemp("ana")
    password = secrets.token_urlsafe()
    users = folder / "users.json"
    users.write_text(json.dumps({"users": [{"username": "ana", "password": password}]}))
    server = new_module_server(USER_DB=users).start()
    server.secrets.add(password)
    service = CommandLine(folder, f"http://{server.host}:{server.port}")
    service.write("password", password)
    service.write(
        "auth.dat",
        f"type = InfrastructureManager; username = ana; password = file({folder}/password)\nid = here; type = Local\n",
    )
    yield service
    for record in json.loads(service.run("list", "--json").stdout):
        assert service.run("destroy", record["id"]).returncode == 0
    assert server.stop() == 0


@pytest.fixture(scope="module")
def deployment(service):
    """The outcome of `deploy --watch --json` of one machine."""
    document = service.write("hello.radl", DOCUMENT)
    return service.run("deploy", document, "--param", "greeting=hello", "--watch", "--json")


@pytest.fixture(scope="module")
def infrastructure(deployment):
    """The id of the infrastructure with one configured machine."""
    assert deployment.returncode == 0, deployment.stderr
    return json.loads(deployment.stdout)["id"]


def test_a_watched_deployment_ends_configured_and_has_told_its_steps(deployment):
    assert deployment.returncode == 0, deployment.stderr
    outcome = json.loads(deployment.stdout)
    assert (outcome["state"], outcome["machines"]) == ("configured", {"0": "configured"})
    told = [line.partition(" ")[2] for line in deployment.stderr.splitlines()]
    for line in ("machine 0: running", "machine 0: node_node started", "machine 0: node_node done"):
        assert line in told
    assert told[-2] == "infrastructure: configured"
    assert f"imframework show {outcome['id']}" in told[-1]


def test_what_was_deployed_is_listed_and_shown(service, infrastructure):
    listed = json.loads(service.run("list", "--json").stdout)
    assert {"id": infrastructure, "state": "configured", "machines": {"0": "configured"}} in listed
    assert [infrastructure, "configured", "1"] in [line.split() for line in service.run("list").stdout.splitlines()]

    shown = service.run("show", infrastructure)
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[0] == f"{infrastructure} is configured"
    number, system, state, address, cloud = shown.stdout.splitlines()[2].split()
    assert (number, system, state, cloud) == ("0", "node", "configured", "Local")
    assert address.startswith("127.")


def test_secrets_of_machines_are_shown_on_demand_only(service, infrastructure):
    (plain,) = json.loads(service.run("show", infrastructure, "--json").stdout)["machines"]
    (full,) = json.loads(service.run("show", infrastructure, "--json", "--secrets").stdout)["machines"]

    assert plain["addresses"] == full["addresses"]
    assert "PRIVATE KEY" not in str(plain)
    assert any("BEGIN OPENSSH PRIVATE KEY" in str(part) for part in full["radl"])


def test_the_log_is_printed_whole_followed_to_its_end_or_for_one_machine(service, infrastructure):
    whole = service.run("logs", infrastructure).stdout
    followed = service.run("logs", infrastructure, "-f").stdout
    one = service.run("logs", infrastructure, "--vm", "0").stdout

    assert "TASK [Say hello]" in whole
    assert one in whole
    shown = [line.removeprefix("VM 0 | ") for line in followed.splitlines()]
    assert [line for line in shown if line in one.splitlines()] == one.splitlines(), "each line comes once, in order"


def test_a_command_runs_on_a_machine_and_ends_as_it_ends(service, infrastructure, tmp_path):
    home = service.run("ssh", infrastructure, "--", "pwd; cat greeting", env={"TMPDIR": str(tmp_path)})

    assert (home.returncode, home.stderr) == (0, "")
    assert home.stdout.splitlines()[-1].endswith("hello")
    assert service.run("ssh", infrastructure, "0", "--", "exit 7", env={"TMPDIR": str(tmp_path)}).returncode == 7
    assert list(tmp_path.iterdir()) == [], "no key is left behind"


def test_a_shell_is_opened_on_a_terminal(service, infrastructure):
    ours, theirs = pty.openpty()
    process = service.popen("ssh", infrastructure, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        os.write(ours, b"cat gree*; exit 3\n")
        said = b""
        while b"hello" not in said:
            said += os.read(ours, 1024)
        status = process.wait(60)
    finally:
        os.close(ours)

    assert status == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_key_is_left_behind_by_a_signal(service, infrastructure, tmp_path, number):
    process = service.popen(
        "ssh",
        infrastructure,
        "--",
        "echo begun; sleep 600",
        stdout=subprocess.PIPE,
        env={**service.environment, "TMPDIR": str(tmp_path)},
    )
    with process.stdout:
        assert process.stdout.readline() == "begun\n"
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "machine.key").stat().st_mode & 0o777 == 0o600
        process.send_signal(number)

        assert process.wait(60) > 128

    assert list(tmp_path.iterdir()) == []


def test_a_machine_is_reached_through_another(service, infrastructure):
    """The same one twice, as all machines here can be reached without."""
    (described,) = json.loads(service.run("show", infrastructure, "--json", "--secrets").stdout)["machines"]
    login = Login.of(0, described["radl"])

    with ssh_configuration(login, login, infrastructure) as (file, _):
        command = ["ssh", "-F", str(file), "machine", "--", "echo $SSH_CONNECTION; exit 9"]
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert outcome.returncode == 9, outcome.stderr
    _, _, own, _ = outcome.stdout.split()
    assert own == login.address


def test_a_machine_that_is_not_there_cannot_be_logged_in_to(service, infrastructure):
    for arguments in (("no-such-id",), (infrastructure, "5")):
        outcome = service.run("ssh", *arguments, "--", "true")
        assert outcome.returncode == 1
        assert outcome.stderr.startswith("Error: ")


def test_events_are_told_as_lines_and_as_json(service, infrastructure):
    lines = service.run("events", infrastructure).stdout
    records = [json.loads(line) for line in service.run("events", infrastructure, "--json").stdout.splitlines()]

    assert "machine 0: node_node done" in lines
    assert [record["sequence"] for record in records] == list(range(1, len(records) + 1))
    later = service.run("events", infrastructure, "--json", "--after", len(records) - 1).stdout
    assert json.loads(later) == records[-1]


def test_a_machine_is_stopped_started_rebooted_and_configured_again(service, infrastructure):
    def state():
        return json.loads(service.run("show", infrastructure, "--json").stdout)["state"]

    for command, expected in (("stop", "stopped"), ("start", "configured"), ("reboot", "configured")):
        done = service.run(command, infrastructure, "0")
        assert (done.returncode, done.stderr) == (0, "")
        followed = service.run("logs", infrastructure, "-f")
        assert followed.returncode == 0
        assert state() == expected
    before = service.run("events", infrastructure).stdout.count("node_node done")
    assert service.run("reconfigure", infrastructure, "0").returncode == 0
    service.run("logs", infrastructure, "-f")
    assert service.run("events", infrastructure).stdout.count("node_node done") == before + 1


def test_a_plan_says_what_would_be_made_and_makes_nothing(service, infrastructure):
    document = service.write("hello.radl", DOCUMENT)
    before = service.run("list", "--json").stdout

    planned = service.run("plan", document, "--param", "greeting=x")
    (lot,) = json.loads(service.run("plan", document, "--param", "greeting=x", "--json").stdout)["create"]

    assert planned.returncode == 0
    assert "node: 1 machine" in planned.stdout
    assert "local://localhost" in planned.stdout
    assert (lot["system"], lot["cloud"], lot["machines"]) == ("node", "here", [0])
    assert service.run("list", "--json").stdout == before


def test_a_plan_that_cannot_be_carried_out_says_why_and_fails(service):
    huge = service.write("huge.radl", "system node (memory.size >= 1000000G)\ndeploy node 1\n")

    planned = service.run("plan", huge)

    assert planned.returncode == 1
    assert "cannot be made" in planned.stdout
    assert "memory.size" in planned.stdout


def test_a_template_is_planned_applied_updated_and_tells_its_outputs(service):
    wrong = service.run("plan", service.write("wrong.yaml", TEMPLATE))
    assert wrong.returncode == 1
    assert "other" in wrong.stderr
    template = service.write("template.yaml", TEMPLATE.replace("[ other,", "[ node,").replace(", 0 ]", ", 1 ]"))

    plan = json.loads(service.run("plan", template, "--json").stdout)
    applied = service.run("apply", plan["id"], "--watch", "--json")
    assert applied.returncode == 0, applied.stderr
    infrastructure = json.loads(applied.stdout)["id"]
    assert infrastructure == plan["infrastructure"]

    stale = json.loads(service.run("plan", template, "--infra", infrastructure, "--param", "nodes=3", "--json").stdout)
    updated = service.run("update", infrastructure, template, "--param", "nodes=2", "--watch")
    assert updated.returncode == 0, updated.stderr
    assert "node: 1 machine\n" in updated.stderr
    assert "node: machine 0 configured again" in updated.stderr
    assert updated.stderr.count("machine 0: pending") == 0, "what had happened before is not told again"
    assert "machine 1: running" in updated.stderr
    refused = service.run("apply", stale["id"])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no such plan" in refused.stderr

    outputs = service.run("outputs", infrastructure)
    told = json.loads(service.run("outputs", infrastructure, "--json").stdout)["outputs"]
    assert len(told["addresses"]) == 2
    assert outputs.stdout == f"addresses: {json.dumps(told['addresses'])}\nsecond: {told['addresses'][1]}\n"
    assert service.run("update", infrastructure, template, "--param", "nodes=2").returncode == 0
    assert service.run("remove", infrastructure, "0").returncode == 0
    (left,) = json.loads(service.run("show", infrastructure, "--json").stdout)["machines"]
    assert left["number"] == 1
    assert service.run("update", infrastructure, template, "--param", "count=2").returncode == 2
    assert service.run("outputs", "nothing").returncode == 1


def test_on_a_terminal_missing_parameters_are_asked_for(service):
    ours, theirs = pty.openpty()
    document = service.write("hello.radl", DOCUMENT)
    process = service.popen("plan", document, "--json", stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    try:
        os.write(ours, b"good morning\n")
        stdout, _ = process.communicate(timeout=60)
        asked = os.read(ours, 1024).decode()
    finally:
        os.close(ours)

    assert process.returncode == 0
    assert "greeting: " in asked
    assert json.loads(stdout)["create"]


def test_a_recipe_that_fails_ends_the_watching_with_1_and_the_reason(service):
    outcome = service.run("deploy", service.write("broken.radl", BROKEN), "--watch")
    infrastructure = outcome.stdout.strip()

    assert outcome.returncode == 1
    assert "it cannot be done" in outcome.stderr
    assert f"{infrastructure} is unconfigured" in outcome.stderr
    assert "it cannot be done" in service.run("logs", infrastructure).stdout.splitlines()[0]
    assert service.run("destroy", infrastructure).returncode == 0


def test_interrupting_the_watching_leaves_the_deployment_running_until_it_is_destroyed(service):
    process = service.popen(
        "deploy", service.write("slow.radl", SLOW), "--watch", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    infrastructure = process.stdout.readline().strip()
    while "running" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert f"The deployment of {infrastructure} goes on without this command" in said
    followed = service.run("logs", infrastructure, "-f")
    assert "TASK [Say that it is done]" in followed.stdout
    assert json.loads(service.run("show", infrastructure, "--json").stdout)["state"] == "configured"

    destroyed = service.run("destroy", infrastructure, "--json")
    assert json.loads(destroyed.stdout) == {"id": infrastructure, "deleted": True}
    assert infrastructure not in service.run("list", "--json").stdout
    again = service.run("destroy", infrastructure)
    assert (again.returncode, again.stderr) == (1, "Error: Error Destroying Inf: Deleted infrastructure.\n")


def test_who_follows_loses_nothing_when_the_service_is_killed_and_started_again(new_server, service):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = new_server(USER_DB=service.folder / "users.json", REST_PORT=port).start()
    environment = {**service.environment, "IMFRAMEWORK_URL": f"http://127.0.0.1:{port}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}

    watching = service.popen("deploy", service.write("slow.radl", SLOW), "--watch", **pipes)
    infrastructure = watching.stdout.readline().strip()
    following = service.popen("events", infrastructure, "-f", "--json", **pipes)
    said = []
    while "node_node started" not in "".join(said[-1:]):
        said.append(watching.stderr.readline())
    server.kill()
    while "Trying again" not in said[-1]:
        said.append(watching.stderr.readline())
    assert watching.poll() is None
    server.start()
    _, stderr = watching.communicate(timeout=120)

    assert watching.returncode == 0, stderr
    lines = [line.partition(" ")[2].strip() for line in [*said, *stderr.splitlines()]]
    for line in ("machine 0: running", "machine 0: node_node started", "machine 0: node_node done"):
        assert lines.count(line) == 1
    assert service.run("destroy", infrastructure, env=environment).returncode == 0
    events = [json.loads(line) for line in following.communicate(timeout=120)[0].splitlines()]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "deleted"
    assert server.stop() == 0


def test_an_error_of_the_service_is_shown_as_it_says_it(service):
    outcome = service.run("deploy", service.write("wrong.radl", "system a ()\ndeploy b 1\n"))

    assert outcome.returncode == 1
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("Error: Error Creating Inf.: ")
    assert service.run("show", "no-such-id").returncode == 1


def test_a_wrong_password_is_refused(service):
    auth = service.write("wrong.dat", "type = InfrastructureManager; username = ana; password = guess")

    outcome = service.run("list", "--auth-file", auth)

    assert outcome.returncode == 1
    assert "Invalid InfrastructureManager credentials" in outcome.stderr
    assert "guess" not in outcome.stderr


@pytest.fixture
def alone(tmp_path, service):
    """Runs commands with --local on a state of their own; deletes what they leave."""

    def run(*arguments):
        return service.run(*arguments, "--local", env={"XDG_STATE_HOME": str(tmp_path)})

    yield run
    for record in json.loads(run("list", "--json").stdout):
        run("destroy", record["id"])


def test_without_a_service_machines_outlive_the_commands_that_made_them(alone, service, tmp_path):
    document = service.write("hello.radl", DOCUMENT)

    deployed = alone("deploy", document, "--param", "greeting=hello")

    assert deployed.returncode == 0, deployed.stderr
    assert "infrastructure: configured" in deployed.stderr
    infrastructure = deployed.stdout.strip()
    (greeting,) = Path(tmp_path).glob("imframework/local/*/home/greeting")
    assert greeting.read_text() == "hello"
    shown = json.loads(alone("show", infrastructure, "--json").stdout)
    assert [machine["state"] for machine in shown["machines"]] == ["configured"]
    assert "TASK [Say hello]" in alone("logs", infrastructure).stdout
    assert alone("destroy", infrastructure).returncode == 0
    assert not greeting.exists()


def test_what_was_interrupted_without_a_service_goes_on_with_the_next_command(alone, service, tmp_path):
    process = service.popen(
        "deploy",
        service.write("slow.radl", SLOW),
        "--local",
        env={**service.environment, "XDG_STATE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    infrastructure = process.stdout.readline().strip()
    while "node_node started" not in process.stderr.readline():
        assert process.poll() is None
    busy = alone("list")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert busy.returncode == 2
    assert "another" in busy.stderr
    assert process.returncode == 130
    assert "goes on with the next command with --local" in said
    assert "TASK [Say that it is done]" in alone("logs", infrastructure, "-f").stdout
    assert json.loads(alone("show", infrastructure, "--json").stdout)["state"] == "configured"
