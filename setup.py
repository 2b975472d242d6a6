"""Packaging. The directory `plugins/` is installed as the import package `imframework_plugins`."""

from pathlib import Path

from setuptools import find_packages, setup

EXTRAS = {
    "oidc": ["python-jose[cryptography]>=3.4"],
    "vault": ["hvac>=2.3"],
    "mongodb": ["pymongo>=4.9"],
    "testing": ["jsonschema-rs>=0.30", "pytest>=8.3"],
}

setup(
    name="imframework",
    version="0.1.0",
    description="Infrastructure Manager framework: one document in, configured machines on any cloud out",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["imframework", "imframework.*"]),
        "imframework_plugins",
        *(f"imframework_plugins.{name}" for name in find_packages("plugins")),
    ],
    package_dir={"imframework_plugins": "plugins"},
    include_package_data=True,
    package_data={
        "imframework": ["py.typed", "**/*.yml", "**/*.yaml", "**/*.j2", "**/*.json"],
        "imframework_plugins": ["py.typed", "**/*.py", "**/*.ini", "**/*.yaml"],
    },
    install_requires=[
        "alembic>=1.14",
        "ansible-core>=2.16",
        "click>=8.1",
        "configobj>=5.0.9",
        "cryptography>=44",
        "defusedxml>=0.7.1",
        "limits>=4",
        "paramiko>=3.5",
        "pluggy>=1.5",
        "prometheus-client>=0.21",
        "pydantic>=2.10",
        "pyyaml>=6.0.2",
        "regex>=2024.11.6",
        "rich>=13.9",
        "sqlalchemy>=2.0.36",
        "stamina>=24.3",
        "stevedore>=5.4",
        "structlog>=24.4",
        "tornado>=6.4.2",
        "tosca-parser>=2.15",
        # From 2.6.3 on answers are decompressed within limits.
        "urllib3>=2.6.3",
    ],
    extras_require={**EXTRAS, "all": sorted({requirement for extra in EXTRAS.values() for requirement in extra})},
    entry_points={
        "console_scripts": ["imframework = imframework.cli.main:main"],
        "pytest11": ["imframework = imframework.testing.pytest_plugin"],
        "imframework.connectors": [
            "dummy = imframework_plugins.connectors.dummy:declaration",
            "local = imframework_plugins.connectors.local:declaration",
        ],
        "imframework.storage": ["sql = imframework_plugins.storage.sql:declaration"],
        "imframework.auth": ["userdb = imframework_plugins.auth.userdb:declaration"],
        "imframework.frontends": [
            "rest = imframework_plugins.frontends.rest:declaration",
            "xmlrpc = imframework_plugins.frontends.xmlrpc:declaration",
        ],
        "imframework.hooks": ["webhook = imframework_plugins.hooks.webhook:declaration"],
    },
)
