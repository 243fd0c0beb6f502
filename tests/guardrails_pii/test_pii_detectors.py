"""What the detectors find by form, and what they leave alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_portkey.guardrails.pii.recognition import ALL, detectors
from agno_portkey.guardrails.pii.spans import widest

EVERY = {name: detectors([name]) for name in ALL}


def found(kind: str, text: str) -> list[str]:
    spans = [span for detector in EVERY[kind] for span in detector.find(text)]
    return [text[span.start : span.end] for span in widest(spans, text)]


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
        ("US_SSN", "SSN: 219-09-9999", "219-09-9999"),
        ("US_SSN", "social security number 219099999", "219099999"),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00, thanks", "DE89 3704 0044 0532 0130 00"),
        ("IBAN_CODE", "my iban is gb82west12345698765432", "gb82west12345698765432"),
        ("IP_ADDRESS", "from 84.12.7.3.", "84.12.7.3"),
        ("IP_ADDRESS", "host 2001:db8:85a3::8a2e:370:7334 is up", "2001:db8:85a3::8a2e:370:7334"),
        ("PHONE_NUMBER", "+49 151 23456789", "+49 151 23456789"),
        ("PHONE_NUMBER", "(212) 555-0134", "(212) 555-0134"),
        ("PHONE_NUMBER", "call me on 9472 7916?", "9472 7916"),
        ("PHONE_NUMBER", "ann@example.com,555-0134", "555-0134"),
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
        ("AGE", "a 35-year-old male", "35"),
        ("TITLE", "Mrs. Labrie", "Mrs."),
        ("DATE_TIME", "born 8/5/1989", "8/5/1989"),
        ("ORGANIZATION", "I work for Citigroup", "Citigroup"),
        ("NRP", "a Polish film", "Polish"),
        ("URL", "see https://example.com/a?b=1.", "https://example.com/a?b=1"),
    ],
)
def test_it_is_found(kind: str, text: str, value: str) -> None:
    assert found(kind, text) == [value]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("EMAIL_ADDRESS", "npm i lodash@4.17.21 react@18.2.0-beta.rc"),
        ("EMAIL_ADDRESS", "git clone git@github.com:acme/widgets.git"),
        ("EMAIL_ADDRESS", "@dataclass\nclass A: ..."),
        ("CREDIT_CARD", "run id 4111111111111112 ended"),
        ("CREDIT_CARD", "at 1714550400000 ms"),
        ("US_SSN", "part 000-12-3456"),
        ("US_SSN", "build 219099999"),
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
