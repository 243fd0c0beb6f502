"""What a request may say: a small JSON object of texts, and what is answered where that fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError

from agno_portkey.errors import ClearanceRefused, DatabaseGone, WrongEnvironment
from agno_portkey.serving.callers import problem
from agno_portkey.verdict import failure_of

__all__ = ["answering", "named", "required", "texts_in"]

# Bytes of a request, and characters of a text.
_LARGEST, _LONGEST = 16_384, 2_000
_STATUS = {"unknown": 404, "expired": 410, "busy": 503}
_NAME = 255


@contextmanager
def answering(what: str) -> Iterator[None]:
    """What went wrong as a status, a code, and what to do; no word of a database's own.

    `what` is what can't be reached then, such as `the gate database`.
    """
    try:
        yield
    except ClearanceRefused as error:
        raise problem(_STATUS.get(error.code, 409), error.code, str(error)) from error
    except WrongEnvironment as error:
        # It names the database.
        logging.getLogger("agno_portkey").error("%s: %s", what, error)
        said = "it is of another environment than this server: see the server's log"
        raise problem(409, "other_environment", said) from error
    except (DatabaseGone, SQLAlchemyError, OSError) as error:
        said = f"{failure_of(what, error)}: try again, or see the server's log"
        raise problem(503, "database", said) from error


async def texts_in(request: Request, *names: str) -> dict[str, str | None]:
    """The texts of these names in the body, an object that has no others; None for what is empty.

    HTTPException for a body that is too large, no JSON, or holds what is no text that can be shown.
    """
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST:
            raise problem(413, "too_large", f"the request may have {_LARGEST} bytes")
    form = "{" + ", ".join(f'"{name}": "..."' for name in names) + "}"
    if not body.strip():
        return dict.fromkeys(names)
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise problem(422, "no_json", f"send JSON: {form}") from None
    if not isinstance(said, dict) or said.keys() - {*names}:
        raise problem(422, "unknown_fields", f"send an object with nothing but {form}")
    return {name: _text(name, said.get(name)) for name in names}


def _text(name: str, said: object) -> str | None:
    if said is not None and not isinstance(said, str):
        raise problem(422, "no_text", f"the {name} has to be a text")
    said = (said or "").strip()
    if len(said) > _LONGEST or any(map(_odd, said)):
        raise problem(
            422, name, f"the {name} may have {_LONGEST} characters, and no control characters"
        )
    return said or None


def required(said: str | None, name: str, what: str) -> str:
    """`said`, without which nothing is done; `what` takes it."""
    if said is None:
        raise problem(422, f"no_{name}", f'{what} takes a {name}: send {{"{name}": "..."}}')
    return said


def named(said: str | None, what: str) -> str:
    """`said`, which names one of what there is: short, and in one line."""
    if said is None or len(said) > _NAME or not said.isprintable():
        raise problem(422, "name", f"{what}: a name of at most {_NAME} characters is needed")
    return said


def _odd(letter: str) -> bool:
    return (letter < " " and letter not in "\n\t") or "\ud800" <= letter <= "\udfff"
