"""What clients get of their clouds."""

import pytest

from imframework.api.errors import NotSupported


@pytest.mark.parametrize(
    ("query", "filters"),
    [
        ("", {}),
        ("?filters=", {}),
        ("?filters=name=linux", {"name": "linux"}),
        ("?filters=name=linux,owner=me%3Dyou,empty=", {"name": "linux", "owner": "me=you", "empty": ""}),
    ],
)
def test_images_are_listed_by_what_they_are_filtered_with(server, query, filters):
    answer = server.get(f"/clouds/one/images{query}")
    assert (answer.status, answer.media_type) == (200, "application/json")
    assert answer.json == {"images": [{"uri": "mock0://linux.for.ev.er/image1", "name": "Image 1"}]}
    assert server.service.calls == [("images", "one", filters)]


@pytest.mark.parametrize("filters", ["name", "name=a,", ",", "=a", "name=a,owner"])
def test_filters_that_cannot_be_read_are_refused(server, filters):
    answer = server.get(f"/clouds/one/images?filters={filters}")
    assert (answer.status, answer.text) == (400, "Invalid format in filters parameter.")
    assert not server.service.calls


def test_quotas_are_whole_numbers_where_they_can_be(server):
    answer = server.get("/clouds/one/quotas", Accept="*/*")
    assert answer.text == '{"quotas":{"cores":{"used":4,"limit":-1},"ram":{"used":1.5,"limit":8}}}'


def test_a_cloud_that_is_not_in_the_credentials_is_a_bad_request(server):
    answer = server.get("/clouds/two/images")
    assert (answer.status, answer.text) == (400, "Error getting cloud info: Cloud ID two not found.")


def test_a_cloud_that_cannot_tell_says_so(server):
    server.service.failures["quotas"] = NotSupported("Local does not report quotas.")
    answer = server.get("/clouds/one/quotas", Accept="application/json")
    assert answer.json == {"message": "Error getting cloud info: Local does not report quotas.", "code": 400}


def test_clouds_have_no_text_form(server):
    assert server.get("/clouds/one/images", Accept="text/plain").status == 415
    assert server.get("/clouds/one/quotas", Accept="text/plain").status == 415
    assert server.get("/clouds/one/images", auth=None).status == 401
