"""What the detectors find by form, and what they leave alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pii_found import EVERY, found


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("EMAIL_ADDRESS", "write to alice@corp.internal.", "alice@corp.internal"),
        ("EMAIL_ADDRESS", "q=bob%40x.com&next=1", "bob%40x.com"),
        ("EMAIL_ADDRESS", "to='ann.lee+x@mail.example.org',", "ann.lee+x@mail.example.org"),
        ("EMAIL_ADDRESS", "<mailto:ann@example.com>", "ann@example.com"),
        ("EMAIL_ADDRESS", "ann(at)example(dot)com", "ann(at)example(dot)com"),
        ("CREDIT_CARD", "card 2221000000000009 please", "2221000000000009"),
        ("CREDIT_CARD", "3782 822463 10005", "3782 822463 10005"),
        ("CREDIT_CARD", "pay 6304000000000000 now", "6304000000000000"),
        ("CREDIT_CARD", "my card is 4111111111111112", "4111111111111112"),
        ("CREDIT_CARD", "4111 1111 1111 1111 12/27", "4111 1111 1111 1111"),
        ("CREDIT_CARD", "4111-1111-1111-1111 12/27", "4111-1111-1111-1111"),
        ("CREDIT_CARD", "4111111111111111 12/27 123", "4111111111111111"),
        ("CREDIT_CARD", "4111111111111111 123", "4111111111111111"),
        ("CREDIT_CARD", "3782 822463 10005 1234", "3782 822463 10005"),
        ("CREDIT_CARD", "for 12 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("CREDIT_CARD", "12 34 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("US_SSN", "SSN: 219-09-9999", "219-09-9999"),
        ("US_SSN", "social security number 219099999", "219099999"),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00, thanks", "DE89 3704 0044 0532 0130 00"),
        ("IBAN_CODE", "my iban is gb82west12345698765432", "gb82west12345698765432"),
        ("IBAN_CODE", "AB12 DE89370400440532013000", "DE89370400440532013000"),
        ("IP_ADDRESS", "ping 2001:db8::1: no route", "2001:db8::1"),
        ("IP_ADDRESS", "2001:db8:0:0:0:0:0:1: no route", "2001:db8:0:0:0:0:0:1"),
        ("IP_ADDRESS", "all of 2001:db8::", "2001:db8::"),
        ("IP_ADDRESS", "from 84.12.7.3.", "84.12.7.3"),
        ("IP_ADDRESS", "host 2001:db8:85a3::8a2e:370:7334 is up", "2001:db8:85a3::8a2e:370:7334"),
        ("PHONE_NUMBER", "+49 151 23456789", "+49 151 23456789"),
        ("PHONE_NUMBER", "(212) 555-0134", "(212) 555-0134"),
        ("PHONE_NUMBER", "call me on 9472 7916?", "9472 7916"),
        ("PHONE_NUMBER", "ann@example.com,555-0134", "555-0134"),
        ("PHONE_NUMBER", "Ann,212-555-0134,90210", "212-555-0134"),
        ("PHONE_NUMBER", "Ann,+49 151 23456789,53111", "+49 151 23456789"),
        ("US_PASSPORT", "passport number: 123456789", "123456789"),
        ("US_DRIVER_LICENSE", "My driver's license number is F162823540116", "F162823540116"),
        ("US_ITIN", "my ITIN 912-71-1234", "912-71-1234"),
        ("PERSON", "My name is Rubija", "Rubija"),
        ("PERSON", "Dear Ms. Park,", "Park"),
        ("PERSON", '{"customer_name": "Zorvan Qilt"}', "Zorvan Qilt"),
        ("PERSON", "please ask ingrid larsen to sign", "ingrid larsen"),
        ("PERSON", "met Björn Lindqvist's team", "Björn Lindqvist"),
        ("LOCATION", "at 12 Oak Street, Boston", "12 Oak Street, Boston"),
        ("LOCATION", "Hauptstraße 12, 53111 Bonn", "Hauptstraße 12, 53111 Bonn"),
        ("LOCATION", "she grew up in Tromsø.", "Tromsø"),
        ("LOCATION", "my zip code is 35350", "35350"),
        (
            "LOCATION",
            "Flat 3, 18 Qilt Gardens, London W1J 5JX.",
            "Flat 3, 18 Qilt Gardens, London W1J 5JX",
        ),
        (
            "LOCATION",
            "Flat 12B, MG Road, Bengaluru 560001 now",
            "Flat 12B, MG Road, Bengaluru 560001",
        ),
        ("LOCATION", "at No. 88 Nanjing Road, Shanghai", "No. 88 Nanjing Road, Shanghai"),
        ("LOCATION", "Qilt Cad. No: 12", "Qilt Cad. No: 12"),
        (
            "LOCATION",
            "2-11-3 Meguro, Meguro-ku, Tokyo 153-0063",
            "2-11-3 Meguro, Meguro-ku, Tokyo 153-0063",
        ),
        ("LOCATION", "12 rue des Lilas, 69003 Lyon", "12 rue des Lilas, 69003 Lyon"),
        ("LOCATION", "27 Qilt Road Upper, Dublin 6.", "27 Qilt Road Upper, Dublin 6"),
        (
            "LOCATION",
            "4 Qilt Lane, Boise, ID 83702\nDaytime phone: 1",
            "4 Qilt Lane, Boise, ID 83702",
        ),
        ("LOCATION", "me: 618 n qilt st, tacoma wa 98406", "618 n qilt st, tacoma wa 98406"),
        ("LOCATION", "at 33 qilt ave", "33 qilt ave"),
        ("LOCATION", "| Fort Collins, CO\n", "Fort Collins, CO"),
        ("LOCATION", "from Qilton, OR 97205", "Qilton, OR 97205"),
        ("LOCATION", "I live in Qilton. Ask me", "Qilton"),
        ("LOCATION", "the zip code: 35350-1234", "35350-1234"),
        ("LOCATION", "qilton NY 10001", "10001"),
        ("LOCATION", "qilton ID 83702", "83702"),
        ("LOCATION", "qilton, OV 21072", "21072"),
        ("LOCATION", "PSC 12, Box 345", "PSC 12, Box 345"),
        ("PHONE_NUMBER", "mobil 070-123 45 67", "070-123 45 67"),
        ("PHONE_NUMBER", "08-765 432 10 or", "08-765 432 10"),
        ("PHONE_NUMBER", "06-87654321 bellen", "06-87654321"),
        ("PHONE_NUMBER", "to=%2B447700900123&b=1", "%2B447700900123"),
        ("PHONE_NUMBER", "PAGER=+1-415-555-0143", "+1-415-555-0143"),
        ("PHONE_NUMBER", "(+39) 06 6982 1234", "(+39) 06 6982 1234"),
        ("PHONE_NUMBER", "9472 7916 (office)", "9472 7916"),
        ("PHONE_NUMBER", "order +49 151 23456789", ""),
        ("PHONE_NUMBER", "call about order +49 151 23456789", "+49 151 23456789"),
        ("IP_ADDRESS", "fe80::1ff:fe23:4567:890a up", "fe80::1ff:fe23:4567:890a"),
        ("IP_ADDRESS", "at face:cafe:beef::bad now", "face:cafe:beef::bad"),
        ("US_SSN", "ssn 666-12-3456", "666-12-3456"),
        ("US_SSN", "ref 219-09-9999", "219-09-9999"),
        ("IBAN_CODE", "iban GB82WEST12345698765433", "GB82WEST12345698765433"),
        ("AGE", "a 35-year-old male", "35"),
        ("TITLE", "Mrs. Labrie", "Mrs."),
        ("DATE_TIME", "born 8/5/1989", "8/5/1989"),
        ("ORGANIZATION", "I work for Citigroup", "Citigroup"),
        ("NRP", "a Polish film", "Polish"),
        ("URL", "see https://example.com/a?b=1.", "https://example.com/a?b=1"),
    ],
)
def test_it_is_found(kind: str, text: str, value: str) -> None:
    assert found(kind, text) == ([value] if value else [])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("EMAIL_ADDRESS", "npm i lodash@4.17.21 react@18.2.0-beta.rc"),
        ("EMAIL_ADDRESS", "git clone git@github.com:acme/widgets.git"),
        ("EMAIL_ADDRESS", "@dataclass\nclass A: ..."),
        ("CREDIT_CARD", "run id 4111111111111112 ended"),
        ("CREDIT_CARD", "at 1714550400000 ms"),
        ("CREDIT_CARD", "4111 1111 1111 1112 12/27"),
        ("CREDIT_CARD", "9900000000000002 12/27"),
        ("CREDIT_CARD", "4444444444444444 123"),
        ("CREDIT_CARD", "took 4111111111111111.25 ms, 0.4111111111111111 23"),
        ("CREDIT_CARD", "1000 4111 1111 1111 1111 2000"),
        ("LOCATION", "see tickets, PR 10233, QA 12345, ID 48213 and QA 12346"),
        ("PHONE_NUMBER", "paid +1 234 567,89 and call 1234567,89 or call 1234567890,12"),
        ("IP_ADDRESS", "12:30:11: std::chrono:: 2001:db8:1:2:3:4:5:6:7"),
        ("US_SSN", "part 000-12-3456"),
        ("US_SSN", "build 219099999"),
        ("US_SSN", "part 666-12-3456"),
        ("US_SSN", "ssn 219-00-9999 or 219-09-0000"),
        ("US_ITIN", "part 912-71-1234"),
        ("IBAN_CODE", "iban DE89 3704"),
        ("IBAN_CODE", "iban XX89370400440532013000"),
        ("IBAN_CODE", "DE893704004405320130001"),
        ("CREDIT_CARD", "card 4444444444444444444"),
        ("CREDIT_CARD", "card 1111111111111117"),
        ("CREDIT_CARD", "card 9900000000000002"),
        ("EMAIL_ADDRESS", "ann @ example.com"),
        ("EMAIL_ADDRESS", "=@example.com"),
        ("IP_ADDRESS", "Section 4.2.1.7, kernel 5.15.0.91, 300.1.1.1"),
        ("IP_ADDRESS", "a::b and face::cafe"),
        ("PHONE_NUMBER", '{"phone": "x", "created": 1710345600}'),
        ("PHONE_NUMBER", "call us: firmware 4.01.0930"),
        ("PHONE_NUMBER", "call 2024-05-01"),
        ("PHONE_NUMBER", "call 12 34 5"),
        ("PHONE_NUMBER", "call 12 34 56"),
        ("LOCATION", "do 3 more test drive"),
        ("LOCATION", "Sure, OK and All, CO"),
        ("LOCATION", "moved to Kubernetes, moved to The_Plan and lives in Team"),
        ("LOCATION", "France_east is up, and so is france"),
        ("IBAN_CODE", "GB82WEST12345698765433"),
        ("IP_ADDRESS", "version 2.14.0.3 and v1.2.3.4; pip install a==1.2.3.4"),
        ("IP_ADDRESS", "listen on 127.0.0.1 and 0.0.0.0"),
        ("IP_ADDRESS", "std::vector at 12:30:11"),
        ("PHONE_NUMBER", "Order 4417-2290-11 on 2024-05-01 12:30"),
        ("PHONE_NUMBER", "took 00:14:32, scored 0.8731"),
        ("PHONE_NUMBER", "invoice 555-123-4567"),
        ("PERSON", "The Critic should check the Plan before the Judge scores it."),
        ("PERSON", "Kubernetes restarted the pod payments-7d9f8c6b5-x2x4z"),
        ("PERSON", '{"name": "deploy-service"}'),
        ("LOCATION", "Summer sale: 25% off all Garden Chairs until August."),
        ("LOCATION", '{"address": "0xdeadbeef"}'),
        ("AGE", "it turned 90% faster"),
    ],
)
def test_it_is_left_alone(kind: str, text: str) -> None:
    assert found(kind, text) == []


@pytest.mark.parametrize(
    ("kind", "text", "values"),
    [
        (
            "IBAN_CODE",
            "DE89370400440532013000 GB82WEST12345698765432",
            ["DE89370400440532013000", "GB82WEST12345698765432"],
        ),
        (
            "IBAN_CODE",
            "DE89 3704 0044 0532 0130 00 GB82 WEST 1234 5698 7654 32",
            ["DE89 3704 0044 0532 0130 00", "GB82 WEST 1234 5698 7654 32"],
        ),
        (
            "CREDIT_CARD",
            "4111 1111 1111 1111 12/27, 5500 0000 0000 0004 01/28",
            ["4111 1111 1111 1111", "5500 0000 0000 0004"],
        ),
        ("IP_ADDRESS", "84.12.7.3-84.12.7.90", ["84.12.7.3", "84.12.7.90"]),
        ("PHONE_NUMBER", "212-555-0134,212-555-0135", ["212-555-0134", "212-555-0135"]),
    ],
)
def test_one_beside_another_is_found(kind: str, text: str, values: list[str]) -> None:
    assert found(kind, text) == values


@pytest.mark.parametrize(
    ("kind", "surer", "less"),
    [
        ("US_SSN", "ssn 219-09-9999", "219-09-9999"),
        ("PERSON", "saw Ingrid Larsen", "saw Ingrid"),
        ("PHONE_NUMBER", "call +49 151 23456789", "+49 151 23456789"),
        ("CREDIT_CARD", "4111111111111111", "card 4111111111111112"),
        ("IBAN_CODE", "GB82WEST12345698765432", "iban GB82WEST12345698765433"),
    ],
)
def test_what_is_said_or_checked_is_surer(kind: str, surer: str, less: str) -> None:
    one, other = (
        max(span.score for detector in EVERY[kind] for span in detector.find(text))
        for text in (surer, less)
    )
    assert one > other


@pytest.mark.parametrize(
    "number",
    [
        "BI4210000100010000332045181",
        "DJ2100010000000154000100186",
        "FK88SC123456789012",
        "HN88CABF00000000000250005469",
        "MN121234123456789123",
        "NI45BAPR00000013000003558124",
        "OM810180000001299123456",
        "RU0304452522540817810538091310419",
        "SO211000001001000100141",
        "YE15CBYE0001018861234567891234",
    ],
)
def test_numbers_of_countries_that_joined_late_are_found(number: str) -> None:
    """The examples of the registry of IBANs, whose check digits are right."""
    assert found("IBAN_CODE", f"to {number}.") == [number]
    assert found("IBAN_CODE", f"to {number[:-1]}.") == []


PARTS = (
    " ",
    "a",
    "A",
    "1",
    "1.",
    "1-",
    "a@",
    "a:",
    "(1) ",
    "Aa ",
    "A. ",
    "Aa, ",
    "\n",
    "12 Aa ",
    "Aa\n",
    '"name": "',
    "my name is ",
    "Dear ",
    "de Aa ",
    "DE12 ",
    "4111 1111 ",
    "1.2.3.4-",
    "::1 ",
    "http://",
    "a'",
    "driver license ",
    "zip code ",
    "+1 ",
    "Via Aa ",
    "Apt. 1 ",
    "Aa and ",
    "John ",
    "corner of ",
    "12 Main Street,\nAa",
    "lives in Aa ",
)


@pytest.mark.parametrize("part", PARTS)
def test_hostile_texts_take_time_in_line_with_their_length(part: str) -> None:
    """A pattern that is not linear would take hours over these, and the suite has a limit."""
    text = (part * (60_000 // len(part) + 1))[:60_000]
    for some in EVERY.values():
        for detector in some:
            detector.find(text)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("aA1 .,-@:/'\"\n(+ßé{}"), max_size=300))
def test_spans_lie_within_the_text_and_hold_something(text: str) -> None:
    for some in EVERY.values():
        for detector in some:
            for span in detector.find(text):
                assert 0 <= span.start < span.end <= len(text)
                assert 0 < span.score <= 1
