"""Who can be named as the one that decided."""

from __future__ import annotations

from unicodedata import normalize

__all__ = ["ANYONE", "ROOT", "refused_subject"]

# Who decided where AgentOS' own key was shown, which names nobody; and where nobody had to be.
ROOT = "the OS security key"
ANYONE = "anonymous (no authorization)"
# What is kept of decisions that no person has made, or of those above.
_RESERVED = frozenset(
    each.casefold() for each in (ROOT, ANYONE, "the gate", "agno-portkey", "an operator")
)
# Characters of a subject: as many as OpenID Connect allows.
_LONGEST = 255


def refused_subject(name: object) -> tuple[str, str] | None:
    """Why a token's subject can't stand beside a decision: a code, and what is said; else None.

    It would name nobody, or be read as something else there or in a log.
    """
    if not isinstance(name, str) or not name.strip():
        return "no_subject", "the token names nobody: it needs a subject (sub)"
    if len(name) > _LONGEST or not name.isprintable():
        said = f"the token's subject may have {_LONGEST} characters, and no control characters"
        return "odd_subject", said
    if " ".join(normalize("NFKC", name).split()).casefold() in _RESERVED:
        said = "the token's subject is a name that stands for no person here: use another one"
        return "reserved_subject", said
    if name != name.strip():
        return (
            "odd_subject",
            "the token's subject has a blank at an end: another name looks like it",
        )
    return None
