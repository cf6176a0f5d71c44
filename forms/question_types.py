"""The question types of XLSForm, as pyxform 4.5 takes them."""

from __future__ import annotations

from collections.abc import Mapping

from forms.definition import FieldType

#: Types that somebody answers or reads: they need a label.
ASKED: Mapping[str, FieldType] = {
    "integer": FieldType.INTEGER,
    "int": FieldType.INTEGER,
    "decimal": FieldType.DECIMAL,
    "range": FieldType.DECIMAL,
    "percentage": FieldType.DECIMAL,
    "text": FieldType.TEXT,
    "string": FieldType.TEXT,
    "note": FieldType.NOTE,
    "date": FieldType.DATE,
    "time": FieldType.TIME,
    "dateTime": FieldType.DATETIME,
    "datetime": FieldType.DATETIME,
    "date time": FieldType.DATETIME,
    "geopoint": FieldType.GEOPOINT,
    "gps": FieldType.GEOPOINT,
    "location": FieldType.GEOPOINT,
    "geotrace": FieldType.GEOTRACE,
    "geoshape": FieldType.GEOSHAPE,
    "barcode": FieldType.BARCODE,
    "image": FieldType.FILE,
    "photo": FieldType.FILE,
    "audio": FieldType.FILE,
    "video": FieldType.FILE,
    "file": FieldType.FILE,
    "acknowledge": FieldType.ACKNOWLEDGE,
    "trigger": FieldType.ACKNOWLEDGE,
}

#: Types that the phone fills in by itself, or that declare something.
SILENT: Mapping[str, FieldType] = {
    "calculate": FieldType.TEXT,
    "hidden": FieldType.TEXT,
    "start": FieldType.DATETIME,
    "start time": FieldType.DATETIME,
    "end": FieldType.DATETIME,
    "end time": FieldType.DATETIME,
    "today": FieldType.DATE,
    "deviceid": FieldType.TEXT,
    "device id": FieldType.TEXT,
    "imei": FieldType.TEXT,
    "username": FieldType.TEXT,
    "email": FieldType.TEXT,
    "phonenumber": FieldType.TEXT,
    "phone number": FieldType.TEXT,
    "simserial": FieldType.TEXT,
    "sim id": FieldType.TEXT,
    "subscriberid": FieldType.TEXT,
    "subscriber id": FieldType.TEXT,
    "audit": FieldType.FILE,
    "start-geopoint": FieldType.GEOPOINT,
    "background-geopoint": FieldType.GEOPOINT,
    "background-audio": FieldType.FILE,
    "csv-external": FieldType.TEXT,
    "xml-external": FieldType.TEXT,
}

#: Spellings of very old forms. pyxform takes them still; nobody needs to be told of them.
OLD = frozenset(
    {
        *(f"add {kind} prompt" for kind in ("acknowledge", "audio", "barcode", "calculate", "date", "date time")),
        *(f"add {kind} prompt" for kind in ("dateTime", "decimal", "file", "image", "photo", "integer", "location")),
        *(f"add {kind} prompt" for kind in ("note", "text", "video")),
        *(f"q {kind}" for kind in ("acknowledge", "audio", "barcode", "calculate", "date", "date time", "dateTime")),
        *(f"q {kind}" for kind in ("decimal", "geopoint", "geoshape", "geotrace", "image", "int", "location", "note")),
        *(f"q {kind}" for kind in ("picture", "string", "video")),
        *(f"get {kind}" for kind in ("device id", "end time", "phone number", "sim id", "start time", "subscriber id")),
        "get today",
        *(f"number of days in last {span}" for span in ("month", "six months", "year")),
        *(f"uri:{kind}" for kind in ("deviceid", "email", "phonenumber", "simserial", "subscriberid", "username")),
        "osm",
    }
)

#: Commands that a list name follows.
CHOOSING: Mapping[str, FieldType] = {
    "select_one": FieldType.SELECT_ONE,
    "select one": FieldType.SELECT_ONE,
    "select one from": FieldType.SELECT_ONE,
    "select1": FieldType.SELECT_ONE,
    "add select one prompt using": FieldType.SELECT_ONE,
    "select_one_external": FieldType.SELECT_ONE,
    "select_one_from_file": FieldType.SELECT_ONE,
    "select one from file": FieldType.SELECT_ONE,
    "select_multiple": FieldType.SELECT_MULTIPLE,
    "select all that apply": FieldType.SELECT_MULTIPLE,
    "select all that apply from": FieldType.SELECT_MULTIPLE,
    "add select multiple prompt using": FieldType.SELECT_MULTIPLE,
    "select_multiple_from_file": FieldType.SELECT_MULTIPLE,
    "select multiple from file": FieldType.SELECT_MULTIPLE,
    "rank": FieldType.RANK,
}

#: Choice questions whose list is a file beside the form.
FROM_FILE = frozenset(
    {"select_one_from_file", "select one from file", "select_multiple_from_file", "select multiple from file"}
)

#: What authors may have meant who wrote a word of their own.
MEANT: Mapping[str, str] = {
    "number": "integer",
    "numeric": "integer",
    "float": "decimal",
    "phone": "text",
    "radio": "select_one",
    "single choice": "select_one",
    "multiple choice": "select_multiple",
    "checkbox": "select_multiple",
    "picture": "image",
    "map": "geopoint",
    "label": "note",
}
