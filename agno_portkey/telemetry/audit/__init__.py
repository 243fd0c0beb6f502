"""The tamper-evident audit log: `AuditLog` for an `AuditHook`, and `verify`.

Importing it raises MissingExtraError without the extra `tracing`.
"""

from __future__ import annotations

import os

from agno_portkey.errors import MissingExtraError

try:
    import auditchain  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        'an audit log is chained by the package auditchain: pip install "agno-portkey[tracing]"'
    ) from error

from agno_portkey.telemetry.audit.checking import Problem, Reading, Report
from agno_portkey.telemetry.audit.keys import KEY_VARIABLE, find_key
from agno_portkey.telemetry.audit.log import AuditLog

__all__ = ["KEY_VARIABLE", "AuditLog", "Problem", "Reading", "Report", "find_key", "verify"]


def verify(
    path: str | os.PathLike[str],
    *,
    key: str | bytes | None = None,
    key_file: str | os.PathLike[str] | None = None,
    public_key: str | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
) -> Report:
    """What the log at `path` holds, and each line that is not as it was written.

    The key is looked for as `AuditLog` does; `public_key` is for a log that is signed. Checkpoints
    are in a folder or file; by default beside the log. Raises ConfigurationError where there is no
    key or no log.
    """
    return Reading(path, find_key(key, key_file, public_key=public_key), checkpoints).run()
