"""Options from environment variables."""

import pytest

from imframework.api.config import Option, OptionType
from imframework.api.errors import ConfigurationError
from imframework.settings.catalogue import Catalogue
from imframework.settings.environment import RESERVED


def test_every_option_has_a_variable_that_takes_precedence_over_the_file(loaded):
    environ = {"IM_REST_PORT": " 9 ", "IM_OIDC_SCOPES": "a, b", "IM_ADMIN_USER": '{"username": "a", "token": "t"}'}
    settings, problems = loaded(
        "REST_PORT = 8", "OIDC_GROUPS = g", environ=environ | {"IM_OIDC_CLIENT_ID": "c", "IM_OIDC_CLIENT_SECRET": "s"}
    )

    assert (settings.REST_PORT, settings.OIDC_SCOPES, settings.OIDC_GROUPS) == (9, ("a", "b"), ("g",))
    assert settings.ADMIN_USER[0]["token"] == "t"
    assert problems == []


def test_an_empty_variable_sets_nothing(loaded):
    settings, problems = loaded("REST_PORT = 8", environ={"IM_REST_PORT": " ", "IM_SINGLE_SITE_ONE_HOST": ""})

    assert (settings.REST_PORT, settings.SINGLE_SITE, problems) == (8, False, [])


def test_a_bad_value_is_an_error_that_names_the_variable(loaded):
    with pytest.raises(ConfigurationError, match=r"^environment variable IM_REST_PORT: REST_PORT: 'x' is not allowed"):
        loaded(environ={"IM_REST_PORT": "x"})


def test_an_option_of_another_section_has_a_variable_with_and_without_it(loaded):
    assert loaded(environ={"IM_IMAGE_UNAME": "a"})[0].section("OpenNebula").IMAGE_UNAME == "a"
    assert loaded(environ={"IM_OPENNEBULA_IMAGE_UNAME": "b"})[0].section("OpenNebula").IMAGE_UNAME == "b"


def test_a_name_in_several_sections_needs_the_section_outside_im(loaded):
    plugins = {
        "one": (Option("COLOUR", OptionType.TEXT, "", "x", section="One"), Option("SIZE", OptionType.TEXT, "", "x")),
        "two": (
            Option("COLOUR", OptionType.TEXT, "", "x", section="Two-b"),
            Option("SIZE", OptionType.TEXT, "", "x", section="Two-b"),
        ),
    }
    environ = {"IM_COLOUR": "lost", "IM_ONE_COLOUR": "red", "IM_TWO_B_COLOUR": "blue", "IM_SIZE": "main"}

    settings, _ = loaded(environ=environ, **plugins)

    assert (settings.section("One").COLOUR, settings.section("Two-b").COLOUR) == ("red", "blue")
    assert (settings.SIZE, settings.section("Two-b").SIZE) == ("main", "")


def test_a_single_site_is_set_up_by_one_variable_whose_parts_can_be_overridden(loaded):
    environ = {"IM_SINGLE_SITE_ONE_HOST": "one.example.org", "IM_SINGLE_SITE_AUTH_HOST": "https://one.example.org:2634"}
    settings, problems = loaded("SINGLE_SITE_TYPE = OpenStack", environ=environ)

    assert (settings.SINGLE_SITE, settings.SINGLE_SITE_TYPE) == (True, "OpenNebula")
    assert settings.SINGLE_SITE_AUTH_HOST == "https://one.example.org:2634"
    assert settings.SINGLE_SITE_IMAGE_URL_PREFIX == "one://one.example.org/"
    assert settings.section("OpenNebula").TTS_URL == "https://one.example.org:8443"
    assert problems == []


def test_the_ansible_version_has_a_variable_of_its_own(loaded):
    assert loaded("ANSIBLE_VERSION = 8.7.0", environ={"ANSIBLE_VERSION": "9.5.1"})[0].ANSIBLE_VERSION == "9.5.1"
    both = {"ANSIBLE_VERSION": "9.5.1", "IM_ANSIBLE_VERSION": "latest"}
    assert loaded(environ=both)[0].ANSIBLE_VERSION == "latest"


def test_a_near_miss_is_pointed_out_and_variables_of_other_programs_are_left_alone(loaded):
    _, problems = loaded(environ={"IM_REST_PROT": "1", "IM_PORT_8800_TCP_ADDR": "10.0.0.1", "IM_MAGE": "x"})

    assert problems == ["environment variable IM_REST_PROT: sets no option (did you mean IM_REST_PORT?)"]


def test_what_kubernetes_sets_for_a_service_named_like_an_option_is_ignored(loaded):
    settings, problems = loaded(environ={"IM_REST_PORT": "tcp://10.0.0.1:8800"})

    assert settings.REST_PORT == 8800
    assert "Kubernetes" in problems[0]


def test_no_option_of_the_framework_collides_with_a_variable_of_its_own_meaning():
    assert not {f"IM_{option.name}" for option in Catalogue()} & set(RESERVED)


def test_an_option_of_a_plugin_cannot_take_over_such_a_variable(loaded, tmp_path):
    settings, _ = loaded(environ={"IM_PATH": str(tmp_path)}, p=(Option("PATH", OptionType.TEXT, "mine", "x"),))

    assert settings.PATH == "mine"
