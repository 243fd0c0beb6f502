"""`PIIGuardrail`: personal data does not reach the provider, wherever a call holds it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal

from agno_portkey.errors import AnalysisFailed
from agno_portkey.guardrails.base import STREAMS, Guard
from agno_portkey.guardrails.findings import Block, Finding, Rewrite
from agno_portkey.guardrails.passages import Passage
from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.choices import (
    RELEASES,
    analyzer_of,
    check_both_sides,
    check_choices,
    vaults_of,
)
from agno_portkey.guardrails.pii.recognition import ALL
from agno_portkey.guardrails.pii.session import NamesOfSessions, SeenNames
from agno_portkey.guardrails.pii.spans import Span, beside, checked, widest
from agno_portkey.guardrails.pii.vault import Vault
from agno_portkey.guardrails.pii.vaults import Vaults
from agno_portkey.guardrails.secrets import without_secrets
from agno_portkey.guardrails.segments import BEFORE, Ranges, Segments
from agno_portkey.modes import Mode, mode_now

__all__ = ["PIIGuardrail"]

Action = Literal["block", "mask", "pseudonymize"]
# What a model says bit by bit; of an answer all else is looked at whole.
_STREAMED = ("assistant", "reasoning")
# The key of a value, behind all that it is in.
_KEY = re.compile(r"([^.()\[\]]+)(?:\[\d+\])*\Z")
# In these words are joined by `_` or a dot; of the first a provider takes no brackets.
_JOINED = ("name", "filename")
_APART = str.maketrans("_.", "  ")
# A program's own texts: what they name is no person of the conversation.
_DEFINED = ("tool_definition", "schema")
_NAMES = frozenset({"PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "NRP", "AGE", "USERNAME"})
_MASK = re.compile(r"<([A-Z][A-Z_]*)>")
_opened: ContextVar[dict[tuple[str, str | None], Vault] | None] = ContextVar(
    "agno_portkey_vaults_opened", default=None
)
# A value in JSON that is longer says by itself what it is.
_SHORT = 80


class PIIGuardrail(Guard):
    """Finds personal data in all that goes to a model, and in what comes back.

    `mode`: `block` refuses it; `mask` puts `<PERSON>` in its place, for good; `pseudonymize` lets
    the provider see `<PERSON_1>` where the user and the tools see the person, so that in a hook
    it does nothing. `enforcement` is what `mode` is of other guards: off, observe, or enforce;
    observing, it opens no vault.

    `analyzer`, or what one is made of: `entities` (types, in place of the usual ones of
    `recognition.DEFAULT`), `languages`, `recognizers` (a file or mapping in Presidio's format),
    `deny_list` (words that are found as `DENIED`, or types with words). `release`: what `mask`
    and `block` let go of a streamed answer: sentences, or, `eager`, the small words that begin
    one at once. `vaults`: where the values of `pseudonymize` are kept; else in this process, and
    lost with it. `timeout` is 60 seconds unless given. Pictures and other files are refused,
    unless `unreadable="allow"`.

    Of tool definitions and schemas, which a program wrote, no names of people or places count.
    Without the extra `pii`, or a model that `entities` needs, it can't be made. `pseudonymize`
    looks at both directions, whatever `on` says of other modes.
    """

    name = "PIIGuardrail"
    rewrites = True

    def __init__(
        self,
        mode: Action = "mask",
        *,
        entities: Iterable[str] | None = None,
        languages: Sequence[str] | None = None,
        recognizers: str | Path | Mapping[str, Any] | None = None,
        deny_list: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        analyzer: Analyzer | None = None,
        release: Literal["sentence", "eager"] = "sentence",
        vaults: Vaults | None = None,
        enforcement: Mode = "enforce",
        **settings: Any,
    ) -> None:
        check_choices(self.name, mode, release, settings, self._known())
        self.vaults = vaults_of(self.name, mode, vaults)
        self.action: Action = mode
        self.rewrites = mode != "block"
        made: dict[str, Any] = {"entities": entities, "languages": languages}
        made |= {"recognizers": recognizers, "deny_list": deny_list}
        self.analyzer = analyzer_of(self.name, analyzer, made)
        self._names = self.vaults.names if self.vaults is not None else NamesOfSessions()
        self._forms: Analyzer | None = None
        # A provider's own placeholders are words; a sentence is needed to find anything else.
        self.streams = STREAMS if mode == "pseudonymize" else ("whole", "segment", "eager")
        stream = "word" if mode == "pseudonymize" else RELEASES[release]
        defaults = {"stream": stream, "unreadable": "refuse", "timeout": 60.0}
        # What is stored is the database's to hide: here the texts are the user's own.
        defaults["keep_raw"] = mode == "pseudonymize"
        super().__init__(**{**defaults, **settings, "mode": enforcement})
        if self.vaults is not None:
            check_both_sides(self.name, self.on)

    @classmethod
    def _known(cls) -> str:
        """The settings that it takes; a guard's `mode` is its `enforcement`."""
        own = [*signature(PIIGuardrail.__init__).parameters][1:-1]
        return ", ".join([*own, *(name for name in cls._settings if name != "mode")])

    def hides(self) -> bool:
        """Whether what it finds is hidden now, and not only told."""
        return mode_now("guards", self.mode) == "enforce"

    def warm(self) -> PIIGuardrail:
        """Load all that the first text would have to wait for; blocks for some seconds.

        Raises MissingExtraError or ModelMissing if it is not there.
        """
        self.analyzer.warm()
        return self

    def redacted(self, text: str) -> str:
        """`text` with what its form alone tells masked, secrets, and names seen lately; for logs.

        Of names it knows those that this guard has found, in this process, in what went to a model
        in the last 50 sessions; for any other a language model would have to read each record.
        """
        kinds = (self.analyzer.entities & frozenset(ALL)) - _NAMES
        if self._forms is None and kinds:
            self._forms = Analyzer(kinds, cache=0)
        spans = self._forms.spans(text) if self._forms is not None else ()
        known = self._names.find(text)
        return without_secrets(_masked(text, widest([*spans, *known], text)))

    def inspect(self, passage: Passage) -> Finding:
        if self.vaults is not None:
            return self._behind_placeholders(passage, self.vaults)
        return self._masked_or_blocked(passage)

    def _masked_or_blocked(self, passage: Passage) -> Finding:
        spans = self._spans(passage)
        if not spans:
            return None
        reason, evidence = _told(spans)
        if self.action == "block":
            return Block(reason, evidence=evidence)
        return Rewrite(_sendable(passage, _masked(passage.text, spans)), reason, evidence)

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
            return all(p.direction == "output" and "_" not in p.text for p in passages)
        return all(
            p.direction == "input" and self.analyzer.knows("".join(_read(p))) for p in passages
        )

    def keeps_together(self, before: str, text: str) -> Ranges:
        return [(span.start, span.end) for span in self._found(before, text)]

    # What is found

    def _found(self, before: str, text: str) -> list[Span]:
        """What stands in `text`, which is read behind `before`."""
        begin, whole = len(before), before + text
        return [
            replace(span, start=max(0, span.start - begin), end=span.end - begin)
            for span in checked(self.analyzer.spans(whole), whole)
            if span.end > begin
        ]

    def _spans(self, passage: Passage) -> tuple[Span, ...]:
        names = self._names.of(passage.scene.session_id, passage.scene.user_id)
        if passage.direction == "output" and passage.source in _STREAMED:
            return self._in_pieces(passage, names)
        found = self._found(*_read(passage))
        self._seen(passage, found)
        return self._counted(passage, [*found, *names.find(passage.text)])

    def _seen(self, passage: Passage, found: Sequence[Span]) -> None:
        scene = passage.scene
        if passage.direction == "input" and passage.source not in _DEFINED:
            self._names.of(scene.session_id, scene.user_id).add(passage.text, found)

    def _in_pieces(self, passage: Passage, names: SeenNames) -> tuple[Span, ...]:
        """The same of an answer: a function of its pieces, streamed or not."""
        release: Any = self.stream if self.stream != "whole" else "segment"
        segments = Segments(release, apart=False, behind=passage.before)
        pieces = [*segments.feed(passage.text, self.keeps_together), segments.flush()]
        found, before, place = list[Span](), passage.before, 0
        late = time.monotonic() + self.timeout
        for piece in filter(None, pieces):
            if time.monotonic() > late:
                # Nobody waits any more for what is found in the rest.
                raise AnalysisFailed(f"an answer takes more than {self.timeout:g} s")
            found += [
                replace(span, start=span.start + place, end=span.end + place)
                for span in (*self._found(before, piece), *names.find(piece))
            ]
            place, before = place + len(piece), (before + piece)[-BEFORE:]
        return self._counted(passage, found)

    def _counted(self, passage: Passage, found: list[Span]) -> tuple[Span, ...]:
        """Those of `found` that count here: no masks of our own, none overlapping another."""
        text = passage.text
        masks = [m.span() for m in _MASK.finditer(text) if m.group(1) in self.analyzer.entities]
        if passage.source in _DEFINED:
            found = [span for span in found if span.type not in _NAMES]
        return beside(widest(found, text), masks, text)

    # Placeholders

    def _behind_placeholders(self, passage: Passage, vaults: Vaults) -> Finding:
        stage = passage.scene.stage
        if stage == "tool":
            # Tools see what the user sees.
            return None
        if stage != "model":
            return Block(f"a hook hides nothing behind placeholders: give {self.name} as guards=")
        if not self.hides():
            # What is only told of goes into no vault, and none is in what comes back.
            return self._masked_or_blocked(passage) if passage.direction == "input" else None
        if passage.direction == "output":
            return self._restored(passage, vaults)
        vault, found = self._vault(passage, vaults), self._found(*_read(passage))
        self._seen(passage, found)
        spans = self._counted(passage, found)
        if passage.source in _DEFINED and not spans:
            return None
        hidden = vault.hide(passage.text, spans)
        if hidden == passage.text:
            return None
        reason, evidence = _told(spans)
        return Rewrite(_sendable(passage, hidden), reason, evidence)

    def _restored(self, passage: Passage, vaults: Vaults) -> Finding:
        if "_" not in passage.text:
            return None
        restorer = self._vault(passage, vaults).restorer().behind(passage.before)
        shown = restorer.feed(passage.text) + restorer.end()
        return None if shown == passage.text else Rewrite(shown, "placeholders were restored")

    def _vault(self, passage: Passage, vaults: Vaults) -> Vault:
        scene = passage.scene
        if scene.session_id is None:
            # A call without one: its vault ends with it, however it ends.
            own: Vault = scene.own.setdefault(vaults, vaults.for_call())
            return own
        opened, key = _opened.get(), (scene.session_id, scene.user_id)
        if opened is None:
            return vaults.of(*key)
        if key not in opened:
            opened[key] = vaults.of(*key)
        return opened[key]


def _read(passage: Passage) -> tuple[str, str]:
    """What a passage is read behind, and as: a value in JSON behind its key."""
    key = _KEY.search(passage.path)
    if key is None or passage.source in _DEFINED or _is_of_a_tool(passage):
        return passage.before, passage.text
    if len(passage.text) > _SHORT:
        return "", passage.text
    text = passage.text.translate(_APART) if key[1] in _JOINED else passage.text
    return f'"{key[1]}": "', text


def _is_of_a_tool(passage: Passage) -> bool:
    """Whether it may be a tool's name, which no person has."""
    return passage.path == "name" and passage.source in ("tool", "tool_call")


def _sendable(passage: Passage, text: str) -> str:
    """`text` without brackets, if it is the name of who speaks."""
    if passage.path != "name" or _is_of_a_tool(passage):
        return text
    return text.replace("<", "").replace(">", "")


def _masked(text: str, spans: Sequence[Span]) -> str:
    masked, at = list[str](), 0
    for span in spans:
        masked += (text[at : span.start], f"<{span.type}>")
        at = span.end
    return "".join((*masked, text[at:]))


def _told(spans: Sequence[Span]) -> tuple[str, dict[str, Any]]:
    """The reason and the evidence: types and how many, and never a value."""
    counts = Counter(span.type for span in spans)
    return f"personal data ({', '.join(sorted(counts)) or 'known'})", {"types": dict(counts)}
