"""Options that all clouds, or one of them, go by."""

from __future__ import annotations

from imframework.api.config import Option, OptionType
from imframework.settings.catalogue.group import Group

CLOUDS = Group(
    "Clouds",
    (
        Option("VERIFI_SSL", OptionType.BOOLEAN, False, "Check the certificates of clouds."),
        Option(
            "PRIVATE_NET_MASKS",
            OptionType.CIDR_LIST,
            (
                "10.0.0.0/8",
                "172.16.0.0/12",
                "192.168.0.0/16",
                "192.0.0.0/24",
                "169.254.0.0/16",
                "100.64.0.0/10",
                "198.18.0.0/15",
                "fc00::/7",
                "fe80::/10",
            ),
            "Networks whose addresses are private; all others are public. A list replaces the default. To one without "
            "IPv6 networks fc00::/7 and fe80::/10 are added.",
        ),
    ),
)

TAGS = Group(
    "Tags of machines",
    (
        Option("VM_TAG_USERNAME", OptionType.TEXT, "", "Name of a tag with the owner's name.", example="IM_USER"),
        Option(
            "VM_TAG_INF_ID", OptionType.TEXT, "", "Name of a tag with the infrastructure's id.", example="IM_INFRA_ID"
        ),
        Option("VM_TAG_IM_URL", OptionType.TEXT, "", "Name of a tag with PUBLIC_URL.", example="IM_URL"),
        Option(
            "VM_TAG_IM",
            OptionType.TEXT,
            "",
            "Name of a tag that marks machines of an infrastructure manager, with the value es.upv.grycap.im.",
            example="IM_TYPE",
        ),
    ),
    about="A tag whose name is not set is not made.",
)

SINGLE_SITE = Group(
    "Single site",
    (
        Option("SINGLE_SITE", OptionType.BOOLEAN, False, "Bind the whole service to one cloud."),
        Option("SINGLE_SITE_TYPE", OptionType.TEXT, "", "Type of that cloud.", example="OpenNebula"),
        Option(
            "SINGLE_SITE_AUTH_HOST",
            OptionType.URL,
            "",
            "URL of that cloud.",
            example="http://one.example.org:2633",
        ),
        Option(
            "SINGLE_SITE_IMAGE_URL_PREFIX",
            OptionType.TEXT,
            "",
            "What is put before the names of images.",
            example="one://one.example.org/",
        ),
    ),
    about="The environment variable IM_SINGLE_SITE_ONE_HOST=<host> sets all of them, for an OpenNebula server.",
)

OPENNEBULA = Group(
    "OpenNebula",
    (
        Option(
            "TEMPLATE_CONTEXT",
            OptionType.TEXT,
            "",
            "Text for the CONTEXT of the template of a machine, beside SSH_PUBLIC_KEY.",
            section="OpenNebula",
        ),
        Option(
            "TEMPLATE_OTHER",
            OptionType.TEXT,
            'GRAPHICS = [type="vnc",listen="0.0.0.0"]',
            "Text for the template of a machine, beside NAME, CPU, VCPU, MEMORY, OS, DISK and CONTEXT.",
            section="OpenNebula",
        ),
        Option(
            "IMAGE_UNAME",
            OptionType.TEXT,
            "",
            "Owner of the images and networks that documents name without their ids.",
            example="oneadmin",
            section="OpenNebula",
        ),
        Option(
            "TTS_URL",
            OptionType.URL,
            "https://localhost:8443",
            "Service that translates tokens into credentials. This version translates none.",
            section="OpenNebula",
        ),
    ),
)
