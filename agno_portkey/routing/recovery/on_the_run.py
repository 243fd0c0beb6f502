"""What is left on the host's record of a run: who answered, or what its error was."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from agno_portkey.errors import GatewayError
from agno_portkey.routing.recovery.request import Sending

__all__ = ["name_who_answered", "note_failure"]

# A provider that names itself anew each time is not followed for ever.
_NAMES = 1_000


def name_who_answered(run: Any, model: Any, sending: Sending) -> None:
    """Put the model and provider that answered on `run`, where the host put `model`.

    An answer that ends at its length limit is warned of: it looks whole, and is not.
    """
    router, answered = model.router, sending.answered
    name = answered.get("model")
    if answered.get("finish_reason") == "length":
        logging.getLogger("agno_portkey").warning(
            "the answer of %s ends at its length limit: raise max_tokens", name or model.id
        )
    if not name or getattr(run, "model", None) not in {model.id, *router.answered_as}:
        return
    if len(router.answered_as) < _NAMES:
        router.answered_as.add(name)
    run.model, run.model_provider = name, answered.get("provider") or run.model_provider
    router.shares.note(run.run_id, name, run.model_provider, sending.usage)


def note_failure(run: Any, answered: Mapping[str, Any], error: GatewayError) -> None:
    """Leave on `run` what its error was: the host keeps no more of it than the words."""
    if hasattr(run, "model_provider_data"):
        said = {"error": type(error).__name__, "status": error.status_code}
        if error.retry_after is not None:
            said["retry_after"] = error.retry_after
        run.model_provider_data = {"portkey": {**answered, **said}}
