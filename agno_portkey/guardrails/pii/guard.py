"""`PIIGuardrail`: personal data does not reach the provider, wherever a call holds it."""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.base import Guard
from agno_portkey.guardrails.findings import Block, Finding, Rewrite
from agno_portkey.guardrails.passages import Passage
from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.session import SeenNames
from agno_portkey.guardrails.pii.spans import Span, widest
from agno_portkey.guardrails.pii.vault import Vault
from agno_portkey.guardrails.pii.vaults import Vaults
from agno_portkey.guardrails.secrets import without_secrets
from agno_portkey.guardrails.segments import BEFORE, Ranges, Segments
from agno_portkey.modes import Mode

__all__ = ["PIIGuardrail"]

Action = Literal["block", "mask", "pseudonymize"]
_ACTIONS: tuple[str, ...] = ("block", "mask", "pseudonymize")
_RELEASES = {"sentence": "segment", "eager": "eager"}
# A program's own texts: what they name is no person of the conversation.
_DEFINED = ("tool_definition", "schema")
_NAMES = frozenset({"PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "NRP", "AGE", "USERNAME"})
_MASK = re.compile(r"<([A-Z][A-Z_]*)>")
_opened: ContextVar[dict[tuple[str, str | None], Vault] | None] = ContextVar(
    "agno_portkey_vaults_opened", default=None
)
# Sessions whose names are remembered.
_SESSIONS = 1_000


class PIIGuardrail(Guard):
    """Finds personal data in all that goes to a model, and in what comes back.

    `mode`: `block` refuses it; `mask` puts `<PERSON>` in its place, for good; `pseudonymize` lets
    the provider see `<PERSON_1>` where the user and the tools see the person. `enforcement` is
    what `mode` is of other guards: off, observe, or enforce.

    `analyzer`, or what one is made of: `entities`, `languages`, `recognizers`, `deny_list`.
    `release`: a streamed answer is let go by sentences, or, `eager`, the small words that begin
    one at once. `vaults`: where the values of `pseudonymize` are kept; in this process by default.
    Pictures and other files are refused, unless `unreadable="allow"`.

    Of tool definitions and schemas, which a program wrote, no names of people or places count.
    """

    name = "PIIGuardrail"
    rewrites = True

    def __init__(
        self,
        mode: Action = "mask",
        *,
        entities: Iterable[str] | None = None,
        languages: Sequence[str] = ("en",),
        recognizers: str | Path | Mapping[str, Any] | None = None,
        deny_list: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        analyzer: Analyzer | None = None,
        release: Literal["sentence", "eager"] = "sentence",
        vaults: Vaults | None = None,
        enforcement: Mode = "enforce",
        **settings: Any,
    ) -> None:
        if mode not in _ACTIONS:
            raise ConfigurationError(
                f"{self.name}.mode: one of {', '.join(_ACTIONS)}, not {mode!r}"
            )
        if release not in _RELEASES:
            raise ConfigurationError(f"{self.name}.release: sentence or eager, not {release!r}")
        if vaults is not None and mode != "pseudonymize":
            raise ConfigurationError(f'{self.name}.vaults: only mode="pseudonymize" has any')
        made = {"entities": entities, "recognizers": recognizers, "deny_list": deny_list}
        if analyzer is not None and any(value is not None for value in made.values()):
            raise ConfigurationError(f"{self.name}.analyzer: it has its own recognizers")
        self.action: Action = mode
        self.rewrites = mode != "block"
        self.analyzer = analyzer or Analyzer(languages=languages, **made)  # type: ignore[arg-type]
        self.vaults = (vaults or Vaults()) if mode == "pseudonymize" else None
        self._names = _Names()
        self._forms: Analyzer | None = None
        # A provider's own placeholders are words; a sentence is needed to find anything else.
        stream = "word" if mode == "pseudonymize" else _RELEASES[release]
        defaults = {"stream": stream, "unreadable": "refuse", "timeout": 60.0}
        # What is stored is the database's to hide: here the texts are the user's own.
        defaults["keep_raw"] = mode == "pseudonymize"
        super().__init__(**{**defaults, **settings, "mode": enforcement})

    def warm(self) -> PIIGuardrail:
        """Load all that the first text would have to wait for; blocks for some seconds."""
        self.analyzer.warm()
        return self

    def redacted(self, text: str) -> str:
        """`text` with what its form alone tells masked, and secrets; for logs.

        Names need a language model, and are left.
        """
        if self._forms is None:
            self._forms = Analyzer(self.analyzer.entities - _NAMES, cache=0)
        spans = self._forms.spans(text) if self._forms.entities else ()
        return without_secrets(_masked(text, spans))

    def inspect(self, passage: Passage) -> Finding:
        if self.vaults is not None:
            return self._behind_placeholders(passage, self.vaults)
        spans = self._spans(passage)
        if not spans:
            return None
        reason, evidence = _told(spans)
        if self.action == "block":
            return Block(reason, evidence=evidence)
        return Rewrite(_masked(passage.text, spans), reason, evidence)

    def _look(self, passages: Sequence[Passage]) -> Any:
        # A vault is read from its database once for all passages.
        token = _opened.set({})
        try:
            return super()._look(passages)
        finally:
            _opened.reset(token)

    def at_once(self, passages: Sequence[Passage]) -> bool:
        # History is sent with every call, and needs no second look.
        if self.vaults is not None:
            return False
        return all(p.direction == "input" and self.analyzer.knows(p.text) for p in passages)

    def keeps_together(self, before: str, text: str) -> Ranges:
        begin = len(before)
        for span in self.analyzer.spans(before + text):
            if span.end > begin:
                yield span.start - begin, span.end - begin

    # What is found

    def _spans(self, passage: Passage) -> tuple[Span, ...]:
        if passage.direction == "output":
            return self._in_pieces(passage)
        names = self._names.of(passage)
        found = self.analyzer.spans(passage.text)
        names.add(passage.text, found)
        return self._counted(passage, [*found, *names.find(passage.text)], passage.text)

    def _in_pieces(self, passage: Passage) -> tuple[Span, ...]:
        """The same of an answer: a function of its pieces, streamed or not."""
        release: Any = self.stream if self.stream != "whole" else "segment"
        segments = Segments(release, apart=False, behind=passage.before)
        pieces = [*segments.feed(passage.text, self.keeps_together), segments.flush()]
        names, found = self._names.of(passage), list[Span]()
        before, place = passage.before, 0
        for piece in pieces:
            whole, begin = before + piece, len(before)
            for span in self.analyzer.spans(whole) if piece else ():
                if span.end > begin:
                    start = max(0, span.start - begin) + place
                    found.append(replace(span, start=start, end=span.end - begin + place))
            found += [
                replace(span, start=span.start + place, end=span.end + place)
                for span in names.find(piece)
            ]
            place, before = place + len(piece), whole[-BEFORE:]
        return self._counted(passage, found, passage.text)

    def _counted(self, passage: Passage, found: list[Span], text: str) -> tuple[Span, ...]:
        """Those of `found` that count here: no masks of our own, none overlapping another."""
        masks = [m.span() for m in _MASK.finditer(text) if m.group(1) in self.analyzer.entities]
        defined = passage.source in _DEFINED
        return widest(
            [
                span
                for span in found
                if not (defined and span.type in _NAMES)
                and not any(span.start < end and start < span.end for start, end in masks)
            ],
            text,
        )

    # Placeholders

    def _behind_placeholders(self, passage: Passage, vaults: Vaults) -> Finding:
        scene = passage.scene
        if scene.stage != "model":
            # Hooks and tools see what the user sees.
            return None
        vault = self._vault(passage, vaults)
        if passage.direction == "output":
            shown = vault.show(passage.text)
            return None if shown == passage.text else Rewrite(shown, "placeholders were restored")
        spans = self._counted(passage, [*self.analyzer.spans(passage.text)], passage.text)
        if passage.source in _DEFINED and not spans:
            return None
        hidden = vault.hide(passage.text, spans)
        if hidden == passage.text:
            return None
        reason, evidence = _told(spans)
        return Rewrite(hidden, reason, evidence)

    def _vault(self, passage: Passage, vaults: Vaults) -> Vault:
        scene = passage.scene
        if scene.session_id is None:
            return vaults.of_call(scene.call or "")
        opened, key = _opened.get(), (scene.session_id, scene.user_id)
        if opened is None:
            return vaults.of(*key)
        if key not in opened:
            opened[key] = vaults.of(*key)
        return opened[key]


class _Names:
    """The names that were found in the inputs of a session, by session; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str | None, str | None], SeenNames] = OrderedDict()

    def of(self, passage: Passage) -> SeenNames:
        key = (passage.scene.session_id, passage.scene.user_id)
        if key[0] is None:
            return SeenNames()
        with self._lock:
            names = self._known.setdefault(key, SeenNames())
            self._known.move_to_end(key)
            while len(self._known) > _SESSIONS:
                self._known.popitem(last=False)
            return names


def _masked(text: str, spans: Sequence[Span]) -> str:
    for span in reversed(spans):
        text = f"{text[: span.start]}<{span.type}>{text[span.end :]}"
    return text


def _told(spans: Sequence[Span]) -> tuple[str, dict[str, Any]]:
    """The reason and the evidence: types and how many, and never a value."""
    counts = Counter(span.type for span in spans)
    return f"personal data ({', '.join(sorted(counts)) or 'known'})", {"types": dict(counts)}
