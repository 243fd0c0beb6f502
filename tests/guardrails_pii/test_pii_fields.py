"""Names, places and dates of birth that a key, a column or the words beside them tell."""

from __future__ import annotations

import pytest
from pii_found import EVERY, found

from agno_portkey.guardrails.pii.recognition import DEFAULT


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"last_name": "Qilt"}', "Qilt"),
        ('{"lastName":"Qilt"}', "Qilt"),
        ('{\\"customer_name\\":\\"Zorvan Qilt\\",\\"n\\":1}', "Zorvan Qilt"),
        ("lastName: 'Qilt',", "Qilt"),
        ("surname = 'qilt' AND x", "qilt"),
        ("last_name ILIKE 'Qilt'", "Qilt"),
        ("<familyName>Qilt</familyName>", "Qilt"),
        ("Surname ......... Qilt\n", "Qilt"),
        ("customer_name: Zorvan Qilt\n", "Zorvan Qilt"),
        ("displayName: Ingrid Qilt\n", "Ingrid Qilt"),
        ("GET /x?first_name=Ingrid+Qilt&n=1", "Ingrid+Qilt"),
        ('{"owner": "Zorvan Qilt"}', "Zorvan Qilt"),
        ('{"owner": "Zorvan van Qilt"}', "Zorvan van Qilt"),
        ('{"name": "Zorvan Qilt", "email": "z@q.io"}', "Zorvan Qilt"),
        ('{"phone": "1", "name": "Zorvan Qilt"}', "Zorvan Qilt"),
        ('{"name": "Ingrid"}', "Ingrid"),
        ('User(first="Zorvan", last="Qilt")', "Zorvan,Qilt"),
    ],
)
def test_a_key_tells_a_name(text: str, value: str) -> None:
    assert found("PERSON", text) in ([value], value.split(","), value.split(",")[1:])


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Zorvan Qilt"}',
        '{"name": "Dark Mode", "phone": "x"}',
        '{"owner": "zorvan"}',
        "owner: zorvan-squad\n",
        "last_name: unknown\n",
        '{"customer_name": "Support Team"}',
        "customer: acme\n",
        '{"rename": "Qilt"}',
        '{"owner": "Zorvan"}',
        "owner: ingrid\nThe Plan",
    ],
)
def test_a_key_of_a_thing_tells_none(text: str) -> None:
    assert found("PERSON", text) == []


@pytest.mark.parametrize(
    ("kind", "text", "values"),
    [
        (
            "PERSON",
            "id,name,city\n1,Zorvan Qilt,Qilton\n2,Ona Qilt,Varn\n",
            ["Zorvan Qilt", "Ona Qilt"],
        ),
        ("LOCATION", "id,name,city\n1,Zorvan Qilt,Qilton\n\n", ["Qilton"]),
        ("DATE_OF_BIRTH", "id;dob;n\n1;1984-07-19;2\n", ["1984-07-19"]),
        ("PERSON", '"Name","Product"\n"Zorvan Qilt","Desk, small"\n', ["Zorvan Qilt"]),
        ("PERSON", "| Customer | N |\n| Zorvan Qilt | 3 |\n", ["Zorvan Qilt"]),
        ("PERSON", "a\tname\n1\tZorvan Qilt\n", ["Zorvan Qilt"]),
        ("PERSON", "name,n\nZorvan Qilt,1\nthe end\nOna Qilt,1\n", ["Zorvan Qilt"]),
        (
            "PERSON",
            "INSERT INTO t (id, full_name) VALUES\n(1, 'Zorvan Qilt'),\n(2, 'Ona Qilt');",
            ["Zorvan Qilt", "Ona Qilt"],
        ),
        ("LOCATION", "insert into t (id, city) values (1, 'Qilton')", ["Qilton"]),
        ("PERSON", "INSERT INTO t (id, note) VALUES (1, 'Zorvan Qilt')", []),
        ("PERSON", "name,n\nA-77,1\nzorvan qilt,2\n", []),
        ("PERSON", "n,name\n1\n2,\n", []),
        ("PERSON", "n,m,name\n1,2\n1,2,Zorvan Qilt\n", ["Zorvan Qilt"]),
        ("PERSON", "Use the name, then go.\nZorvan Qilt, 3\n", []),
        ("PERSON", 'name,n\n"Zorvan Qilt\n', []),
        ("PERSON", 'name,n\n"Qilt, Zorvan Ona",1\n', ["Qilt, Zorvan Ona"]),
        ("PERSON", "name,3 x!\nZorvan Qilt,1\n", []),
    ],
)
def test_the_head_of_a_column_tells(kind: str, text: str, values: list[str]) -> None:
    column = [one for one in EVERY[kind] if type(one).__name__ == "ColumnDetector"]
    spans = [span for detector in column for span in detector.find(text)]
    assert [text[span.start : span.end] for span in spans] == values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("DOB 4 Jul 1976", "4 Jul 1976"),
        ("Date of birth: 03/14/1968", "03/14/1968"),
        ('"birthDate":"1976-07-04"', "1976-07-04"),
        ("<birthDate>1976-07-04</birthDate>", "1976-07-04"),
        ("born on July 4, 1976 in", "July 4, 1976"),
        ("Born ............ 7 January 1988", "7 January 1988"),
        ("geboren am 4. Juli 1976", "4. Juli 1976"),
        ("née le 4 juillet 1976", "4 juillet 1976"),
        ("D.O.B.: 7/4/76", "7/4/76"),
        ("dob = '1958-04-02'", "1958-04-02"),
    ],
)
def test_a_date_of_birth_is_told_by_its_words(text: str, value: str) -> None:
    assert found("DATE_OF_BIRTH", text) == [value]


@pytest.mark.parametrize(
    "text",
    ["hired on 2016-09-12", "created: 2024-01-01", "born in 1976", "stillborn idea 1/2/2024"],
)
def test_other_dates_are_none_of_birth(text: str) -> None:
    assert "DATE_OF_BIRTH" in DEFAULT
    assert found("DATE_OF_BIRTH", text) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"homeCity": "Qilton"}', "Qilton"),
        ('{"ship_to": "12 rue des Lilas, 69003 Lyon"}', "12 rue des Lilas, 69003 Lyon"),
        ("<City>Qilton</City>", "Qilton"),
        ('<Form street="5 Qilt Yard" />', "5 Qilt Yard"),
    ],
)
def test_a_key_tells_a_place(text: str, value: str) -> None:
    assert found("LOCATION", text) == [value]


@pytest.mark.parametrize("text", ["city: qilton", '{"city": "qilton"}', '{"address": "12 34"}'])
def test_a_key_of_no_place_tells_none(text: str) -> None:
    assert found("LOCATION", text) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[10:02] ingrid: is staging down?", "ingrid"),
        ("**Ingrid**: on it", "Ingrid"),
        ("hi, im ingrid qilt, locked out", "ingrid qilt"),
        ("my name is zorvan and I am locked out", "zorvan"),
        ("me llamo zorvan", "zorvan"),
        ("Zorvan Qilt (z@q.io) wrote", "Zorvan Qilt"),
        ("Zorvan Qilt, 083 123 4567", "Zorvan Qilt"),
        ("Remind Zorvan Qilt about it", "Zorvan Qilt"),
        ("Señora Qilt llamó", "Qilt"),
        ("seen by Dr. Zorvan. BP 132", "Zorvan"),
        ('"Qilt, Ingrid" <i>', "Qilt, Ingrid"),
        ("QILT, Ingrid booked", "QILT, Ingrid"),
        ("<h3>Ingrid Larsen</h3>", "Ingrid Larsen"),
        ("Mail Anna", "Anna"),
        ("<b>Ingrid</b>", "Ingrid"),
        ("for Ingrid Ticket: 5", "Ingrid"),
        ("seen by Dr. V. Zorvan", "V. Zorvan"),
        ("June Larsen on 5 May", "June Larsen"),
        ("met Ingrid von Qilt there", "Ingrid von Qilt"),
        ("saw Ingrid von there", "Ingrid"),
        ("ask Zorvan Mr", "Zorvan"),
    ],
)
def test_the_words_beside_it_tell_a_name(text: str, value: str) -> None:
    assert found("PERSON", text) == [value]


@pytest.mark.parametrize(
    "text",
    [
        "[10:02] zorvan: is staging down?",
        "Action: search\nObservation: none",
        "Customer: Zorvan Corp",
        "my name is missing",
        "my name is Ingrid_2",
        "im zorvan",
        "Support Team (help@q.io)",
        '"Paris, London" and PARIS, London',
        "release June 3",
        "21 June at noon",
        "June is full, and so is September",
        "September is full, and so is June",
        "Ingrid 2.17.1 is out",
        "the Ingrid Insurance form",
        "a->Ingrid and a=>Ingrid and x<Ingrid> and <a><Ingrid>",
        "if a>Ingrid",
        "<a =>Ingrid x",
        "eva is here",
        "Dear X,",
    ],
)
def test_other_words_tell_none(text: str) -> None:
    assert found("PERSON", text) == []
