"""Ansible's side of the agent: tells it what happens on which machine, and waits for leave to begin a playbook.

It takes the place of Ansible's standard output. Two inherited descriptors, named in the environment, are all there is
between it and the agent: lines of JSON go out on the first, one byte for each playbook comes in on the second. When the
agent is gone, both end, and so does this process.

What it writes:

* ``{"type": "playbook", "file": …}``: a playbook is about to begin; nothing of it runs before the answer;
* ``{"type": "text", "host": …, "text": …}``: a part of the log of a machine (no host: of all that take part);
* ``{"type": "done", "host": …}``: the machine came to the end of the playbook, which is marked by a play of its own;
* ``{"type": "end", "failed": {host: message}}``: the playbook is over.
"""

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: imframework_stream
type: stdout
short_description: streams results to the agent that started Ansible
description: See the head of the file.
requirements: [run by the agent of imframework]
"""

#: The name of the play that ends each playbook; `imframework.contextualization.plays` writes it.
END_OF_PLAYBOOK = "imframework: end of playbook"

WIDTH = 79
COUNTED = ("ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored")
MAX_TEXT, MAX_MESSAGE = 128 * 1024, 2000
GO = b"g"

#: What a result holds besides the answer of the module.
NOISE = frozenset({"invocation", "ansible_facts", "diff", "exception", "deprecations", "warnings", "failed"})


class AgentGone(SystemExit):
    """Nobody listens any more."""


class CallbackModule(CallbackBase):
    """One instance lives in the main process of ansible-playbook."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "imframework_stream"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._stream = int(os.environ["IMFRAMEWORK_STREAM_FD"])
        self._gate = int(os.environ["IMFRAMEWORK_GATE_FD"])
        self._at_end = False
        self._titles = {}
        self._told = {}
        self._errors = {}
        self._counts = {}

    # --- the agent -----------------------------------------------------------------------------------------

    def _send(self, **message):
        data = (json.dumps(message) + "\n").encode()
        try:
            while data:
                data = data[os.write(self._stream, data) :]
        except OSError:
            os._exit(70)

    def _say(self, host, text):
        self._send(type="text", host=host, text=_cut(text, MAX_TEXT) + "\n")

    # --- playbooks and plays -------------------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook):
        self._errors.clear()
        self._counts.clear()
        self._send(type="playbook", file=os.path.basename(playbook._file_name))
        if os.read(self._gate, 1) != GO:
            raise AgentGone(0)

    def v2_playbook_on_play_start(self, play):
        self._told.clear()
        name = play.get_name().strip()
        self._at_end = name == END_OF_PLAYBOOK
        if not self._at_end:
            self._say(None, _banner(f"PLAY [{name}]"))

    def v2_playbook_on_no_hosts_matched(self):
        self._say(None, "skipping: no hosts matched")

    def v2_playbook_on_stats(self, stats):
        failed = {}
        for host in stats.processed:
            counts = stats.summarize(host)
            if counts["failures"] or counts["unreachable"]:
                failed[host] = self._errors.get(host, "failed without a message")
                self._recap(host)
        self._send(type="end", failed=failed)

    def _count(self, host, word):
        self._counts.setdefault(host, dict.fromkeys(COUNTED, 0))[word] += 1

    def _recap(self, host):
        counts = self._counts.get(host, dict.fromkeys(COUNTED, 0))
        numbers = " ".join(f"{word}={number:<4}" for word, number in counts.items()).rstrip()
        self._say(host, f"{_banner('PLAY RECAP')}\n{host:<26} : {numbers}")

    # --- tasks ---------------------------------------------------------------------------------------------

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._titles[task._uuid] = "TASK"

    def v2_playbook_on_handler_task_start(self, task):
        self._titles[task._uuid] = "RUNNING HANDLER"

    def v2_runner_on_start(self, host, task):
        self._head(host.get_name(), task)

    def _head(self, host, task):
        """Name the task in the log of a machine, once for each play."""
        if self._told.get(host) != task._uuid:
            self._told[host] = task._uuid
            title = self._titles.get(task._uuid, "TASK")
            self._say(host, _banner(f"{title} [{task.get_name().strip()}]"))

    def v2_playbook_on_include(self, included_file):
        for host in included_file._hosts:
            self._say(host.get_name(), f"included: {os.path.basename(included_file._filename)}")

    # --- results -------------------------------------------------------------------------------------------

    def v2_runner_on_ok(self, result, **kwargs):
        values = _values(result)
        self._count(_host(result), "ok")
        if values.get("changed"):
            self._count(_host(result), "changed")
        if not values.get("results") or not _task(result).loop:  # else each item had its line
            word = "changed" if values.get("changed") else "ok"
            self._line(result, word, values if _is_telling(values) else None)
        self._warn(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        values = _values(result)
        if not values.get("results") or not _task(result).loop:
            self._line(result, "fatal", values, "FAILED! => ")
        self._warn(result)
        self._failed(result, "failed", _message(values), ignore_errors)

    def v2_runner_on_unreachable(self, result):
        values = _values(result)
        self._line(result, "fatal", values, "UNREACHABLE! => ")
        ignored = getattr(_task(result), "ignore_unreachable", False)
        self._failed(result, "unreachable", "unreachable: " + _message(values), ignored)

    def _failed(self, result, word, message, ignored):
        host = _host(result)
        self._count(host, "ignored" if ignored else word)
        if ignored:
            self._say(host, "...ignoring")
        else:  # if it is rescued, nobody is told of the error
            self._errors[host] = f"{_task(result).get_name().strip()}: {_cut(message, MAX_MESSAGE)}"

    def v2_runner_on_skipped(self, result):
        host = _host(result)
        if not self._at_end:
            self._count(host, "skipped")
            self._line(result, "skipping")
            return
        counts = self._counts.setdefault(host, dict.fromkeys(COUNTED, 0))
        counts["rescued"], counts["failed"] = counts["failed"], 0  # or it would not have come here
        self._recap(host)
        self._send(type="done", host=host)

    def v2_runner_item_on_ok(self, result):
        values = _values(result)
        word = "changed" if values.get("changed") else "ok"
        item = f"=> (item={self._get_item_label(values)})"
        if _is_telling(values):
            self._line(result, word, values, item + " => ")
        else:
            self._line(result, word, None, item)

    def v2_runner_item_on_failed(self, result):
        values = _values(result)
        self._line(result, "failed", values, f"(item={self._get_item_label(values)}) => ")

    def v2_runner_item_on_skipped(self, result):
        self._line(result, "skipping", None, f"=> (item={self._get_item_label(_values(result))})")

    def v2_runner_retry(self, result):
        values = _values(result)
        left = values.get("retries", 0) - values.get("attempts", 0)
        name = _task(result).get_name().strip()
        self._say(_host(result), f"FAILED - RETRYING: [{_host(result)}]: {name} ({left} retries left).")

    def v2_runner_on_async_poll(self, result):
        values = _values(result)
        self._say(_host(result), f"ASYNC POLL on {_host(result)}: jid={values.get('ansible_job_id')}")

    def _line(self, result, word, values=None, between=""):
        host = _host(result)
        self._head(host, _task(result))
        delegated = (_values(result).get("_ansible_delegated_vars") or {}).get("ansible_delegated_host")
        label = f"{host} -> {delegated}" if delegated else host
        text = f"{word}: [{label}]"
        if between:
            text += (": " if between.endswith("! => ") else " ") + between
        if values is not None:
            text += ("" if between else " => ") + _dump(values)
        self._say(host, text)

    def _warn(self, result):
        for warning in _values(result).get("warnings") or ():
            self._say(_host(result), f"[WARNING]: {warning}")


def _cut(text, length):
    """A text without its middle, if it is too long: what matters is at its beginning or at its end."""
    left_out = len(text) - length
    if left_out <= 0:
        return text
    return f"{text[: length // 2]} … ({left_out} characters left out) … {text[-length // 2 :]}"


def _banner(text):
    return "\n" + (text + " ").ljust(WIDTH, "*")


# Ansible 2.19 gave the parts of a result public names; the older ones are private.


def _host(result):
    return (result.host if hasattr(result, "host") else result._host).get_name()


def _task(result):
    return result.task if hasattr(result, "task") else result._task


def _values(result):
    return result.result if hasattr(result, "result") else result._result


def _is_telling(values):
    """Whether a result is meant to be seen even if all is well, as that of `debug` is."""
    return bool(values.get("_ansible_verbose_always") and not values.get("_ansible_verbose_override"))


def _dump(values):
    shown = {key: value for key, value in values.items() if key not in NOISE and not key.startswith("_ansible")}
    return json.dumps(shown, ensure_ascii=False, sort_keys=True, default=str)


def _message(values):
    """What went wrong, in one line."""
    if "censored" in values:
        return values["censored"]
    for item in values.get("results") or ():
        if isinstance(item, dict) and (item.get("failed") or item.get("unreachable")):
            return _message(item)
    parts = [str(values.get("msg") or "").strip()]
    if values.get("rc"):
        parts.append(f"rc={values['rc']}")
        output = str(values.get("stderr") or values.get("stdout") or values.get("module_stderr") or "").strip()
        if output:
            parts.append(output.splitlines()[-1])
    return ", ".join(part for part in parts if part).replace("\n", " ") or "failed"
