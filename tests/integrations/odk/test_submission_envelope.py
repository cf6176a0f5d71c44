import time

import pytest

from integrations.odk.submission import Envelope, SubmissionProblem, read_envelope

ID = "uuid:6f5a"


def _problem(xml: bytes) -> SubmissionProblem:
    with pytest.raises(SubmissionProblem) as caught:
        read_envelope(xml)
    return caught.value


@pytest.mark.parametrize(
    "xml",
    [
        f'<data id="contact" version="3"><meta><instanceID>{ID}</instanceID></meta></data>',
        f'<data id="contact" version="3" xmlns="urn:f"><meta><instanceID>{ID}</instanceID></meta></data>',
        (
            '<data id="contact" version="3" xmlns:orx="http://openrosa.org/xforms">'
            f"<orx:meta><orx:instanceID>\n {ID} </orx:instanceID></orx:meta></data>"
        ),
        (
            '<data id="contact" xmlns:o="http://openrosa.org/xforms" o:version="3">'
            f'<meta xmlns="http://openrosa.org/xforms"><instanceID>{ID}</instanceID></meta></data>'
        ),
    ],
    ids=["none", "the form's own", "openrosa's with a prefix", "a version with a prefix"],
)
def test_meta_is_found_in_any_namespace(xml):
    assert read_envelope(xml.encode()) == Envelope("contact", "3", ID)


def test_a_form_without_a_version_has_an_empty_one():
    assert read_envelope(f'<a id="f"><meta><instanceID>{ID}</instanceID></meta></a>'.encode()).version == ""


def test_an_edit_names_what_it_replaces():
    xml = f'<a id="f"><meta><deprecatedID>uuid:old</deprecatedID><instanceID>{ID}</instanceID></meta></a>'
    assert read_envelope(xml.encode()).deprecated_id == "uuid:old"


def test_the_meta_of_a_repeat_is_not_the_submission_s_own():
    xml = f"<a id='f'><r><meta><instanceID>x</instanceID></meta></r><meta><instanceID>{ID}</instanceID></meta></a>"
    assert read_envelope(xml.encode()).instance_id == ID


def test_an_encrypted_submission_is_recognised_by_its_manifest():
    xml = f"""<data xmlns="http://www.opendatakit.org/xforms/encrypted" encrypted="yes" id="f" version="1">
        <base64EncryptedKey>AA==</base64EncryptedKey>
        <orx:meta xmlns:orx="http://openrosa.org/xforms"><orx:instanceID>{ID}</orx:instanceID></orx:meta></data>"""
    assert read_envelope(xml.encode()) == Envelope("f", "1", ID, encrypted=True)


@pytest.mark.parametrize("xml", ["không phải XML", "", "<a id='f'><meta>", "<a id='f'>&none;</a>", "<a/><b/>"])
def test_what_is_no_xml_is_refused_with_its_line(xml):
    problem = _problem(xml.encode())
    assert problem.code == "malformed"
    assert "XML" in problem.problem.vi


def test_a_submission_without_a_form_is_refused():
    assert _problem(f"<a><meta><instanceID>{ID}</instanceID></meta></a>".encode()).code == "no-form-id"


@pytest.mark.parametrize("meta", ["", "<meta/>", "<meta><instanceID> </instanceID></meta>"])
def test_a_submission_without_an_instance_id_is_refused_and_its_form_is_known(meta):
    problem = _problem(f"<a id='f'>{meta}</a>".encode())
    assert (problem.code, problem.form_id) == ("no-instance-id", "f")


def test_a_name_that_no_column_holds_is_refused():
    xml = f"<a id='f' version='{'9' * 256}'><meta><instanceID>{ID}</instanceID></meta></a>"
    assert _problem(xml.encode()).code == "name-too-long"


def _bomb() -> str:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha" * 50}">' for n in range(12))
    return f"<!DOCTYPE a [{entities}]><a id='&e11;'><meta><instanceID>&e11;</instanceID></meta></a>"


# In an encoding that hides the declaration from us, libxml2 stops the expansion.
@pytest.mark.parametrize(("encoding", "code"), [("utf-8", "doctype"), ("utf-16", "too-deep")])
def test_an_xml_bomb_is_refused_at_once(encoding, code):
    started = time.monotonic()
    problem = _problem(f'<?xml version="1.0" encoding="{encoding}"?>{_bomb()}'.encode(encoding))
    assert problem.code == code
    assert time.monotonic() - started < 1


def test_an_external_entity_is_not_fetched(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("uuid:stolen")
    head = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
    for hidden in ("", "<!-- <a -->"):
        xml = f"{hidden}{head}<a id='f'><meta><instanceID>&x;</instanceID></meta></a>"
        assert _problem(xml.encode()).code == "doctype"


def test_a_tower_of_elements_is_refused():
    assert _problem(b"<a id='f'>" + b"<g>" * 100_000).code == "too-deep"


def test_the_word_doctype_in_an_answer_does_no_harm():
    xml = f"<a id='f'><q>&lt;!DOCTYPE x&gt;</q><meta><instanceID>{ID}</instanceID></meta></a>"
    assert read_envelope(xml.encode()).instance_id == ID
