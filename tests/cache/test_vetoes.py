"""What tells two questions apart though they are worded alike, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agno_portkey.cache.semantic.vetoes import vetoes

APART = {
    "number": [
        ("Convert 10 USD to EUR", "Convert 100 USD to EUR"),
        ("Is two pills a day too much?", "Is three pills a day too much?"),
        ("What is new in version 3.11?", "What is new in version 3.12?"),
        ("Alarm at 7:30", "Alarm at 7:03"),
        ("Is -5 degrees cold?", "Is 5 degrees cold?"),
        ("Causes of World War I", "Causes of World War II"),
        ("Causes of World War I", "Causes of World War"),
        ("Show orders of 1 March 2023", "Show orders of 1 March 2024"),
        ("The second planet", "The third planet"),
        ("Jobs paying 50k", "Jobs paying 500k"),
    ],
    "unit": [
        ("How long is the bridge in meters?", "How long is the bridge in feet?"),
        ("Rent a car for two days", "Rent a car for two weeks"),
        ("Is $500 enough?", "Is €500 enough?"),
        ("Is 5 mg safe?", "Is 5 g safe?"),
    ],
    "time": [
        ("Weather in Rome today", "Weather in Rome tomorrow"),
        ("Invoices from March", "Invoices from May"),
        ("Sales of last quarter", "Sales of this quarter"),
    ],
    "negation": [
        ("Delete the account", "Do not delete the account"),
        ("Why does it start on boot?", "Why doesn't it start on boot?"),
        ("Can I take it with alcohol?", "Can I take it without alcohol?"),
        ("Can dogs eat grapes?", "Can't dogs eat grapes?"),
    ],
    "polarity": [
        ("How do I turn on dark mode?", "How do I turn off dark mode?"),
        ("How do I turn dark mode on?", "How do I turn dark mode off?"),
        ("Symptoms of hypothyroidism", "Symptoms of hyperthyroidism"),
        ("How do I encrypt a file?", "How do I decrypt a file?"),
        ("Is it legal?", "Is it illegal?"),
        ("What is the dosage for adults?", "What is the dosage for children?"),
    ],
    "entity": [
        ("What is the capital of Austria?", "What is the capital of Australia?"),
        ("Send 50 dollars to Maria", "Send 50 dollars to Marta"),
        ("Is this turkey expensive?", "Is this Turkey expensive?"),
        ("Who leads the US?", "Who leads us?"),
        ("Does plan A include support?", "Does plan B include support?"),
        ("Explain pointers in C", "Explain pointers in C++"),
    ],
    "role": [
        ("Does Alice report to Bob?", "Does Bob report to Alice?"),
        ("Flights from London to Paris", "Flights from Paris to London"),
        ("Can a shark outrun a whale?", "Can a whale outrun a shark?"),
        ("The effect of sleep on memory", "The effect of memory on sleep"),
        ("Is Alice Bob's boss?", "Is Bob Alice's boss?"),
        ("Send Bob's report to Alice", "Send Alice's report to Bob"),
        ("Who wrote Hamlet?", "Who wrote about Hamlet?"),
        ("Books about children", "Books for children"),
        ("Who killed Hamlet?", "Who did Hamlet kill?"),
        ("A house cat", "A cat house"),
        ("Is there sugar in milk?", "Is there sugar milk?"),
    ],
    "scope": [
        ("Delete all files", "Delete some files"),
        ("Show reviews with more than 3 stars", "Show reviews with 3 stars"),
        ("Can only admins edit it?", "Can admins edit it?"),
        ("Orders before 1 March", "Orders since 1 March"),
    ],
    "question": [
        ("When was the book published?", "Where was the book published?"),
        ("Can I export my data?", "How do I export my data?"),
        ("Is the service down?", "The service is down."),
        ("Tell me a joke", "What is a joke?"),
        ("How do I swim?", "How is swimming?"),
        ("In what year was it built?", "In what month was it built?"),
    ],
    "tense": [
        ("Is the shop open?", "Was the shop open?"),
        ("Who won the marathon?", "Who will win the marathon?"),
        ("List employees hired in May", "List employees hiring in May"),
    ],
    "modality": [
        ("Must I pay tax?", "Can I pay tax?"),
        ("Why should I vote?", "Why must I vote?"),
    ],
    "person": [
        ("Is my order shipped?", "Is your order shipped?"),
        ("Delete this file", "Delete that file"),
        ("Show all tasks", "Show my tasks"),
    ],
    "plural": [("Delete the user", "Delete the users"), ("Delete the user", "Delete a user")],
    "spelling": [
        ("What is (2+3)*4?", "What is 2+3*4?"),
        ("What does grep -v do?", "What does grep -V do?"),
    ],
    "word": [
        ("Best laptop for students", "Best laptop for poor students"),
        ("What is 5 + 3?", "What is 5 * 3?"),
        ("Subtract the cost from the price", "Subtract the price from the cost"),
        ("Is a cure known?", "Is a vaccine known?"),
        ("Who are you?", "Who am I?"),
    ],
}

ALIKE = [
    ("How do I cancel my subscription?", "What are the steps to cancel a subscription?"),
    (
        "How do I cancel my subscription?",
        "Could you tell me how to cancel my subscription, please?",
    ),
    ("How do I enable dark mode?", "How can I turn dark theme on?"),
    ("What is recursion?", "Can you explain what recursion is?"),
    ("What's the weather in Paris today?", "How is the weather today in Paris?"),
    ("What is the capital of France?", "Which city is France's capital?"),
    ("Who wrote Hamlet?", "Who is the author of Hamlet?"),
    ("Who owns the shop?", "Who is the owner of the shop?"),
    ("How tall is Mount Everest?", "What is the height of Mount Everest?"),
    ("How much does Slack cost?", "What is the price of Slack?"),
    ("Convert 10 USD to EUR", "How much is 10 dollars in euros?"),
    ("Flights from London to Paris", "Flights to Paris from London"),
    ("How do I sort a list in Python?", "In Python, how do I sort a list?"),
    ("How do I sort a list in Python?", "How do I sort a Python list?"),
    ("How do I install numpy?", "What is the way to install the numpy package?"),
    ("I forgot my password, how can I reset it?", "How do I reset my password?"),
    ("Difference between TCP and UDP", "Difference between UDP and TCP"),
    ("Book a table for two people", "Book a table for 2 people"),
    ("Show orders of 1 March 2023", "Show orders of March 1st, 2023"),
    ("Show orders of 1 March 2023", "Show orders of 2023-03-01"),
    ("Steps to delete an account", "Steps for deleting an account"),
    ("What is 25% of 1,200?", "What is twenty-five percent of 1200?"),
    ("Summarize the contract", "Give me a summary of the contract"),
    ("Is it possible to export my data?", "Can I export my data?"),
    ("Where can I find my invoices?", "Where are my bills located?"),
    ("WHERE ARE MY INVOICES", "Where are my invoices?"),
    ("¿Dónde está la casa?", "dónde está la casa"),
]

# Another language is not read: whatever differs tells two questions apart.
ELSEWHERE = [
    ("Wie schalte ich das Licht an?", "Wie schalte ich das Licht aus?"),
    ("Wer hat Anna gesehen?", "Wen hat Anna gesehen?"),
    ("Trenes de Madrid a Barcelona", "Trenes de Barcelona a Madrid"),
    ("¿Cuántos años tienes?", "¿Cuántos anos tienes?"),
    ("東京から大阪", "大阪から東京"),
    ("Как включить свет?", "Как выключить свет?"),
    ("मुझे पानी दो", "मुझे पानी न दो"),
]

QUESTIONS = [one for pairs in (*APART.values(), ALIKE) for pair in pairs for one in pair]
WORDS = sorted({word for question in QUESTIONS for word in question.split()})
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
TEXTS = st.text(max_size=40) | SENTENCES


@pytest.mark.parametrize(
    ("name", "one", "two"), [(name, *pair) for name, pairs in APART.items() for pair in pairs]
)
def test_what_tells_apart(name: str, one: str, two: str) -> None:
    assert name in vetoes(one, two)
    assert vetoes(one, two) == vetoes(two, one)


@pytest.mark.parametrize(("one", "two"), ALIKE)
def test_what_means_the_same(one: str, two: str) -> None:
    assert vetoes(one, two) == ()
    assert vetoes(two, one) == ()


@pytest.mark.parametrize(("one", "two"), ELSEWHERE)
def test_other_languages(one: str, two: str) -> None:
    assert vetoes(one, two)


def test_a_long_text_is_alike_only_itself() -> None:
    long = "How do I cancel? " * 200
    assert vetoes(long, long) == ()
    assert vetoes(long, long + " Please.") == ("word",)


@given(TEXTS, TEXTS)
@example("@how", "how")
@example("?all", "")
def test_both_ways_the_same(one: str, two: str) -> None:
    found = vetoes(one, two)
    assert found == vetoes(two, one)
    assert list(found) == sorted(set(found))
    assert set(found) <= set(APART)


@given(TEXTS)
def test_nothing_tells_a_text_from_itself(text: str) -> None:
    assert vetoes(text, text) == ()
    assert vetoes(text, f"  {text}\n") == ()


@given(st.sampled_from(QUESTIONS), st.sampled_from(QUESTIONS))
def test_politeness_does_not_matter(one: str, two: str) -> None:
    assert vetoes(f"Hello, {one} Thanks!", two) == vetoes(one, two)
    assert vetoes(f"{one.rstrip('?')}, please?", two) == vetoes(one, two)


@given(SENTENCES, st.sampled_from(["quetzal", "7", "not", "Zanzibar", "kg", "without"]))
def test_one_word_more_tells_apart(text: str, word: str) -> None:
    assert vetoes(text, f"{text} {word}")
