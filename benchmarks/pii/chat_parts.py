"""What the two sets of chats are made of."""

# A template is a text, however long its lines are; names are spelled as their owners do.
# ruff: noqa: E501, RUF001

from __future__ import annotations

import random
import string
from dataclasses import dataclass


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _luhn(digits: str) -> str:
    total = sum(
        sum(divmod(int(char) * (2 - at % 2), 10)) for at, char in enumerate(reversed(digits))
    )
    return digits + str(-total % 10)


def _figures(form: str, draw: random.Random) -> str:
    """`form` with a digit for each `#` and one of 2 to 9 for each `%`."""
    return "".join(
        str(draw.randrange(10))
        if char == "#"
        else str(draw.randrange(2, 10))
        if char == "%"
        else char
        for char in form
    )


def _iban(country: str, form: str, draw: random.Random) -> str:
    body = "".join(
        draw.choice(string.ascii_uppercase) if char == "A" else str(draw.randrange(10))
        for char in form
    )
    turned = "".join(str(int(char, 36)) for char in body + country + "00")
    return f"{country}{98 - int(turned) % 97:02d}{body}"


@dataclass(frozen=True)
class Parts:
    """Templates and values of one set; `grouped` says whether long numbers have spaces."""

    firsts: tuple[str, ...]
    lasts: tuple[str, ...]
    middle: float
    domains: tuple[str, ...]
    mails: tuple[str, ...]
    phones: tuple[str, ...]
    cards: tuple[str, ...]
    ibans: tuple[tuple[str, str], ...]
    grouped: bool
    ips: tuple[str, ...]
    addresses: tuple[str, ...]
    cities: tuple[str, ...]
    templates: tuple[str, ...]
    negatives: tuple[str, ...]

    def person(self, draw: random.Random) -> str:
        middle = f" {draw.choice(string.ascii_uppercase)}." if draw.random() < self.middle else ""
        return f"{draw.choice(self.firsts)}{middle} {draw.choice(self.lasts)}"

    def email(self, draw: random.Random) -> str:
        plain = str.maketrans("áéíóúñçüöäøåčšžłćęğışé'", "aeiouncuoaoacszlcegise-")
        first = draw.choice(self.firsts).lower().translate(plain)
        last = draw.choice(self.lasts).lower().translate(plain)
        form = draw.choice(self.mails)
        name = form.format(f=first, l=last, i=first[0], n=draw.randrange(10, 99))
        return f"{name}@{draw.choice(self.domains)}"

    def phone(self, draw: random.Random) -> str:
        return _figures(draw.choice(self.phones), draw)

    def card(self, draw: random.Random) -> str:
        begin, length = draw.choice(self.cards).split(":")
        digits = _luhn(_figures(begin + "#" * (int(length) - len(begin) - 1), draw))
        mark = draw.choice((" ", "-")) if self.grouped else ""
        return mark.join(digits[at : at + 4] for at in range(0, len(digits), 4)) if mark else digits

    def ssn(self, draw: random.Random) -> str:
        mark = " " if self.grouped else "-"
        return mark.join(
            (f"{draw.randrange(101, 665)}", f"{draw.randrange(11, 99)}", _figures("%###", draw))
        )

    def iban(self, draw: random.Random) -> str:
        code = _iban(*draw.choice(self.ibans), draw)
        return (
            " ".join(code[at : at + 4] for at in range(0, len(code), 4)) if self.grouped else code
        )

    def ip(self, draw: random.Random) -> str:
        form = draw.choice(self.ips)
        while "*" in form:
            form = form.replace("*", str(draw.randrange(2, 250)), 1)
        while "x" in form:
            form = form.replace("x", f"{draw.randrange(4096, 65535):X}".lower(), 1)
        return form

    def address(self, draw: random.Random) -> str:
        return _figures(draw.choice(self.addresses), draw).replace("@city", self.city(draw))

    def city(self, draw: random.Random) -> str:
        return draw.choice(self.cities)


TUNE = Parts(
    firsts=_listed(
        """
        Anna Peter Laura Michael Sofia James Fatima Wei Priya Carlos Olga Henrik Amélie Kwame
        Yuki Mohammed Ingrid Tomasz Chiara Diego Emma Noah Grace Mark Will Rose April Jasmine
        Hiroshi Zeynep
        """
    ),
    lasts=_listed(
        """
        Becker Johnson Kowalski Rossi García Nguyen Okafor Tanaka Andersen Dubois Novák Patel
        Silva Ivanova Yılmaz O'Brien McCarthy Schneider Larsen Moreau Young Stone Brown Park
        Reyes Haddad Kim Costa
        """
    ),
    middle=0.15,
    domains=(
        "gmail.com",
        "corp.internal",
        "acme.io",
        "mail.example.org",
        "uni-bonn.de",
        "outlook.com",
    ),
    mails=("{f}.{l}", "{i}{l}", "{f}{n}", "{f}_{l}", "{l}+billing"),
    phones=(
        "%##-%##-####",
        "(%##) %##-####",
        "+1 %## %## ####",
        "+49 151 %#######",
        "+44 20 7### ####",
        "0171 %######",
        "555-0###",
    ),
    cards=("4:16", "5#:16", "34:15", "6011:16", "2221:16"),
    ibans=(("DE", "0" * 18), ("GB", "AAAA" + "0" * 14), ("FR", "0" * 23)),
    grouped=False,
    ips=("84.*.*.*", "203.0.113.*", "10.*.*.*", "2001:db8:x:x::*"),
    addresses=(
        "%## Oak Street, @city",
        "## Elm Avenue Apt. %#, @city",
        "Hauptstraße ##, 5#### Bonn",
        "%#### Maple Drive, Suite %##",
        "## rue de Rivoli, 7500# Paris",
        "P.O. Box %###, @city",
    ),
    cities=(
        "Boston",
        "Hamburg",
        "Lyon",
        "San Diego",
        "Kraków",
        "Osaka",
        "Leeds",
        "Porto",
        "Chicago",
        "New Delhi",
    ),
    templates=(
        "Hi, my name is {{person}} and my email is {{email}}. Please reset my password.",
        "Can you call {{person}} at {{phone}} before noon? She is the tenant at {{address}}.",
        '{"tool": "create_ticket", "arguments": {"customer_name": "{{person}}", "email": "{{email}}", "phone": "{{phone}}", "priority": 2}}',
        '{"name": "{{person}}", "role": "admin", "last_ip": "{{ip}}", "active": true}',
        "user: please charge {{card}} for the order\nassistant: Done. I charged the card ending "
        "in the last four digits.",
        "My SSN is {{ssn}}, and I live in {{city}}.",
        "Wire it to {{iban}}, account holder {{person}}.",
        "Login from {{ip}} by {{email}} failed three times.",
        'def notify():\n    send(to="{{email}}", subject="Report", cc=["{{email2}}"])\n    return True',
        "From: {{person}} <{{email}}>\nTo: {{person2}} <{{email2}}>\nSubject: Q3 numbers\n\nHi "
        "{{first2}},\n\nsee attached.\n\nBest,\n{{first}}",
        "Meeting notes: {{person}} will talk to {{person2}} about the budget. {{first}} sends "
        "the slides on Friday.",
        "please ask {{lower}} to sign the contract",
        "{{person}} moved to {{city}} last year; the new address is {{address}}.",
        "SELECT id FROM users WHERE email = '{{email}}' AND ip = '{{ip}}';",
        "2024-05-01 12:30:11 WARN auth: user={{email}} ip={{ip}} reason=bad_password",
        "Dear Ms. {{last}},\n\nyour appointment with Dr. {{last2}} is confirmed. Call {{phone}} "
        "if you can't come.",
        "Planner: the customer {{person}} wants a refund.\nCritic: check the card {{card}} first.",
        "name,email,phone\n{{person}},{{email}},{{phone}}\n{{person2}},{{email2}},{{phone2}}",
        "Reach me on {{phone}} or write to {{email}}.",
        "The employee {{person}} (SSN {{ssn}}) was born in {{city}}.",
        '{"first_name": "{{first}}", "last_name": "{{last}}", "address": {"street": "{{address}}", "city": "{{city}}"}}',
        "ship to:\n{{person}}\n{{address}}",
    ),
    negatives=(
        "Deploy version 2.14.0.3 to the staging cluster in us-east-1 with 3 replicas.",
        "import numpy as np\n\nclass DataLoader:\n    def __init__(self, path: str) -> None:\n   "
        "     self.path = path\n",
        "Order 4417-2290-11 was shipped; the tracking number is 1Z999AA10123456784.",
        "Kubernetes restarted the pod payments-7d9f8c6b5-x2x4z after 12 OOM kills.",
        "The build took 00:14:32, run id 8812937455, commit "
        "9fceb02d0ae598e95dc970b74767f19372d61af8.",
        "Use Redis for the cache and Kafka for the events; Postgres keeps the orders.",
        "Invoice INV-2024-00817 totals 1,249.50 EUR and is due in 30 days.",
        "npm install lodash@4.17.21 react@18.2.0\ngit clone git@github.com:acme/widgets.git",
        "The model scored 0.8731 on the test set, up from 0.8512; p < 0.001.",
        "TypeError: unsupported operand type(s) for +: 'int' and 'str' at line 42",
        "The Critic should check the Plan before the Judge scores it.",
        "SELECT COUNT(*) FROM events WHERE created_at > 1714550400 GROUP BY user_id;",
        "Listen on 0.0.0.0:8080 and proxy to 127.0.0.1:9000.",
        "uuid: 3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "Summer sale: 25% off all Garden Chairs until August.",
        "The Apache License and the Creative Commons terms differ on patents.",
    ),
)

UNSEEN = Parts(
    firsts=_listed(
        """
        Björn Siobhán Lakshmi Tunde Marisol Dmitri Aaliyah Cheng Beatriz Rasmus Noor Thabo
        Eszter Iker Valentina Oluwaseun Haruto Mireille Gustavo Leila Hope Faith Victor Summer
        Dale Ji-woo Ravi Élodie Kaspar Nkechi
        """
    ),
    lasts=_listed(
        """
        Lindqvist Gallagher Venkatesan Adeyemi Quintero Sokolova Washington Zhou Carvalho
        Thorsen Rahman Mokoena Szabó Etxeberria Marchetti Balogun Watanabe Fontaine Ferreira
        Hosseini Field Wood Price Hill Reed Baek Krishnan Lefèvre Ziegler Eze
        """
    ),
    middle=0.1,
    domains=(
        "proton.me",
        "hq.lan.local",
        "northwind.co.uk",
        "yahoo.fr",
        "students.kth.se",
        "big-bank.com",
    ),
    mails=("{l}.{f}", "{f}", "{f}-{l}", "{i}.{l}{n}", "{f}.{l}.ext"),
    phones=(
        "%##.%##.####",
        "+1-%##-%##-####",
        "+33 6 ## ## ## ##",
        "+91 98### #####",
        "06 ## ## ## ##",
        "(0##) #### ####",
        "1-800-%##-####",
        "+55 11 9####-####",
    ),
    cards=("4:16", "51:16", "37:15", "3528:16", "2720:16", "65:16"),
    ibans=(("ES", "0" * 20), ("NL", "AAAA" + "0" * 10), ("IT", "A" + "0" * 22), ("AT", "0" * 16)),
    grouped=True,
    ips=("198.51.100.*", "172.16.*.*", "91.*.*.*", "fe80::x:x:x:x"),
    addresses=(
        "%### Lakeshore Blvd, Unit ##, @city",
        "Calle de Alcalá ##, 280## Madrid",
        "## High Street, @city",
        "Kungsgatan ##, 111 ## Stockholm",
        "%##B Baker Road, @city",
        "Via Garibaldi ##, 20### Milano",
        "Prinsengracht %##, @city",
    ),
    cities=(
        "Rotterdam",
        "Seattle",
        "Nairobi",
        "Montpellier",
        "Guadalajara",
        "Uppsala",
        "Kyoto",
        "Bristol",
        "São Paulo",
        "Tallinn",
    ),
    templates=(
        "Customer {{person}} wrote in again. Reply to {{email}} and keep it short.",
        '{"recipient": {"fullName": "{{person}}", "contact": {"mobile": "{{phone}}", "mail": "{{email}}"}}, "amount": 120.5}',
        "I spoke with {{person}} yesterday; their number is {{phone}}.",
        'tool_result: {"hits": [{"owner": "{{person}}", "city": "{{city}}", "ip": "{{ip}}"}]}',
        "Could you book a table for {{person}} and {{person2}} in {{city}}? Confirmation to "
        "{{email}}.",
        "This is {{person}}. I lost my card {{card}} in {{city}}. What now?",
        "hey, it's {{lower}} here, can u send the file to {{email}}?",
        "Refund goes to IBAN {{iban}} (beneficiary: {{person}}).",
        '```python\nclient.invite(email="{{email}}", name="{{person}}")\n```',
        "[auth] denied {{ip}} for {{email}} (attempt 3)",
        "| Name | Mobile |\n|---|---|\n| {{person}} | {{phone}} |\n| {{person2}} | {{phone2}} |",
        "social security number: {{ssn}}; date of hire: unknown; manager: {{person}}",
        "Runner report: emailed {{first}} ({{email}}) and texted {{phone}}.",
        "Please update the record of {{person}}: new address {{address}}.",
        "To whom it may concern: {{person}} has lived at {{address}} since 2019. Signed, "
        "{{person2}}",
        'curl -X POST https://api.acme.io/users -d \'{"username": "ops", "email": "{{email}}", "phone": "{{phone}}"}\'',
        "Thanks {{first}}! I will forward this to Prof. {{last2}} and to {{person3}}.",
        "- assignee: {{person}}\n- reporter: {{person2}}\n- host: {{ip}}",
        "Traceback: KeyError: '{{email}}' while syncing contact '{{person}}'",
        "The patient, {{person}}, can be reached at {{phone}} or {{phone2}}.",
        "payment_method:\n  number: {{card}}\n  holder: {{person}}\n  country: NL",
        "Judge: the plan leaks the phone number {{phone}} of {{person}}, so I refuse.",
    ),
    negatives=(
        "Scale the frontend to 12 pods; build 2024.11.3.1 is green in eu-west-2.",
        'fn main() {\n    let total: u64 = items.iter().map(|i| i.price).sum();\n    println!("{total}");\n}',
        "PO number 7780-1123-99, SKU 0042-RED-XL, weight 12.75 kg.",
        "Terraform wants to destroy 3 resources: aws_s3_bucket.logs, aws_iam_role.ci, "
        "aws_lambda_function.resize.",
        "Job 5520019384 finished with status OK in 00:03:27 on node worker-17.",
        "Elasticsearch is slow; Grafana shows a spike while Prometheus scrapes.",
        "Quarterly revenue rose 12.4% to 3,410,220 USD, against 3,033,998 a year ago.",
        "pip install requests==2.32.3 pydantic~=2.8; docker pull nginx@sha256:9c58b43d0a2f",
        "Accuracy 91.25, recall 88.07, F1 89.63 after 20 epochs with seed 1234567890.",
        "panic: runtime error: index out of range [5] with length 3",
        "The Gate opens once the Judge has scored the Plan at 8 or above.",
        "UPDATE carts SET total = 199.99 WHERE session = 'b7e1c2' AND updated < 1731000000;",
        "Bind the metrics port to 127.0.0.1 and set the timeout to 30s.",
        "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7",
        "New in Winter: Wool Blankets, Oak Tables and Glass Lamps.",
        "Chapter 12 covers Bayesian inference, Markov chains and Gaussian processes.",
    ),
)
