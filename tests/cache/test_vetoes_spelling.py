"""Signs, capitals and digits that the model does not see: which tell apart, and which do not."""

# ruff: noqa: RUF001

from __future__ import annotations

import pytest

from agno_portkey.cache.semantic.vetoes import vetoes

APART = {
    "brackets": [
        ("What is (2+3)*4?", "What is 2+3*4?"),
        ("What does (a b) do in bash?", "What does a b do in bash?"),
        ("Is foo() called?", "Is foo called?"),
        ("What is 2^3^2?", "What is 2^(3^2)?"),
    ],
    "factorials": [
        ("What is 5!?", "What is 5?"),
        ("What is n! for n=3?", "What is n for n=3?"),
        ("What is (2+3)!?", "What is (2+3)?"),
        ("What does color: red !important do?", "What does color: red important do?"),
    ],
    "slashes": [
        ("What is 10 / 2?", "What is 10 2?"),
        ("Is a/b equal to 1?", "Is a b equal to 1?"),
        ("What does /etc do?", "What does etc do?"),
        ("What is ./run?", "What is /run?"),
        ("Delete ./build", "Delete build"),
    ],
    "primes": [
        ("What is the derivative of f'(x)?", "What is the derivative of f(x)?"),
        ("What is the value of x' when x=3?", "What is the value of x when x=3?"),
        ("Is 6' tall?", "Is 6 tall?"),
    ],
    "quotes in code": [
        ("What does print('1'+'1') output?", "What does print(1+1) output?"),
        ('What does echo "$HOME" print?', "What does echo '$HOME' print?"),
        ('What does x = "5" do?', "What does x = 5 do?"),
        ("What does print('a') + b do?", "What does print('a + b') do?"),
        ('What does f("foo bar") do?', "What does f(foo bar) do?"),
    ],
    "colons": [
        ("What does 'hello'[1:] return?", "What does 'hello'[:1] return?"),
        ("What does x[::2] return?", "What does x[:2] return?"),
        ("Is std::vector fast?", "Is std vector fast?"),
        ("What does a; b do in bash?", "What does a b do in bash?"),
    ],
    "commas in code": [("What does print(a, b) do?", "What does print(a b) do?")],
    "signs that stand alone": [
        ("What does : do in bash?", "What does do in bash?"),
        ("What does a ?? b do?", "What does a ? b do?"),
        ("What does cd /tmp; ls do?", "What does cd /tmp ls do?"),
        ('What does "" mean?', "What does '' mean?"),
    ],
    "points": [
        ("What does cd .. do?", "What does cd . do?"),
        ("What does cd .. do?", "What does cd do?"),
        ("What does git diff A..B show?", "What does git diff A...B show?"),
    ],
    "minus": [
        ("Is the temperature –5 today?", "Is the temperature 5 today?"),
        ("What is 10 – 3?", "What is 10 3?"),
        ("What is 10—3?", "What is 10 3?"),
        ("What is x - y?", "What is x y?"),
    ],
    "operators at one side": [
        ("What does ^a match?", "What does a^ match?"),
    ],
    "powers": [
        ("What is 10⁵?", "What is 105?"),
        ("What is x² for x=3?", "What is x2 for x=3?"),
        ("What is log₂8?", "What is log28?"),
    ],
    "options": [
        ("What does curl -o do?", "What does curl -O do?"),
        ("what does curl -o do", "what does curl -O do"),
        ("What does grep -v do?", "What does grep v do?"),
        ("What does ls -la do?", "What does ls -lA do?"),
    ],
    "letters": [
        ("Is x = X?", "Is x = x?"),
        ("Is x=X?", "Is x=x?"),
        ("Is vitamin B good?", "Is vitamin b good?"),
        ("What is ^ in C?", "What is ^ in c?"),
        ("Is Co toxic?", "Is CO toxic?"),
        ("Track AB12cd", "Track ab12CD"),
        ("Is a.b set?", "Is a.B set?"),
        ("Is $path set?", "Is $PATH set?"),
        ("What does \\d match?", "What does \\D match?"),
        ("What does cp a b do?", "What does cp b a do?"),
        ("Können Sie kommen?", "Können sie kommen?"),
        ("How hot is mercury?", "How hot is Mercury?"),
        ("Is Bill paid?", "Is bill paid?"),
    ],
    "units": [
        ("How many joules is 5 mW for an hour?", "How many joules is 5 MW for an hour?"),
        ("Is 10 Mb/s fast?", "Is 10 MB/s fast?"),
        ("Is 10Mb fast?", "Is 10MB fast?"),
        ("Convert 5 mW to MW", "Convert 5 MW to mW"),
        ("How much is 5 Cal?", "How much is 5 cal?"),
        ("What is 1 MWh?", "What is 1 mWh?"),
        ("How long are 5M rows?", "How long are 5m rows?"),
    ],
    "long numbers": [
        ("Is 12345678901234567890 million much?", "Is 12345678901234567891 million much?"),
        ("Convert 9007199254740993k to units", "Convert 9007199254740992k to units"),
    ],
    "said softly": [
        ("Is the so-called doctor licensed?", "Is the called doctor licensed?"),
        ("Was the current president elected in 2020?", "Was the president elected in 2020?"),
        ("Is the medicine very toxic?", "Is the medicine toxic?"),
        ("Is it exactly 5?", "Is it 5?"),
    ],
}

ALIKE = [
    # Punctuation.
    ("Hi!", "Hi"),
    ("How do I pay!", "How do I pay?"),
    ("How do I pay", "How do I pay??"),
    ("Really?! Is it safe?", "Really? Is it safe?"),
    ("Wait... how do I pay?", "Wait… how do I pay?"),
    ("Is it ... safe?", "Is it safe?"),
    ("Question: how do I pay?", "Question how do I pay?"),
    ("Slack — how do I log in?", "Slack: how do I log in?"),
    ("How do I pay? :)", "How do I pay?"),
    ("Combien ça coûte ?", "Combien ça coûte?"),
    ("Open https://x.com/a.", "Open https://x.com/a"),
    # Quotes.
    ("What does 'idempotent' mean?", "What does idempotent mean?"),
    ("What does “idempotent” mean?", "What does 'idempotent' mean?"),
    ("What does `ls` do in bash?", "What does ls do in bash?"),
    ('What does "I love you" mean?', "What does I love you mean?"),
    ("my friends' house", "my friends’ house"),
    # Capitals.
    ("how do i use pointers in c", "How do I use pointers in C?"),
    ("HOW DO I PAY IN C", "how do i pay in c"),
    ("how do i sort a list in c++", "How do I sort a list in C++?"),
    ("how do i reset my pc", "How do I reset my PC?"),
    ("What is tcp/ip?", "What is TCP/IP?"),
    ("What is r&d?", "What is R&D?"),
    ("How does an x-ray work?", "How does an X-ray work?"),
    ("Delete the file", "delete the file."),
    ("Call me at 7 PM", "Call me at 7 pm"),
    ("Is 5 KG heavy?", "Is 5 kg heavy?"),
    ("Is 100 GB much?", "Is 100 gb much?"),
    ("Do you know if it's a cat?", "Is it a cat?"),
    ("Is R.E.M. a band?", "Is REM a band?"),
    ("N stands for what in DNA?", "n stands for what in DNA?"),
    ("write a c program", "Write a C program"),
    ("Is it CO?", "is it co"),
    # Signs written otherwise.
    ("What is 2+3?", "What is 2 + 3?"),
    ("How do I set x = 5?", "How do I set x=5?"),
    ("What is f( x )?", "What is f(x)?"),
    ("What is 10 – 3?", "What is 10 - 3?"),
    ("Pages 10–20", "Pages 10-20"),
    ("What is −5 plus 3?", "What is -5 plus 3?"),
    ("What is 10⁵?", "What is 10^5?"),
    ("Is H₂O water?", "Is H2O water?"),
    ("How big is 5 m²?", "How big is 5 m2?"),
    ("In Python, how do I use print()?", "How do I use print() in Python?"),
    # Units and numbers.
    ("Is 5 mW much?", "Is 5 milliwatts much?"),
    ("Is 10 Mb enough?", "Is 10 megabits enough?"),
    ("Is 10 MB enough?", "Is 10 megabytes enough?"),
    ("Is ML hard?", "Is ml hard?"),
    ("How many MB is 5 GB?", "Convert 5 GB to MB"),
    ("5M users", "5 million users"),
    ("1.5 million users", "1500000 users"),
    ("Jobs paying 50K", "Jobs paying 50,000"),
    ("So how do I pay?", "How do I pay?"),
]


@pytest.mark.parametrize(("one", "two"), [pair for pairs in APART.values() for pair in pairs])
def test_a_spelling_that_tells_apart(one: str, two: str) -> None:
    assert vetoes(one, two)
    assert vetoes(one, two) == vetoes(two, one)


@pytest.mark.parametrize(("one", "two"), ALIKE)
def test_a_spelling_that_says_the_same(one: str, two: str) -> None:
    assert vetoes(one, two) == ()
    assert vetoes(two, one) == ()
