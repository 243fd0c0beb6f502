"""What a webhook gets: the JSON that Alertmanager sends, version 4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import Any

from agno_portkey.telemetry.alerts.kinds import shown
from agno_portkey.telemetry.alerts.states import Alert

__all__ = ["fingerprint", "message"]

# What Alertmanager says of an alert that has no end yet.
_NEVER = "0001-01-01T00:00:00Z"
_OFFSET, _PRIME, _WHOLE = 14_695_981_039_346_656_037, 1_099_511_628_211, 2**64


def message(
    group: Sequence[Alert], *, receiver: str, labels: Mapping[str, str], url: str
) -> dict[str, Any]:
    """The message of a group of alerts of one kind, which all have `labels` beside their own.

    `url` is where people look: that of the group, and of each of its alerts.
    """
    alerts = [_alert(each, labels, url) for each in group]
    name = group[0].kind.name
    return {
        "version": "4",
        "receiver": receiver,
        "status": "firing" if any(each.ended is None for each in group) else "resolved",
        "groupKey": f'{{}}:{{alertname="{name}"}}',
        "groupLabels": {"alertname": name},
        "commonLabels": _common(each["labels"] for each in alerts),
        "commonAnnotations": _common(each["annotations"] for each in alerts),
        "externalURL": url,
        "truncatedAlerts": 0,
        "alerts": alerts,
    }


def fingerprint(labels: Mapping[str, str]) -> str:
    """That of an alert with `labels`, as Alertmanager makes it: FNV-1a of 64 bits, in hex."""
    parts = [part for name in sorted(labels) for part in (name.encode(), labels[name].encode())]
    told = b"".join(part + b"\xff" for part in parts)
    return f"{reduce(lambda held, byte: (held ^ byte) * _PRIME % _WHOLE, told, _OFFSET):016x}"


def _alert(alert: Alert, labels: Mapping[str, str], url: str) -> dict[str, Any]:
    kind = alert.kind
    own = {"alertname": kind.name, "severity": kind.severity}
    # Prometheus has no labels that are empty.
    if kind.label is not None and alert.of:
        own[kind.label] = alert.of
    all_labels = {**labels, **own}
    return {
        "status": "firing" if alert.ended is None else "resolved",
        "labels": all_labels,
        "annotations": kind.annotations(alert.of, shown(alert.figure, kind.unit)),
        "startsAt": _written(alert.began),
        "endsAt": _NEVER if alert.ended is None else _written(alert.ended),
        "generatorURL": url,
        "fingerprint": fingerprint(all_labels),
    }


def _written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _common(several: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What all of them say alike."""
    first, *others = several
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }
