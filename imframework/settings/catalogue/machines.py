"""Options of machines: how they are launched and watched, and what they are like when the document does not say."""

from __future__ import annotations

from imframework.api.config import Option, OptionType
from imframework.settings.catalogue.group import Group

LAUNCH = Group(
    "Launching and watching machines",
    (
        Option(
            "MAX_SIMULTANEOUS_LAUNCHES",
            OptionType.INTEGER,
            1,
            "How many things of one infrastructure are created, or deleted, at the same time.",
            unit="operations",
            minimum=1,
            fallback=1,
        ),
        Option(
            "MAX_VM_FAILS",
            OptionType.INTEGER,
            3,
            "How often the launch of a machine is attempted before it has failed.",
            unit="attempts",
            minimum=1,
            fallback=1,
        ),
        Option(
            "DELAY_BETWEEN_VM_RETRIES",
            OptionType.INTEGER,
            5,
            "Pause between two attempts to launch a machine.",
            unit="s",
            minimum=0,
        ),
        Option(
            "VM_INFO_UPDATE_FREQUENCY",
            OptionType.INTEGER,
            10,
            "How old what is known of a machine may become before the cloud is asked again. A shorter period means "
            "more calls to the cloud.",
            unit="s",
            minimum=0,
        ),
        Option(
            "VM_INFO_UPDATE_ERROR_GRACE_PERIOD",
            OptionType.INTEGER,
            120,
            "How long the last known state of a machine is shown while the cloud cannot be asked; after it the state "
            "is unknown. Must be longer than VM_INFO_UPDATE_FREQUENCY.",
            unit="s",
            minimum=0,
        ),
        Option(
            "WAIT_RUNNING_VM_TIMEOUT",
            OptionType.INTEGER,
            1800,
            "How long a machine may take from its launch until it runs.",
            unit="s",
            minimum=0,
        ),
        Option(
            "WAIT_SSH_ACCCESS_TIMEOUT",
            OptionType.INTEGER,
            300,
            "How long a running machine may take until it accepts SSH connections.",
            unit="s",
            minimum=0,
        ),
        Option(
            "WAIT_PUBLIC_IP_TIMEOUT",
            OptionType.INTEGER,
            90,
            "How long to wait for a public address before going on without it.",
            unit="s",
            minimum=0,
        ),
        Option(
            "MAX_SSH_ERRORS",
            OptionType.INTEGER,
            5,
            "How many SSH errors in a row are tolerated while a configuration that runs on a machine is watched.",
            unit="errors",
            minimum=0,
        ),
    ),
)

DEFAULTS = Group(
    "Machines whose document does not say",
    (
        Option(
            "DEFAULT_VM_MEMORY",
            OptionType.INTEGER,
            512,
            "Memory of a machine, in DEFAULT_VM_MEMORY_UNIT.",
            minimum=1,
        ),
        Option(
            "DEFAULT_VM_MEMORY_UNIT",
            OptionType.WORD,
            "M",
            "Unit of DEFAULT_VM_MEMORY: K, M and G mean KiB, MiB and GiB.",
            choices=("K", "M", "G"),
        ),
        Option("DEFAULT_VM_CPUS", OptionType.INTEGER, 1, "Number of processors of a machine.", unit="CPUs", minimum=1),
        Option(
            "DEFAULT_VM_CPU_ARCH",
            OptionType.WORD,
            "x86_64",
            "Processor architecture of a machine.",
            choices=("x86_64", "i386"),
        ),
        Option(
            "DEFAULT_VM_NAME",
            OptionType.TEXT,
            "vnode-#N#",
            "Host name of a machine; #N# stands for its number in the infrastructure.",
        ),
        Option("DEFAULT_DOMAIN", OptionType.TEXT, "localdomain", "Domain of a machine whose name has none."),
    ),
)
