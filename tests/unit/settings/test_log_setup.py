"""Logging by the options or by logging.conf, without secrets."""

import logging
import logging.handlers
import socket

import pytest
import structlog

from imframework.api.errors import ConfigurationError
from imframework.settings.catalogue import Catalogue
from imframework.settings.loader import load
from imframework.settings.log_setup import AUDIT, LOGGERS, set_up_logging
from imframework.settings.sample import SHIPPED, logging_conf

SECRET = "Zq7Zq7"

LOGGING_CONF = """\
[loggers]
keys=root,ConfManager,CloudConnector,InfrastructureManager
[handlers]
keys=file
[formatters]
keys=simple
[logger_root]
level=ERROR
handlers=file
[logger_ConfManager]
level=DEBUG
handlers=file
qualname=ConfManager
propagate=0
[logger_CloudConnector]
level=DEBUG
handlers=file
qualname=CloudConnector
propagate=0
[logger_InfrastructureManager]
level=DEBUG
handlers=file
qualname=InfrastructureManager
propagate=0
[handler_file]
{handler}
formatter=simple
[formatter_simple]
format=%(hostname)s|%(name)s|%(levelname)s|%(message)s
"""


@pytest.fixture(autouse=True)
def undisturbed_logging():
    """Leave the logging of this process as it was."""
    loggers = [logging.getLogger(), *map(logging.getLogger, (*LOGGERS, AUDIT))]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)
    structlog.reset_defaults()
    for logger, handlers, level, propagate in before:
        for handler in logger.handlers[:]:
            if handler not in handlers:
                handler.close()
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture
def start(tmp_path):
    """Set logging up as a service does: settings of an im.cfg with these lines, and a system directory."""
    system = tmp_path / "etc-im"

    def set_up(*lines, source=True):
        path = tmp_path / "program" / "im.cfg"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(["[im]", f"LOG_FILE = {tmp_path}/log/im.log", f"DATA_DB = {tmp_path}/x", *lines]))
        settings, _ = load(path, {})
        return set_up_logging(settings, system_directory=system)

    system.mkdir()
    return set_up


@pytest.fixture
def written(tmp_path):
    """The text that has been logged."""

    def read(name="im.log"):
        for handler in logging.getLogger("imframework").handlers:
            handler.flush()
        return (tmp_path / "log" / name).read_text(encoding="utf-8")

    return read


# --- by the options -----------------------------------------------------------------------------------------


def test_lines_have_time_logger_level_and_message_and_the_directory_is_made(start, written):
    assert start() == []

    logging.getLogger("ConfManager").info("VM %s é", 3)

    line = written()
    assert line.endswith(" - ConfManager - INFO - VM 3 é\n")
    assert line[:4].isdigit()


def test_the_audit_channel_can_have_a_file_of_its_own(start, written, tmp_path):
    start("LOG_LEVEL = WARNING", f"AUDIT_LOG_FILE = {tmp_path}/log/audit/audit.log")

    logging.getLogger(AUDIT).info("who did what")
    logging.getLogger("imframework.rest").warning("something else")

    assert written("audit/audit.log").endswith(f" - {AUDIT} - INFO - who did what\n")
    assert "who did what" not in written()
    start()
    logging.getLogger(AUDIT).info("who did more")
    assert "who did more" in written()


def test_the_level_is_that_of_our_loggers_and_error_is_that_of_all_others(start, written):
    start("LOG_LEVEL = warn")

    for name in ("imframework.core", "imframework_plugins.x", "CloudConnector", "urllib3"):
        logging.getLogger(name).info("info of %s", name)
        logging.getLogger(name).warning("warning of %s", name)
        logging.getLogger(name).error("error of %s", name)

    text = written()
    assert "info of" not in text
    assert {line.rsplit(" ", 1)[1] for line in text.splitlines() if "warning of" in line} == {
        "imframework.core",
        "imframework_plugins.x",
        "CloudConnector",
    }
    assert text.count("error of urllib3") == text.count("error of CloudConnector") == 1


def test_the_log_is_rotated_and_three_old_files_are_kept(start, tmp_path):
    start("LOG_FILE_MAX_SIZE = 100")

    for number in range(20):
        logging.getLogger("imframework").info("message number %s " + "x" * 50, number)

    assert sorted(path.name for path in (tmp_path / "log").iterdir()) == ["im.log", "im.log.1", "im.log.2", "im.log.3"]


def test_a_log_that_is_there_is_continued_and_a_second_set_up_repeats_no_line(start, written):
    start()
    logging.getLogger("imframework").info("one")
    start()
    logging.getLogger("imframework").info("two")

    assert [line.rsplit(" ", 1)[1] for line in written().splitlines()] == ["one", "two"]


def test_nobody_but_the_group_of_the_service_can_read_the_log(start, tmp_path):
    start()
    assert (tmp_path / "log/im.log").stat().st_mode & 0o137 == 0


@pytest.mark.parametrize("log_file", ["{0}", "{0}/file/im.log"])
def test_a_log_file_that_cannot_be_opened_is_an_error_that_says_where_it_was_set(start, tmp_path, log_file):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match=r"im\.cfg:4: LOG_FILE: .* cannot be opened for writing: "):
        start(f"LOG_FILE = {log_file.format(tmp_path)}")


# --- by logging.conf ----------------------------------------------------------------------------------------


def file_handler(path):
    return f"class=FileHandler\nargs=('{path}', 'a')"


def test_a_logging_conf_beside_im_cfg_comes_first_and_knows_the_host_name(start, tmp_path):
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "logging.conf").write_text(LOGGING_CONF.format(handler=file_handler(tmp_path / "mine.log")))
    (tmp_path / "etc-im" / "logging.conf").write_text("broken")

    assert start() == []
    logging.getLogger("InfrastructureManager").debug("hello")
    logging.getLogger("urllib3").error("oh")

    host = socket.gethostname()
    assert (tmp_path / "mine.log").read_text() == (
        f"{host}|InfrastructureManager|DEBUG|hello\n{host}|urllib3|ERROR|oh\n"
    )
    assert not (tmp_path / "log").exists()


def test_a_logging_conf_that_does_not_know_our_logger_serves_it_all_the_same(start, tmp_path):
    (tmp_path / "etc-im" / "logging.conf").write_text(LOGGING_CONF.format(handler=file_handler(tmp_path / "mine.log")))

    start()
    logging.getLogger("imframework.core").debug("hello")

    assert (tmp_path / "mine.log").read_text() == f"{socket.gethostname()}|imframework.core|DEBUG|hello\n"


def test_a_syslog_handler_as_documented_loads(start, tmp_path):
    handler = "class=logging.handlers.SysLogHandler\nlevel=INFO\nargs=(('127.0.0.1', 514),)"
    (tmp_path / "etc-im" / "logging.conf").write_text(LOGGING_CONF.format(handler=handler))

    assert start() == []
    (installed,) = logging.getLogger("ConfManager").handlers
    assert isinstance(installed, logging.handlers.SysLogHandler)


@pytest.mark.parametrize(
    "content",
    ["", "broken", LOGGING_CONF.format(handler="class=NoSuchHandler\nargs=()"), "[loggers]\nkeys=root\n",
     LOGGING_CONF.format(handler="class=FileHandler\nargs=('/absent/im.log', 'a')")],
)  # fmt: skip
def test_a_logging_conf_that_does_not_load_gives_way_to_the_options(start, written, tmp_path, content):
    (tmp_path / "etc-im" / "logging.conf").write_text(content)

    (problem,) = start()
    logging.getLogger("imframework").info("hello")

    assert str(problem).startswith(f"{tmp_path}/etc-im/logging.conf: cannot be used (")
    assert problem.severity == "warning"
    assert written().endswith("imframework - INFO - hello\n")


def test_the_shipped_logging_conf_does_what_the_options_do_and_appends(start, written, tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "im.log").write_text("before\n")
    content = logging_conf(Catalogue()).replace(SHIPPED["LOG_FILE"], str(tmp_path / "log" / "im.log"))
    (tmp_path / "etc-im" / "logging.conf").write_text(content)

    assert start() == []
    for name in LOGGERS:
        logging.getLogger(name).info("hello")
        logging.getLogger(name).debug("nothing")

    assert [line.split(" - ", 1)[-1] for line in written().splitlines()] == [
        "before",
        *(f"{name} - INFO - hello" for name in LOGGERS),
    ]


# --- without secrets ----------------------------------------------------------------------------------------


def test_no_secret_gets_through_the_loggers_of_the_standard_library(start, written):
    start("LOG_LEVEL = DEBUG")
    logger = logging.getLogger("CloudConnector")

    logger.info("Authorization: Bearer %s", SECRET)
    logger.info("auth line %s", f"id = x; type = EC2; password = '{SECRET}'; username = u")
    logger.debug("connecting to mysql://im:%s@db/im", SECRET)
    logger.warning({"password": SECRET})
    logger.warning("key -----BEGIN RSA PRIVATE KEY-----\n%s\n-----END RSA PRIVATE KEY-----", SECRET)
    logging.getLogger("urllib3").error("X-Auth-Token: %s", SECRET)

    text = written()
    assert SECRET not in text
    assert text.count("***") == 6


def test_no_secret_gets_through_a_backtrace(start, written):
    start()
    try:
        raise RuntimeError(f"login with password={SECRET} failed")
    except RuntimeError:
        logging.getLogger("imframework").exception("failed", stack_info=True)

    text = written()
    assert SECRET not in text
    assert "RuntimeError: login with password=***" in text
    assert "Stack (most recent call last)" in text


def test_a_message_that_does_not_fit_its_arguments_is_logged_without_secrets(start, written, capsys):
    start()

    logging.getLogger("imframework").info("two %s %s", f"token={SECRET}")
    logging.getLogger("imframework").info("no exception", exc_info=(None, None, None))

    assert "two %s %s ('token=***" in written()
    assert SECRET not in written() + "".join(capsys.readouterr())


def test_structlog_writes_into_the_same_log_with_values_masked_by_name_and_shape(start, written):
    start()
    logger = structlog.get_logger("imframework.core")

    structlog.contextvars.bind_contextvars(infrastructure="i-1")
    logger.info("vm.launched", vm=3, password=SECRET, url=f"http://u:{SECRET}@h", data={"token": SECRET, "n": [1]})
    logger.debug("not.logged")
    structlog.contextvars.clear_contextvars()
    try:
        raise ValueError(f"token={SECRET}")
    except ValueError:
        logger.exception("100%% of %s", "it")

    text = written()
    assert text.splitlines()[0].split(" - ", 1)[1] == (
        "imframework.core - INFO - vm.launched vm=3 password='***' url='http://u:***@h' "
        "data={'token': ***, 'n': [1]} infrastructure='i-1'"
    )
    assert "imframework.core - ERROR - 100% of it\nTraceback" in text
    assert "not.logged" not in text
    assert SECRET not in text
