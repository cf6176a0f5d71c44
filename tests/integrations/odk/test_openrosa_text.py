from lxml import etree

from integrations.odk import openrosa
from integrations.odk.openrosa import ListedForm, MediaFile

LIST = "{http://openrosa.org/xforms/xformsList}"
MANIFEST = "{http://openrosa.org/xforms/xformsManifest}"

CONTACT = ListedForm("contact", "Tiếp cận <& hẹn>", "3", "0" * 32, "http://host/xforms/1/form.xml")


def _only(body: bytes) -> etree._Element:
    (entry,) = etree.fromstring(body)
    return entry


def test_a_form_is_listed_with_everything_that_collect_asks_for():
    entry = _only(openrosa.form_list([CONTACT]))
    assert entry.tag == f"{LIST}xform"
    assert {child.tag.removeprefix(LIST): child.text for child in entry} == {
        "formID": "contact",
        "name": "Tiếp cận <& hẹn>",
        "version": "3",
        "hash": "md5:" + "0" * 32,
        "downloadUrl": "http://host/xforms/1/form.xml",
    }


def test_a_manifest_is_named_only_where_the_form_has_media():
    without = _only(openrosa.form_list([CONTACT]))
    listed = ListedForm("a", "A", "1", "0" * 32, "http://host/a", manifest_url="http://host/a/manifest.xml")
    assert without.find(f"{LIST}manifestUrl") is None
    assert _only(openrosa.form_list([listed])).findtext(f"{LIST}manifestUrl") == "http://host/a/manifest.xml"


def test_the_text_is_utf_8_and_says_so():
    assert openrosa.form_list([CONTACT]).startswith(b"<?xml version='1.0' encoding='UTF-8'?>")
    assert "Tiếp cận".encode() in openrosa.form_list([CONTACT])


def test_a_manifest_names_each_file_with_its_digest():
    entry = _only(openrosa.manifest([MediaFile("xã.csv", "a" * 32, "http://host/m/1")]))
    assert {child.tag.removeprefix(MANIFEST): child.text for child in entry} == {
        "filename": "xã.csv",
        "hash": "md5:" + "a" * 32,
        "downloadUrl": "http://host/m/1",
    }


def test_a_message_is_an_openrosa_response():
    root = etree.fromstring(openrosa.message("Đã nhận.", openrosa.ERROR_NATURE))
    (said,) = root
    assert root.tag == "{http://openrosa.org/http/response}OpenRosaResponse"
    assert (said.text, said.get("nature")) == ("Đã nhận.", "error")


def test_collect_finds_the_response_by_its_bare_name():
    """Collect looks for the word OpenRosaResponse in the body, so the name may carry no prefix of ours."""
    assert b"<OpenRosaResponse " in openrosa.message("x")
