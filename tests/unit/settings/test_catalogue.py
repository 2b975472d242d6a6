"""The declared options against the specification of im.cfg."""

import pytest
from pydantic import TypeAdapter

from imframework.api.config import Option, OptionType
from imframework.settings.catalogue import FRAMEWORK_GROUPS, Catalogue
from imframework.settings.values import annotation, as_text

#: Name and default, as text, of every documented option; "" where it is not set.
SPECIFIED = dict(
    line.split(" ", 1) if " " in line else (line, "")
    for line in """\
DATA_FILE
DATA_DB sqlite:///etc/im/inf.dat
USER_DB
MAX_SIMULTANEOUS_LAUNCHES 1
MAX_VM_FAILS 3
DELAY_BETWEEN_VM_RETRIES 5
VM_INFO_UPDATE_FREQUENCY 10
VM_INFO_UPDATE_ERROR_GRACE_PERIOD 120
WAIT_RUNNING_VM_TIMEOUT 1800
WAIT_SSH_ACCCESS_TIMEOUT 300
WAIT_PUBLIC_IP_TIMEOUT 90
BOOT_MODE 0
LOG_FILE /var/log/im/inf.log
LOG_FILE_MAX_SIZE 10485760
LOG_LEVEL INFO
ADMIN_USER
MAX_SSH_ERRORS 5
DEFAULT_VM_MEMORY 512
DEFAULT_VM_MEMORY_UNIT M
DEFAULT_VM_CPUS 1
DEFAULT_VM_CPU_ARCH x86_64
DEFAULT_VM_NAME vnode-#N#
DEFAULT_DOMAIN localdomain
VERIFI_SSL False
MAX_CONTEXTUALIZATION_TIME 7200
REMOTE_CONF_DIR /tmp/.im
PLAYBOOK_RETRIES 1
CHECK_CTXT_PROCESS_INTERVAL 5
CONFMAMAGER_CHECK_STATE_INTERVAL 5
UPDATE_CTXT_LOG_INTERVAL 20
VM_NUM_USE_CTXT_DIST 30
ANSIBLE_INSTALL_TIMEOUT 900
CONTEXTUALIZATION_DIR
RECIPES_DIR
RECIPES_DB_FILE
SSH_REVERSE_TUNNELS True
ACTIVATE_XMLRPC True
XMLRCP_PORT 8899
XMLRCP_ADDRESS 0.0.0.0
XMLRCP_SSL False
XMLRCP_SSL_KEYFILE /etc/im/pki/server-key.pem
XMLRCP_SSL_CERTFILE /etc/im/pki/server-cert.pem
XMLRCP_SSL_CA_CERTS /etc/im/pki/ca-chain.pem
VMINFO_JSON False
ACTIVATE_REST False
REST_PORT 8800
REST_ADDRESS 0.0.0.0
REST_SSL False
REST_SSL_KEYFILE /etc/im/pki/server-key.pem
REST_SSL_CERTFILE /etc/im/pki/server-cert.pem
REST_SSL_CA_CERTS /etc/im/pki/ca-chain.pem
REST_ROOT_PATH /
REST_MAX_BLOCKING_CALLS 32
REST_BLOCKING_CALL_TIMEOUT 0
ENABLE_CORS False
CORS_ORIGIN *
STATIC_FILES_DIR
OAIPMH_REPO_ADMIN_EMAIL
OAIPMH_REPO_NAME
OAIPMH_REPO_DESCRIPTION
OAIPMH_REPO_BASE_IDENTIFIER_URL
OIDC_ISSUERS
OIDC_AUDIENCE
OIDC_CLIENT_ID
OIDC_CLIENT_SECRET
OIDC_SCOPES
OIDC_GROUPS
OIDC_GROUPS_CLAIM groups
OIDC_ADMIN_GROUPS
OIDC_USER_INFO_PATH
OIDC_INSTROSPECT_PATH
FORCE_OIDC_AUTH False
VAULT_URL
VAULT_PATH
VAULT_MOUNT_POINT credentials/
VAULT_ROLE
PRIVATE_NET_MASKS 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 192.0.0.0/24, 169.254.0.0/16, 100.64.0.0/10, 198.18.0.0/15, fc00::/7, fe80::/10
INF_CACHE_TIME 0
VM_TAG_USERNAME
VM_TAG_INF_ID
VM_TAG_IM_URL
VM_TAG_IM
SINGLE_SITE False
SINGLE_SITE_TYPE
SINGLE_SITE_AUTH_HOST
SINGLE_SITE_IMAGE_URL_PREFIX
OpenNebula.TEMPLATE_CONTEXT
OpenNebula.TEMPLATE_OTHER GRAPHICS = [type="vnc",listen="0.0.0.0"]
OpenNebula.IMAGE_UNAME
OpenNebula.TTS_URL https://localhost:8443""".splitlines()  # noqa: E501
)


def path_of(option):
    return option.name if option.section == "im" else f"{option.section}.{option.name}"


def test_every_documented_option_is_there_with_its_name_and_default():
    declared = {path_of(option): as_text(option.default) for option in Catalogue()}

    assert {name: declared.get(name) for name in SPECIFIED} == SPECIFIED


def test_options_that_are_not_documented_elsewhere_say_since_when_they_exist():
    # ANSIBLE_VERSION was an environment variable only.
    added = {path_of(option) for option in Catalogue() if not option.since} - set(SPECIFIED) - {"ANSIBLE_VERSION"}

    assert added == set()


@pytest.mark.parametrize("group", FRAMEWORK_GROUPS, ids=lambda group: group.title)
def test_every_option_is_explained_in_whole_sentences_and_has_a_usable_example(group):
    for option in group.options:
        assert option.help[0].isupper(), option.name
        assert option.help.endswith((".", ")")), option.name
        if option.example:
            TypeAdapter(annotation(option)).validate_python(option.example)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "lower"}, "only capitals"),
        ({"name": "A-B"}, "only capitals"),
        ({"section": "a]b"}, "name of a section"),
        ({"type": "colour"}, "not a valid OptionType"),
        ({"default": "1"}, "must be int"),
        ({"default": True}, "must be int"),
        ({"type": OptionType.LIST, "default": []}, "must be tuple"),
        ({"choices": ("1",)}, "choices belong to a word"),
        ({"type": OptionType.WORD, "default": "a"}, "choices belong to a word"),
        ({"type": OptionType.WORD, "default": "a", "choices": ("b",)}, "not among the choices"),
        ({"type": OptionType.TEXT, "default": "", "maximum": 2}, "minimum or maximum"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(changes, complaint):
    declaration = {"name": "SIZE", "type": OptionType.INTEGER, "default": 1, "help": "Size."}

    Option(**declaration)
    with pytest.raises(ValueError, match=complaint):
        Option(**declaration | changes)


def test_a_type_may_be_given_by_its_name():
    assert Option("SIZE", "word", "a", "Size.", choices=("a",)).type is OptionType.WORD
