"""The key of an audit log: where it is from, who may have it, and what can't be one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from audited import KEY, OTHER, checked, child, log, written

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.clearance.keys import new_key
from agno_portkey.telemetry.audit import KEY_VARIABLE, AuditLog, verify


def test_without_a_key_one_is_made_for_its_owner_alone(path: Path, home: Path) -> None:
    AuditLog(path)({"kind": "call"})
    kept = home / "agno-portkey" / "audit.key"
    assert kept.stat().st_mode & 0o777 == 0o600
    key = base64.urlsafe_b64decode(kept.read_bytes())
    assert len(key) == 32
    assert [each.name for each in kept.parent.iterdir()] == ["audit.key"]
    assert verify(path).ok
    assert verify(path, key=key).ok
    AuditLog(path)({"kind": "call"})
    assert verify(path).records == 2


def test_processes_that_make_a_key_at_once_have_the_same(tmp_path: Path) -> None:
    script = """if True:
        import sys
        from agno_portkey.telemetry.audit import AuditLog
        sys.stdin.read(1)
        AuditLog(sys.argv[1], sync=False)({"kind": "call"})
    """
    writers = [child(script, tmp_path / f"{place}.jsonl") for place in range(2)]
    for writer in writers:
        assert writer.communicate("x")[1] == ""
    assert all(verify(tmp_path / f"{place}.jsonl").ok for place in range(2))


def test_the_environment_holds_a_key(path: Path, home: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(KEY).decode())
    AuditLog(path)({"kind": "call"})
    assert checked(path).ok
    assert not home.exists()


def test_a_log_whose_key_is_gone_is_not_gone_on_with(path: Path, home: Path) -> None:
    AuditLog(path)({"kind": "call"})
    (home / "agno-portkey" / "audit.key").unlink()
    for use in (AuditLog, verify):
        with pytest.raises(ConfigurationError, match=r"there is no .*audit\.key"):
            use(path)
    assert not (home / "agno-portkey" / "audit.key").exists()


def test_another_key_is_refused_before_a_run_depends_on_it(path: Path) -> None:
    written(path, 1)
    with pytest.raises(ConfigurationError, match=r"line of .* it is sealed with another key"):
        log(path, key=OTHER)
    assert KEY.decode() not in repr(log(path)) + repr(log(path)._key)
    report = checked(path, key=OTHER)
    assert not report.ok
    assert "sealed with another key" in str(report.problems[0])


def test_a_key_file_that_others_can_read_is_refused(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "key"
    kept.write_bytes(KEY)
    kept.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        AuditLog(path, key_file=kept)
    kept.chmod(0o600)
    AuditLog(path, key_file=kept)({"kind": "call"})
    assert checked(path).ok
    with pytest.raises(ConfigurationError, match="can't be read"):
        AuditLog(path, key_file=tmp_path)
    with pytest.raises(ConfigurationError, match="can't be made"):
        AuditLog(tmp_path / "another.jsonl", key_file="/proc/no/such/key")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": "c2hvcnQ="}, "key: 32 bytes"),
        ({"key": "no base64!"}, "key: 32 bytes"),
        ({"key": b""}, "key: 32 bytes"),
        ({"key": 7}, "key: 32 bytes"),
        ({"key_file": "x"}, "give one of key"),
        ({"every": 0}, "every: a number"),
        ({"every": True}, "every: a number"),
        ({"sync": 1}, "sync: true or false"),
        ({"checkpoints": "/no/such/folder/x"}, "checkpoints: the folder /no/such/folder"),
    ],
)
def test_what_cant_be_meant(options: dict[str, Any], said: str, path: Path) -> None:
    with pytest.raises(ConfigurationError, match=said):
        log(path, **options)


def test_paths_that_cant_be_meant(path: Path) -> None:
    for wrong in ("/no/such/folder/audit.jsonl", path.parent, "/dev/full"):
        with pytest.raises(ConfigurationError, match="path:"):
            log(Path(wrong))
    with pytest.raises(ConfigurationError, match="another file than the log"):
        log(path, checkpoints=path)
    path.write_text('{"kind": "of another"}\n')
    with pytest.raises(ConfigurationError, match="is no audit log"):
        log(path)


def test_whoever_has_the_public_key_alone_can_verify_a_signed_log(path: Path) -> None:
    pair, another = new_key(), new_key()
    signed = AuditLog(path, signing_key=pair.private, every=2, sync=False)
    for number in range(4):
        signed({"kind": "call", "data": {"number": number}})
    signed.close()
    report = verify(path, public_key=pair.public)
    assert (report.ok, report.records, report.checkpoints) == (True, 4, 3)
    assert not verify(path, public_key=another.public).ok
    assert not checked(path).ok
    with pytest.raises(ConfigurationError, match="one log has one key"):
        log(path)
    text = path.read_text()
    forged = json.loads(text.splitlines()[3])
    path.write_text(text.replace(forged["signature"], forged["signature"].upper()))
    assert [each.line for each in verify(path, public_key=pair.public).problems] == [4]
    path.write_text(text.replace('"number":3', '"number":4'))
    assert [each.line for each in verify(path, public_key=pair.public).problems] == [4]
