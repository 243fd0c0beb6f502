"""Keys are told of and rotated on the command line; no value of a key is shown."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from agno_portkey.cli import app
from agno_portkey.cli.security_checks import security_rows
from agno_portkey.routing.keys.names import Quarter
from agno_portkey.secrets import EncryptedFile, FileSecrets
from agno_portkey.secrets.encrypted import KEY_VARIABLE
from agno_portkey.security.rotation.journal import RotationJournal
from agno_portkey.settings import Settings
from agno_portkey.testing import EmbeddedProvider, Fault

NAME, OTHER = "openai-prod-search", "groq-prod-mail"
NOW = str(Quarter.of(date.today()))


@dataclass
class Place:
    """A folder with a `keys.yaml` of two keys, and the stand-in that it names."""

    folder: Path
    provider: EmbeddedProvider
    plain: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        source = {"kind": "files", "folder": "secrets"}
        self.plain = {
            "portkey": {"base_url": self.provider.url, "timeout": 0.3},
            "keys": [
                {"name": name, "maker": {"kind": "api_key"}, "source": {**source}, "drain": 0}
                for name in (NAME, OTHER)
            ],
        }
        self.source = FileSecrets(self.folder / "secrets")
        self.write()

    def write(self) -> None:
        (self.folder / "keys.yaml").write_text(yaml.safe_dump(self.plain))

    def run(self, *arguments: str, width: int = 300) -> Result:
        file = str(self.folder / "keys.yaml")
        env = {"COLUMNS": str(width), "AGNO_PORTKEY_KEYS_FILE": file}
        return CliRunner().invoke(app, ["keys", *arguments], env=env)

    def in_use(self, name: str = NAME) -> None:
        row = self.provider.admin.make("api-keys", f"{name}-2020q1")
        self.source.write(name, row["key"])
        [key] = [key for key in self.plain["keys"] if key["name"] == name]
        key["current"] = row["id"]
        self.write()

    @property
    def live(self) -> list[str]:
        return self.provider.admin.live()


@pytest.fixture
def place(
    portkey_provider: EmbeddedProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    monkeypatch.setenv("PORTKEY_ADMIN_API_KEY", "pk-manager-key")
    place = Place(tmp_path, portkey_provider)
    said: list[str] = []
    run = place.run

    def recorded(*arguments: str, width: int = 300) -> Result:
        result = run(*arguments, width=width)
        said.append(result.output)
        return result

    place.run = recorded  # type: ignore[method-assign]
    yield place
    values = [place.source.read(name) for name in place.source.names()]
    values = ["pk-manager-key", *(each for each in values if each.startswith(("pk-", "sk-")))]
    assert [each for each in values if any(str(each)[:12] in text for text in said)] == []


def test_a_key_is_rotated_step_by_step(place: Place) -> None:
    place.in_use()
    result = place.run("rotate", NAME)
    assert result.exit_code == 0, result.output
    [name] = place.live
    assert re.fullmatch(rf"{NAME}-r[0-9a-f]{{6}}-{NOW}", name)
    stages = [line.split(": ")[1] for line in result.stdout.splitlines()]
    assert stages == ["create", "shift", "revoke", f"{name} is in use"]
    [row] = place.provider.admin.rows["api-keys"].values()
    assert place.source.read(NAME) == row["key"]


def test_what_is_due_is_told_by_the_exit_code(place: Place) -> None:
    result = place.run("due")
    assert result.exit_code == 1
    assert f"{NAME}" in result.output
    assert "nobody knows how old it is" in result.output
    assert place.run("rotate", "--due").exit_code == 0
    assert len(place.live) == 2
    result = place.run("due")
    assert (result.exit_code, result.output) == (0, "No key is due.\n")
    result = place.run("rotate", "--due")
    assert (result.exit_code, result.output) == (0, "No key is due.\n")
    assert len(place.live) == 2


def test_what_is_due_can_not_be_told_without_the_file(place: Place) -> None:
    place.plain["keys"][0]["source"] = {"kind": "encrypted", "path": "keys.sealed"}
    place.write()
    result = place.run("due")
    assert result.exit_code == 2
    assert result.output.startswith(f"{NAME}: ")


def test_status_and_due_need_no_key_of_portkey(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PORTKEY_ADMIN_API_KEY")
    assert place.run("status").exit_code == 0
    assert place.run("due").exit_code == 1
    result = place.run("rotate", NAME)
    assert result.exit_code == 1
    assert "PORTKEY_ADMIN_API_KEY: set it" in result.output


def test_json_is_for_programs(place: Place) -> None:
    place.in_use()
    [status, other] = json.loads(place.run("status", "--json").stdout)
    assert (status["key"], status["stage"], status["current"]) == (NAME, "idle", None)
    assert other["due"][0]["reason"] == "quarter"
    assert json.loads(place.run("rotate", NAME, "--dry-run", "--json").stdout) == [
        {
            "key": NAME,
            "would": "make a new key, put it in place, and delete what its source names",
        }
    ]
    [done] = json.loads(place.run("rotate", NAME, "--json").stdout)
    assert done["current"]["name"] == place.live[0]
    assert (done["pending"], done["resumed"]) == ([], False)
    assert json.loads(place.run("due", NAME, "--json").stdout) == []


def test_a_dry_run_does_nothing(place: Place) -> None:
    place.in_use()
    assert place.run("rotate", NAME, "--dry-run").exit_code == 0
    assert "would make a new key" in place.run("rotate", "--due", "--dry-run").output
    assert "There is nothing to do" in place.run("revoke", "--dry-run").output
    assert place.live == [f"{NAME}-2020q1"]
    assert [r.route for r in place.provider.requests] == []


def test_an_old_key_that_can_t_be_deleted_is_told_and_tried_again(place: Place) -> None:
    place.in_use()
    place.provider.fault(Fault.status(403), route="DELETE /api-keys", times=None)
    result = place.run("rotate", NAME)
    assert result.exit_code == 4
    assert "could not be deleted (Portkey answered 403" in result.output
    assert "could not be: Portkey answered 403" in place.run("status").output
    assert place.run("revoke", NAME).exit_code == 4
    place.provider.clear_faults()
    assert place.run("revoke").exit_code == 0
    assert len(place.live) == 1
    result = place.run("revoke")
    assert (result.exit_code, result.output) == (0, "There is nothing to delete.\n")


def test_without_waiting_the_old_key_is_revoked_later_or_now(place: Place) -> None:
    place.plain["keys"][0]["drain"] = 600
    place.in_use()
    result = place.run("rotate", NAME, "--no-wait")
    assert result.exit_code == 0
    assert "is to be deleted from" in result.output
    assert place.run("revoke", NAME).exit_code == 0
    assert len(place.live) == 2
    assert "would delete id-1" in place.run("revoke", "--dry-run").output
    assert place.run("revoke", NAME, "--now").exit_code == 0
    assert len(place.live) == 1


def test_one_that_fails_does_not_keep_the_others(place: Place) -> None:
    place.provider.fault(Fault.status(403), route="POST /api-keys")
    result = place.run("rotate", NAME, OTHER)
    assert result.exit_code == 1
    assert f"{NAME}: Portkey answered 403" in result.output
    assert [name.rpartition("-r")[0] for name in place.live] == [OTHER]


def test_another_that_is_at_it_is_told(place: Place) -> None:
    with RotationJournal(place.folder / "key-journals", NAME).alone():
        result = place.run("rotate", NAME)
    assert result.exit_code == 3
    assert "another process, or thread, is at this key" in result.output


def test_what_was_changed_by_hand_is_taken_by_its_id(place: Place) -> None:
    assert place.run("rotate", NAME).exit_code == 0
    place.in_use()
    result = place.run("rotate", NAME)
    assert result.exit_code == 1
    assert "keys rotate --current ID" in result.output
    current = place.plain["keys"][0]["current"]
    assert place.run("rotate", NAME, "--current", current).exit_code == 0
    assert len(place.live) == 1


def test_functions_of_one_s_own_make_the_keys_of_a_provider(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.folder / "my_keys.py").write_text(
        "def new_key(name):\n    return 'sk-' + name[-13:]\n\ndef drop_key(name):\n    pass\n"
    )
    place.plain["keys"][0]["maker"] = {
        "kind": "virtual_key",
        "provider": "openai",
        "new_key": str(place.folder / "my_keys.py:new_key"),
        "drop_key": str(place.folder / "my_keys.py:drop_key"),
    }
    place.plain["keys"][1]["maker"] = {
        "kind": "integration",
        "ai_provider_id": "groq",
        "new_key": str(place.folder / "my_keys.py"),
        "workspaces": ["ws-1"],
    }
    place.write()
    result = place.run("rotate", "--due")
    assert result.exit_code == 0, result.output
    rows = place.provider.admin.rows
    assert [len(rows[kind]) for kind in ("virtual-keys", "integrations", "api-keys")] == [1, 1, 0]
    assert [place.source.read(OTHER)] == [f"@{slug}" for slug in rows["integrations"]]


@pytest.mark.parametrize("own", [True, False], ids=["own address", "that of portkey"])
def test_a_probe_is_a_call(place: Place, own: bool) -> None:
    place.provider.admin.enforced = True
    address = {"base_url": place.provider.url} if own else {}
    place.plain["keys"][0]["probe"] = {"model": "gpt-4o-mini", **address}
    place.write()
    assert place.run("rotate", NAME).exit_code == 0
    assert len(place.provider.calls) == 1


def test_a_key_can_be_kept_in_an_encrypted_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, base64.urlsafe_b64encode(bytes(32)).decode())
    place.plain["keys"][0]["source"] = {"kind": "encrypted", "path": "keys.sealed"}
    place.write()
    assert place.run("rotate", NAME).exit_code == 0
    [row] = place.provider.admin.rows["api-keys"].values()
    assert EncryptedFile(place.folder / "keys.sealed").read(NAME) == row["key"]
    assert row["key"].encode() not in (place.folder / "keys.sealed").read_bytes()


def test_a_rotation_that_is_interrupted_is_gone_on_with(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    place.in_use()
    with monkeypatch.context() as patched:
        patched.setattr(FileSecrets, "write", interrupt)
        patched.setattr("agno_portkey.security.rotation.steps.Run._shift", interrupt)
        result = place.run("rotate", NAME)
    assert result.exit_code == 130
    assert "the same command goes on with it" in result.output
    assert "rotation at probe: under way, or interrupted" in place.run("status").output
    assert "go on with a rotation" in place.run("rotate", NAME, "--dry-run").output
    assert place.run("rotate", NAME).exit_code == 0
    assert len(place.live) == 1


def test_the_doctor_tells_of_an_old_key_that_is_alive(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.in_use()
    monkeypatch.setenv("AGNO_PORTKEY_KEYS_FILE", str(place.folder / "keys.yaml"))

    def told() -> list[tuple[str, str]]:
        rows = security_rows(Settings.read())
        return [(row.level, row.detail) for row in rows if NAME in row.detail]

    assert place.run("rotate", NAME, "--no-wait").exit_code == 0
    alive = f"{NAME}: an old key is alive yet: agno-portkey keys revoke {NAME}"
    assert told() == [("warning", alive)]
    assert place.run("revoke", NAME, "--now").exit_code == 0
    assert told() == []


@pytest.mark.parametrize("width", [40, 60, 120])
def test_tables_can_be_read_at_any_width(place: Place, width: int) -> None:
    place.in_use()
    assert place.run("rotate", NAME, "--no-wait").exit_code == 0
    for command in ("status", "due"):
        result = place.run(command, width=width)
        lines = result.stdout.splitlines()
        assert max(map(len, lines)) <= width
        assert "…" not in result.stdout
        # No name is broken.
        assert OTHER in result.stdout
        assert command == "due" or NAME in result.stdout
        assert command == "due" or place.live[-1] in result.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keys": []}, "keys: Tuple should have at least 1 item"),
        ({"kees": []}, "kees: Extra inputs are not permitted"),
        ({"portkey": {"key_variable": "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8x"}}, "never a key itself"),
        ({"portkey": {"timeout": 0}}, "portkey.timeout: Input should be greater than 0"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_the_field(
    place: Place, change: dict[str, Any], said: str
) -> None:
    place.plain |= change
    place.write()
    result = place.run("status")
    assert result.exit_code == 1
    assert said in result.output
    assert "Ab3dEf6h" not in result.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"maker": {"kind": "magic"}}, "keys.0.maker: Input tag 'magic'"),
        ({"maker": {"kind": "virtual_key", "provider": "openai"}}, "keys.0.maker.new_key: Field"),
        ({"source": {"kind": "files"}}, "keys.0.source.folder: Field required"),
        ({"name": "search"}, "is no provider-environment-team"),
        ({"name": OTHER}, f"{OTHER} is there more than once"),
        ({"drain": "soon"}, "keys.0.drain: Input should be a valid number"),
    ],
)
def test_a_key_that_is_wrong_is_told_by_the_field(
    place: Place, change: dict[str, Any], said: str
) -> None:
    place.plain["keys"][0] |= change
    place.write()
    result = place.run("status")
    assert result.exit_code == 1
    assert said in result.output


def test_what_can_t_be_meant_is_refused(place: Place) -> None:
    assert place.run("rotate").exit_code == 2
    assert place.run("rotate", NAME, OTHER, "--current", "id").exit_code == 2
    result = place.run("status", "nobody")
    assert result.exit_code == 1
    assert f"has no such key, but {NAME}, {OTHER}" in result.output
    (place.folder / "keys.yaml").write_text("- a list")
    assert "a mapping with `keys` is due" in place.run("status").output
