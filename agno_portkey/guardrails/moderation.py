"""`ModerationGuardrail`: harmful content, judged by a provider or by offline packages."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, Literal

from openai import OpenAIError

from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.guardrails.base import Guard
from agno_portkey.guardrails.findings import Block, Finding, Flag, NoFinding
from agno_portkey.guardrails.passages import Passage
from agno_portkey.guardrails.stage import Report
from agno_portkey.routing.connection import without_made_up_key
from agno_portkey.routing.failures import explain
from agno_portkey.workers import Job

__all__ = ["ModerationGuardrail"]

Backend = Literal["gateway", "offline"]
Scores = Mapping[str, float]

# Whose words are judged: the application's own instructions and schemas are not.
_JUDGED = frozenset(
    ("user", "assistant", "tool", "tool_call", "reasoning", "citation", "transcript", "error")
)
_OFFLINE = ("profanity", "insult", "hate", "harassment", "sexual")
# What providers call their categories.
_CATEGORY = re.compile(r"[a-z]{2,24}(?:[/_-][a-z]{2,24}){0,3}")
# Words.
_PIECE = 20
# What the offline rules call how bad a match is.
_SEVERE = {"low": 0.5, "medium": 0.7, "high": 0.9, "critical": 1.0}


class ModerationGuardrail(Guard):
    """Blocks, or flags, content in harmful categories, in what goes in and what comes out.

    `backend="gateway"` asks the moderation endpoint of the provider behind `model`, a
    `PortkeyModel`, with its connection settings; `moderation_model` names the judge. It has a
    category where the provider flags it. `thresholds` maps a category to the score (0-1) from
    which on it counts, whatever the provider flags; `categories` limits what counts, all
    otherwise. An endpoint that fails, hangs, answers with anything but scores, or with none for a
    category that is named here blocks.

    `backend="offline"` needs the extra `moderation` (scikit-learn and SciPy come with it, 250 MB)
    and knows `profanity`, `insult` and, by lists of words and phrases in English, `hate`,
    `harassment` and `sexual`. It can't judge threats in other words than the listed ones, hatred
    without slurs, self-harm, violence, crime, or any other language, and takes some mild words
    for insults (`stupid question, sorry`): use the gateway where these matter. It costs about
    4 ms for 200 characters.
    """

    name = "ModerationGuardrail"
    # It judges sentences: word by word what harms is out before it is known.
    streams = ("whole", "segment", "eager")

    def __init__(
        self,
        *,
        backend: Backend = "gateway",
        model: Any = None,
        moderation_model: str = "omni-moderation-latest",
        action: Literal["block", "flag"] = "block",
        categories: Any = None,
        thresholds: Mapping[str, float] | None = None,
        **settings: Any,
    ) -> None:
        if backend not in ("gateway", "offline"):
            raise ConfigurationError(f"{self.name}.backend: gateway or offline, not {backend!r}")
        if action not in ("block", "flag"):
            raise ConfigurationError(f"{self.name}.action: block or flag, not {action!r}")
        self._categories = _checked_categories(categories)
        self._thresholds = _checked_thresholds(thresholds)
        self.action = action
        self._judge: Any
        named = frozenset((*(self._categories or ()), *self._thresholds))
        if backend == "gateway":
            self._judge = _Gateway(model, moderation_model, named)
        else:
            self._judge = _Offline()
            if unknown := sorted(named.difference(_OFFLINE)):
                raise ConfigurationError(
                    f"{self.name}: offline it knows {', '.join(_OFFLINE)}, not {unknown[0]!r}; use "
                    'backend="gateway"'
                )
        super().__init__(**settings)

    def inspect(self, passage: Passage) -> Finding:
        if not _is_judged(passage):
            return None
        return self._finding(*self._judge(passage.before + passage.text))

    def job(self, passages: Sequence[Passage]) -> Job:
        """Beside an event loop the endpoint is awaited; the offline judge gets a thread."""
        job = super().job(passages)
        if isinstance(self._judge, _Gateway):
            return replace(job, afunction=lambda: self._awaited(passages, self._judge))
        return job

    async def _awaited(self, passages: Sequence[Passage], judge: _Gateway) -> Report:
        report: Report = []
        for place, passage in enumerate(passages):
            if _is_judged(passage):
                said = self._finding(*await judge.acall(passage.before + passage.text))
                if self._note(report, place, said):
                    break
        return report

    def _finding(self, scores: Scores, flagged: frozenset[str]) -> Finding:
        found = {
            name: round(score, 4)
            for name, score in scores.items()
            if self._counts(name, score, name in flagged)
        }
        if not found:
            return None
        kind = Block if self.action == "block" else Flag
        reason = f"harmful content ({', '.join(sorted(found))})"
        return kind(reason, score=max(found.values()), evidence={"categories": found})

    def _counts(self, name: str, score: float, flagged: bool) -> bool:
        if self._categories is not None and name not in self._categories:
            return False
        limit = self._thresholds.get(name)
        return flagged if limit is None else score >= limit


class _Gateway:
    """The moderation endpoint of the provider behind a model."""

    def __init__(self, model: Any, judge: str, named: frozenset[str]) -> None:
        if not callable(getattr(model, "get_async_client", None)):
            raise ConfigurationError(
                "ModerationGuardrail.model: needed is a PortkeyModel, whose provider is asked, "
                'or backend="offline"'
            )
        if not isinstance(judge, str) or not judge.strip():
            raise ConfigurationError("ModerationGuardrail.moderation_model: a model's name")
        if model.config is not None and not isinstance(model.config, str):
            raise ConfigurationError(
                "ModerationGuardrail.model: its route is for chat completions; give a model that "
                "names its provider, or a hosted config's id"
            )
        self._model, self._name, self._named = model, judge, named

    def __call__(self, text: str) -> tuple[Scores, frozenset[str]]:
        try:
            answer = self._model.get_client().moderations.create(**self._request(text))
            return _read(answer, self._named)
        except OpenAIError as error:
            raise self._explained(error) from None

    async def acall(self, text: str) -> tuple[Scores, frozenset[str]]:
        """The same for an event loop."""
        try:
            client = self._model.get_async_client()
            return _read(await client.moderations.create(**self._request(text)), self._named)
        except OpenAIError as error:
            raise self._explained(error) from None

    def _request(self, text: str) -> dict[str, Any]:
        headers: dict[str, Any] = dict(self._model.metadata_of(None, {}))
        if self._model.config is not None:
            headers["x-portkey-config"] = self._model.config
        sent = without_made_up_key(self._model, headers)
        return {"model": self._name, "input": text, "extra_headers": sent}

    def _explained(self, error: Exception) -> Exception:
        return explain(error, model_id=self._name, base_url=self._model.gateway_url)


def _is_judged(passage: Passage) -> bool:
    return passage.source in _JUDGED and bool(passage.text.strip())


def _read(answer: Any, named: frozenset[str] = frozenset()) -> tuple[Scores, frozenset[str]]:
    """The scores of an answer and what it flags.

    NoFinding if it is none, ConfigurationError if one of `named` is not in it.
    """
    results = getattr(answer, "results", None)
    if not isinstance(results, list) or len(results) != 1:
        raise NoFinding("the moderation endpoint gave no result")
    [result] = results
    scores = _plain(getattr(result, "category_scores", None))
    flags = _plain(getattr(result, "categories", None))
    for score in scores.values():
        is_number = isinstance(score, int | float) and not isinstance(score, bool)
        if not is_number or not 0 <= score <= 1:
            raise NoFinding("the moderation endpoint gave a category without a score of 0-1")
    flagged = frozenset(name for name, said in flags.items() if said is True)
    if not scores or not flagged <= scores.keys() or bool(result.flagged) != bool(flagged):
        raise NoFinding("the moderation endpoint contradicts itself")
    if missing := sorted(named - scores.keys()):
        # What is told of a failure has no words of an endpoint's own.
        judged = ", ".join(sorted(filter(_CATEGORY.fullmatch, scores)))
        raise ConfigurationError(
            f"the moderation endpoint does not judge {missing[0]!r}: name what it does ({judged})"
        )
    return scores, flagged


def _plain(values: Any) -> dict[str, Any]:
    dump = getattr(values, "model_dump", None)
    if dump is not None:
        # By their names at the provider, `hate/threatening`; those it leaves out are none.
        values = {k: v for k, v in dump(by_alias=True, warnings=False).items() if v is not None}
    if not isinstance(values, dict):
        raise NoFinding("the moderation endpoint gave no categories")
    return values


class _Offline:
    """The offline packages, loaded when the guard is made."""

    def __init__(self) -> None:
        try:
            predict_prob = import_module("profanity_check").predict_prob
            moderate = import_module("safetype").moderate
        except ImportError as error:
            raise MissingExtraError(
                'backend="offline" needs two packages: pip install "agno-portkey[moderation]"'
            ) from error
        self._predict: Callable[[list[str]], Any] = predict_prob
        self._moderate: Callable[[str], Any] = moderate
        self._lock = threading.Lock()

    def __call__(self, text: str) -> tuple[Scores, frozenset[str]]:
        pieces = _pieces(text)
        with self._lock:
            shares = [float(share) for share in self._predict(pieces)]
            matches = self._moderate(text).matches
        if len(shares) != len(pieces) or not all(map(math.isfinite, shares)):
            raise NoFinding("the offline judge gave no score")
        scores: dict[str, float] = {"insult": max(shares)}
        for match in matches:
            score = _SEVERE.get(match.severity, 1.0)
            scores[match.category] = max(score, scores.get(match.category, 0.0))
        return scores, frozenset(
            name for name, score in scores.items() if score >= _SEVERE["medium"]
        )


def _pieces(text: str) -> list[str]:
    """A text in overlapping pieces of 20 words: an insult is not outvoted by what surrounds it."""
    words = text.split()
    starts = range(0, max(1, len(words) - _PIECE // 2), _PIECE // 2)
    return [" ".join(words[start : start + _PIECE]) for start in starts]


def _checked_categories(categories: Any) -> frozenset[str] | None:
    if categories is None:
        return None
    wrong = isinstance(categories, str) or not isinstance(
        categories, list | tuple | set | frozenset
    )
    if wrong or not categories or not all(isinstance(each, str) and each for each in categories):
        raise ConfigurationError("ModerationGuardrail.categories: names in a list, or None for all")
    return frozenset(categories)


def _checked_thresholds(thresholds: Any) -> dict[str, float]:
    if thresholds is None:
        return {}
    if not isinstance(thresholds, Mapping):
        raise ConfigurationError('ModerationGuardrail.thresholds: scores of 0-1, as {"hate": 0.4}')
    for name, limit in thresholds.items():
        number = isinstance(limit, int | float) and not isinstance(limit, bool)
        if not isinstance(name, str) or not number or not 0 <= limit <= 1:
            raise ConfigurationError(f"ModerationGuardrail.thresholds: {name!r}: a score of 0-1")
    return dict(thresholds)
