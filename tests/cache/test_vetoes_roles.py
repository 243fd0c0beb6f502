"""Questions in the same words: who does what to whom, and when."""

from __future__ import annotations

import pytest

from agno_portkey.cache.semantic.vetoes import vetoes

APART = {
    "days": [
        ("Leave on Monday and return on Tuesday", "Leave on Tuesday and return on Monday"),
        ("Do they open Saturday and close Sunday?", "Do they open Sunday and close Saturday?"),
        ("Change the meeting Monday to Friday", "Change the meeting Friday to Monday"),
        ("On Monday, who called Bob on Tuesday?", "On Tuesday, who called Bob on Monday?"),
    ],
    "parts of a sum": [
        ("What is half of 5 plus 3?", "What is 5 plus half of 3?"),
    ],
    "I and you": [
        ("How do I pay you?", "How do you pay me?"),
        ("How can I block you?", "How can you block me?"),
        ("How do I get my money back from you", "How do you get your money back from me"),
        ("What is your opinion of my work?", "What is my opinion of your work?"),
        ("How do you pay me?", "How do I pay?"),
        ("Do I owe you money?", "Do you owe me money?"),
    ],
    "who does it": [
        ("Who called me?", "Who did I call?"),
        ("Who called you?", "Who did you call?"),
        ("Send me the invoice", "I send the invoice"),
    ],
    "this and that": [
        ("Did this cause that?", "Did that cause this?"),
        ("How do I convert this to that?", "How do I convert that to this?"),
    ],
    "done to something": [
        ("Has Ann been fired?", "Has Ann fired?"),
        ("Is the shark eaten?", "Does the shark eat?"),
        ("Was it being built?", "Was it built?"),
    ],
    "and, or": [
        ("Do Ann and Bob pay?", "Do Ann or Bob pay?"),
        ("Ann and Bob or Carl", "Ann or Bob and Carl"),
    ],
    "which one": [
        ("Is he the president?", "Is he a president?"),
        ("Delete a file", "Delete the file"),
        ("Delete a user", "Delete users"),
    ],
}

ALIKE = [
    ("Flights on Monday to Rome", "Flights to Rome on Monday"),
    ("What's the weather in Paris on Monday?", "What's the weather on Monday in Paris?"),
    ("Is it open on Monday and Friday?", "Is it open on Friday and Monday?"),
    ("Is the office open tomorrow?", "Is tomorrow the office open?"),
    ("Meeting today and tomorrow", "Meeting tomorrow and today"),
    ("Should I buy apples and pears?", "Should I buy pears and apples?"),
    ("How do I pay?", "How can I pay?"),
    ("How do I pay you?", "How can I pay you?"),
    ("How do I pay you?", "How to pay you?"),
    ("How do I pay you?", "What are the steps to pay you?"),
    ("How do you cancel an order?", "How do I cancel an order?"),
    ("Where can I find your office?", "Where is your office?"),
    ("What payment methods do you accept?", "Which payment methods do you accept?"),
    ("Give me the price of Slack", "Tell me the price of Slack"),
    ("Can you send me my invoice?", "Send me my invoice"),
    ("Is tea or coffee better?", "Is tea or coffee better, please?"),
    ("Book a table", "Please book a table"),
    ("Summarize the contract", "Give me a summary of the contract"),
]


@pytest.mark.parametrize(("one", "two"), [pair for pairs in APART.values() for pair in pairs])
def test_other_roles_tell_apart(one: str, two: str) -> None:
    assert vetoes(one, two)
    assert vetoes(one, two) == vetoes(two, one)


@pytest.mark.parametrize(("one", "two"), ALIKE)
def test_the_same_roles_do_not(one: str, two: str) -> None:
    assert vetoes(one, two) == ()
    assert vetoes(two, one) == ()
