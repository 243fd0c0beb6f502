"""Texts with secrets whose places are known, and texts that look so and have none; made by seed."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Labelled", "benign", "kinds", "labelled", "private_key"]

LOWER = string.ascii_lowercase + string.digits
MIXED = string.ascii_letters + string.digits
URL = MIXED + "-_"
HEX = "0123456789abcdef"
BASE64 = MIXED + "+/"


@dataclass(frozen=True)
class Labelled:
    """A text, and the secrets that stand in it."""

    text: str
    secrets: tuple[str, ...] = ()


def _of(rng: random.Random, alphabet: str, size: int) -> str:
    """Random characters, digits among them."""
    made = [*rng.choices(alphabet, k=size - 2), *rng.choices("23456789", k=2)]
    rng.shuffle(made)
    return "".join(made)


def _words(rng: random.Random, raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _jwt(rng: random.Random) -> str:
    header = _words(rng, b'{"alg":"HS256","typ":"JWT"}')
    body = _words(rng, json.dumps({"sub": _of(rng, LOWER, 12), "iat": 1516239022}).encode())
    return f"{header}.{body}.{_of(rng, URL, 43)}"


def private_key(rng: random.Random, kind: str = "RSA ", lines: int = 8) -> str:
    body = "\n".join(_of(rng, BASE64, 64) for _ in range(lines))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


def kinds(rng: random.Random) -> dict[str, str]:
    """One secret of each kind that is known by its form."""
    return {
        "openai": "sk-proj-" + _of(rng, URL, 74) + "T3BlbkFJ" + _of(rng, URL, 74),
        "openai old": "sk-" + _of(rng, MIXED, 20) + "T3BlbkFJ" + _of(rng, MIXED, 20),
        "anthropic": "sk-ant-api03-" + _of(rng, URL, 93) + "AA",
        "openrouter": "sk-or-v1-" + _of(rng, HEX, 64),
        "deepseek": "sk-" + _of(rng, HEX, 32),
        "groq": "gsk_" + _of(rng, MIXED, 52),
        "xai": "xai-" + _of(rng, MIXED, 80),
        "hugging face": "hf_" + _of(rng, MIXED, 34),
        "replicate": "r8_" + _of(rng, MIXED, 37),
        "github": "ghp_" + _of(rng, MIXED, 36),
        "github fine": "github_pat_" + _of(rng, MIXED, 22) + "_" + _of(rng, MIXED, 59),
        "gitlab": "glpat-" + _of(rng, URL, 20),
        "npm": "npm_" + _of(rng, MIXED, 36),
        "pypi": "pypi-AgEIcHlwaS5vcmc" + _of(rng, URL, 120),
        "aws id": "AKIA" + _of(rng, string.ascii_uppercase + "234567", 16),
        "google": "AIza" + _of(rng, URL, 34) + "x",
        "google client": "GOCSPX-" + _of(rng, URL, 28),
        "azure client": _of(rng, MIXED, 3) + "8Q~" + _of(rng, MIXED, 34),
        "slack": f"xoxb-{_of(rng, string.digits, 12)}-{_of(rng, string.digits, 12)}-"
        + _of(rng, MIXED, 24),
        "stripe": "sk_live_" + _of(rng, MIXED, 24),
        "sendgrid": f"SG.{_of(rng, URL, 22)}.{_of(rng, URL, 43)}",
        "twilio": "SK" + _of(rng, HEX, 32),
        "telegram": f"{rng.randrange(10**9, 10**10)}:AA" + _of(rng, URL, 33),
        "shopify": "shpat_" + _of(rng, HEX, 32),
        "digitalocean": "dop_v1_" + _of(rng, HEX, 64),
        "databricks": "dapi" + _of(rng, HEX, 32),
        "vault": "hvs." + _of(rng, URL, 90),
        "jwt": _jwt(rng),
        "private key": private_key(rng, rng.choice(["RSA ", "EC ", "", "OPENSSH "])),
    }


_AROUND = (
    "{}",
    "Use {} for the deployment.",
    "export KEY={}\nmake deploy",
    'client = Client("{}")  # do not commit',
    '{{"config": {{"value": "{}"}}}}',
    "curl -H 'X-Auth: {}' https://api.example.com/v1/items",
    "It says: {}, which is wrong.",
    "| prod | `{}` |",
    "Here it is (\u201c{}\u201d).",
    "https://hooks.example.com/in?k={}&v=2",
)


def _named(rng: random.Random) -> Iterator[Labelled]:
    """Secrets that only the name before them tells."""
    long, short = (
        _of(rng, MIXED, 32),
        rng.choice(["hunter2!", "Tr0ub4dor&3", "p@ssw0rd99", "wX9#kk21"]),
    )
    hexed, b64 = _of(rng, HEX, 40), _of(rng, BASE64, 43) + "="
    for text, secret in (
        (f"PORTKEY_API_KEY={long}", long),
        (f"api_key: {hexed}", hexed),
        (f'"apiKey": "{long}",', long),
        (f"x-portkey-api-key: {b64}", b64),
        (f"aws_secret_access_key = {_of(rng, BASE64, 40)}", ""),
        (f"AZURE_OPENAI_API_KEY='{hexed[:32]}'", hexed[:32]),
        (f"client_secret={long}&grant_type=code", long),
        (f"//registry.npmjs.org/:_authToken={long}", long),
        (f"DB_PASSWORD={short}", short),
        (f"password: {short}\nuser: root", short),
        (f'{{"user": "bob", "password": "{short}"}}', short),
        (f"my password is {short} by the way", short),
        (f"mysql --user=bob --password={short} shop", short),
        (f"Authorization: Bearer {long}", long),
        (f"<password>{short}</password>", short),
        (f"postgresql://bob:{short[:-1]}x@db.internal:5432/shop", short[:-1] + "x"),
        (f"redis://:{long}@cache.internal:6379/0", long),
        (f"mongodb+srv://app:{long}@c0.mongodb.net/?w=majority", long),
        (f"AccountName=shop;AccountKey={_of(rng, BASE64, 86)}==;EndpointSuffix=x", ""),
        (f"Server=db;User Id=sa;Password={short};", short),
        (f"SECRET_KEY = '{long}'", long),
        (f'signing_key: "{b64}"', b64),
    ):
        found = secret or text.split("=", 1 if "Account" not in text else 2)[-1].strip()
        yield Labelled(text, (found.split(";")[0],))


def labelled(seed: int, rounds: int = 8) -> list[Labelled]:
    """Texts with one secret each."""
    rng = random.Random(seed)
    made = []
    for _ in range(rounds):
        for secret in kinds(rng).values():
            made.append(Labelled(rng.choice(_AROUND).format(secret), (secret,)))
        made += _named(rng)
    return made


def _uuid(rng: random.Random) -> str:
    return "-".join(_of(rng, HEX, size) for size in (8, 4, 4, 4, 12))


_HARD: tuple[Callable[[random.Random], str], ...] = (
    lambda r: f"id: {_uuid(r)}",
    lambda r: f"The request {_uuid(r)} failed after 3 tries.",
    lambda r: f"commit {_of(r, HEX, 40)}\nAuthor: Bob",
    lambda r: f"sha256:{_of(r, HEX, 64)}",
    lambda r: f"md5sum = {_of(r, HEX, 32)}",
    lambda r: f'"integrity": "sha512-{_of(r, BASE64, 86)}==",',
    lambda r: f'{{"name": "x", "hash": "sha256:{_of(r, HEX, 64)}"}}',
    lambda r: f"password_hash: $2b$12${_of(r, MIXED, 53)}",
    lambda r: f"![logo](data:image/png;base64,{_of(r, BASE64, 2000)}==)",
    lambda r: _of(r, BASE64, 5000),
    lambda r: f"etag: W/\"{_of(r, HEX, 32)}\"",
    lambda r: f"public_key: {_of(r, BASE64, 44)}",
    lambda r: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA" + _of(r, BASE64, 43) + " bob@host",
    lambda r: "-----BEGIN PUBLIC KEY-----\n" + _of(r, BASE64, 64) + "\n-----END PUBLIC KEY-----",
    lambda r: "-----BEGIN CERTIFICATE-----\n" + _of(r, BASE64, 64) + "\n-----END CERTIFICATE-----",
    lambda r: f"next_page_token: {_of(r, URL, 40)}",
    lambda r: f"max_tokens={r.randrange(100, 9000)}, temperature=0.2",
    lambda r: f"prompt_tokens: {r.randrange(10**6, 10**8)}",
    lambda r: f"key_id: {_of(r, URL, 24)}",
    lambda r: f"public_token: {_of(r, URL, 32)}",
    lambda r: f"primary key: customer_{r.randrange(10**5)}_{r.randrange(10**5)}",
    lambda r: f"cache key = user:{r.randrange(10**6)}:profile:v2",
    lambda r: f"pk_live_{_of(r, MIXED, 24)}",
    lambda r: f"AC{_of(r, HEX, 32)}",
    lambda r: f"https://cdn.example.com/a/{_of(r, HEX, 40)}/main.{_of(r, HEX, 8)}.js",
    lambda r: f"s3://bucket/{_of(r, URL, 30)}/part-0001.parquet",
    lambda r: f"https://example.com:8443/path?ref={_of(r, HEX, 20)}@v2",
    lambda r: f"order {r.randrange(10**9)} of {r.randrange(10**9)}, tracking 1Z{_of(r, LOWER, 16)}",
    lambda r: "OPENAI_API_KEY=sk-...",
    lambda r: "api_key=<API_KEY>",
    lambda r: 'api_key="YOUR_API_KEY_HERE_1234"',
    lambda r: "export GITHUB_TOKEN=ghp_" + "x" * 36,
    lambda r: "sk-your-openai-api-key-goes-here-0123",
    lambda r: "token = os.environ['GITHUB_TOKEN_V2']",
    lambda r: "api_key = settings.portkey_api_key_v2",
    lambda r: "password=${DB_PASSWORD_2}",
    lambda r: "password: {{ vault_db_password_2 }}",
    lambda r: "password: Optional[str] = None",
    lambda r: 'password = getpass.getpass("Password 2: ")',
    lambda r: "The password is required and has at least 8 characters.",
    lambda r: "Your password is incorrect. Reset the password to continue.",
    lambda r: "secret: my-app-secret-name-production",
    lambda r: "postgres://user:password@localhost:5432/db",
    lambda r: "postgres://$USER:$PASS@localhost/db",
    lambda r: "https://user:<token>@github.com/org/repo.git",
    lambda r: "class=\"sk-circle-fade-dot sk-folding-cube-animation\"",
    lambda r: "The task-force disk-based risk-averse desk-organiser-in-oak",
    lambda r: "git clone ssh://git@github.com:22/org/repo.git",
    lambda r: "Authorization: Bearer <token>",
    lambda r: "Authorization: Bearer $TOKEN",
    lambda r: "The secret of good bread is time, and the key to success is patience.",
    lambda r: f"session started at 2026-11-{r.randrange(10, 28)}T10:{r.randrange(10, 59)}:00Z",
    lambda r: "tokenizer: cl100k_base, eos_token: <|endoftext|>, pad_token_id: 50256",
    lambda r: "author: bob, authority: high, authorized: true, monkey: 12345678901234567890ab",
    lambda r: f"xoxo-love-from-{r.choice(['paris', 'rome'])}-and-home",
    lambda r: "[secret: github token] and api_key=[secret: key]",
    lambda r: "password_reset_url: https://example.com/reset/1234567890",
    lambda r: "AKIA is how key ids of AWS begin, AIza those of Google, eyJ a token.",
)  # fmt: skip


def benign(seed: int, rounds: int = 8) -> list[Labelled]:
    """Texts that look as if there were a secret, and have none."""
    rng = random.Random(seed)
    return [Labelled(make(rng)) for _ in range(rounds) for make in _HARD]
