"""Options of contextualization: where the plays run, how often, for how long."""

from __future__ import annotations

from imframework.api.config import Option, OptionType
from imframework.settings.catalogue.group import Group

CONTEXTUALIZATION = Group(
    "Contextualization",
    (
        Option(
            "MAX_CONTEXTUALIZATION_TIME",
            OptionType.INTEGER,
            7200,
            "Limit for the whole configuration of an infrastructure. max_time in the contextualize section of a "
            "document takes precedence.",
            unit="s",
            minimum=1,
        ),
        Option(
            "CONTEXTUALIZATION_PLACEMENT",
            OptionType.WORD,
            "server",
            "Where the plays run. server: on the host of this service, in a sandbox. master and each (on the master "
            "machine of the infrastructure, and on every machine) are names kept for a later version: with this one "
            "only server works.",
            choices=("server", "master", "each"),
            since="0.1.0",
        ),
        Option(
            "CONTEXTUALIZATION_SANDBOX",
            OptionType.WORD,
            "auto",
            "How plays on the server are kept away from its database, its keys and the runs of others. bubblewrap: in "
            "namespaces of their own. uid: as the user CONTEXTUALIZATION_SANDBOX_USER, which needs a service that runs "
            "as root. auto: bubblewrap if it works here, else uid; no play runs if neither is possible. none: not at "
            "all, fit only for a service whose every user may act as the account it runs under.",
            choices=("auto", "bubblewrap", "uid", "none"),
            since="0.1.0",
        ),
        Option(
            "CONTEXTUALIZATION_SANDBOX_USER",
            OptionType.TEXT,
            "",
            "Name or number of the user that plays run as in the sandbox uid. It must own nothing else.",
            example="im-sandbox",
            since="0.1.0",
        ),
        Option(
            "REMOTE_CONF_DIR",
            OptionType.PATH,
            "/tmp/.im",  # noqa: S108 - on the machines, made with mode 0700
            "Directory of configuration files on the machines; a folder per infrastructure is made in it. Choose "
            "another where /tmp is mounted noexec or emptied at boot.",
        ),
        Option(
            "PLAYBOOK_RETRIES",
            OptionType.INTEGER,
            1,
            "How often a play is run before it has failed.",
            unit="runs",
            minimum=1,
        ),
        Option(
            "CHECK_CTXT_PROCESS_INTERVAL",
            OptionType.INTEGER,
            5,
            "Period in which a configuration that runs on a machine is looked at. A shorter one means more load.",
            unit="s",
            minimum=1,
        ),
        Option(
            "CONFMAMAGER_CHECK_STATE_INTERVAL",
            OptionType.INTEGER,
            5,
            "Period in which machines are looked for whose configuration can go on. A shorter one means more load.",
            unit="s",
            minimum=1,
        ),
        Option(
            "UPDATE_CTXT_LOG_INTERVAL",
            OptionType.INTEGER,
            20,
            "Period in which the output of configurations that run on machines is fetched.",
            unit="s",
            minimum=1,
        ),
        Option(
            "VM_NUM_USE_CTXT_DIST",
            OptionType.INTEGER,
            30,
            "Infrastructures with more machines than this are configured by an agent on each of them.",
            unit="VMs",
            minimum=0,
        ),
        Option(
            "ANSIBLE_INSTALL_TIMEOUT",
            OptionType.INTEGER,
            900,
            "Limit for the installation of Ansible on the master machine.",
            unit="s",
            minimum=1,
        ),
        Option(
            "ANSIBLE_VERSION",
            OptionType.TEXT,
            "",
            "Version of Ansible installed on master machines, or latest; also taken from the environment variable "
            "ANSIBLE_VERSION. ansible_version in the contextualize section of a document takes precedence.",
            example="9.5.1",
        ),
        Option(
            "CONTEXTUALIZATION_DIR",
            OptionType.PATH,
            "",
            "Directory of own agent and task files, in place of those that come with the program.",
        ),
        Option(
            "SSH_REVERSE_TUNNELS",
            OptionType.BOOLEAN,
            True,
            "Machines without a public network open a reverse SSH tunnel to the master machine. Needs PUBLIC_URL, "
            "where they ask how.",
        ),
        Option(
            "RECIPES_DIR",
            OptionType.PATH,
            "",
            "Directory of recipes for applications in versions 1.x.",
            deprecated="roles and collections have taken the place of application recipes",
        ),
        Option(
            "RECIPES_DB_FILE",
            OptionType.PATH,
            "",
            "List of the recipes in RECIPES_DIR.",
            deprecated="roles and collections have taken the place of application recipes",
        ),
    ),
)
