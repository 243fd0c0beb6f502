"""Settings that can't be meant are told when they are given, with what is due in their place."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml
from agno.agent import Agent

from agno_portkey import govern
from agno_portkey.errors import ConfigurationError, ModelMissing
from agno_portkey.guardrails import SecretsGuardrail
from agno_portkey.guardrails.pii import Analyzer, PIIGuardrail, Vaults, nlp
from agno_portkey.guardrails.pii.recognition import ALL
from agno_portkey.model import PortkeyModel

WORDS = {"name": "A", "supported_entity": "A", "deny_list": ["x"]}


def pattern(**of_it: Any) -> dict[str, Any]:
    return {"name": "A", "supported_entity": "A", "patterns": [of_it]}


# Types


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"entities": ["PERSN"]}, "entities: nothing finds 'PERSN'; near it: PERSON"),
        ({"entities": ["mail_address"]}, "nothing finds 'mail_address'; near it: EMAIL_ADDRESS"),
        ({"entities": ["%"]}, "nothing finds '%'; known: AGE, .*recognizers or a deny_list"),
        ({"entities": []}, "entities: none at all would be looked for"),
        ({"entities": ["BADG"], "deny_list": {"BADGE": ["x"]}}, "near it: BADGE"),
        ({"entities": 5}, "entities: a list of types"),
    ],
)
def test_a_type_that_nothing_finds_is_told_with_the_nearest(
    settings: dict[str, Any], said: str
) -> None:
    for kind in (Analyzer, PIIGuardrail):
        with pytest.raises(ConfigurationError, match=said):
            kind(**settings)


def test_every_type_that_something_finds_may_be_asked_for() -> None:
    for one in ALL:
        assert Analyzer([one]).entities == {one}
    badges = {"recognizers": [pattern(name="b", regex="b", score=0.9) | {"supported_entity": "B"}]}
    assert Analyzer(["B"], recognizers=badges).entities == {"B"}
    assert Analyzer(["DENIED"], deny_list=["x"]).entities == {"DENIED"}
    assert Analyzer([], deny_list=["x"]).spans("an x")[0].type == "DENIED"


def test_a_log_is_redacted_whatever_types_are_ones_own() -> None:
    guard = PIIGuardrail(entities=["A", "EMAIL_ADDRESS"], deny_list={"A": ["x"]})
    assert guard.redacted("to a@corp.internal") == "to <EMAIL_ADDRESS>"
    assert PIIGuardrail(entities=["PERSON"]).redacted("to a@corp.internal") == "to a@corp.internal"


# Recognisers of a file


@pytest.mark.parametrize(
    ("one", "said"),
    [
        ({"name": "X"}, r"number 2 \('X'\): patterns or a deny_list is due"),
        ({"supported_entity": "A"}, "number 2: name: a recogniser needs one"),
        (5, r"number 2 \(5\): a mapping, or the name of one of Presidio's"),
        ("NoSuch", r"number 2 \('NoSuch'\): Presidio has no recogniser of that name"),
        ({"name": "No", "type": "predefined"}, "Presidio has no recogniser of that name"),
        ({**WORDS, "paterns": []}, r"\('A'\): paterns: .* did you mean patterns\?"),
        ({**WORDS, "color": "red"}, r"\('A'\): color: there is no such key; it takes name, "),
        ({"name": "EmailRecognizer", "contxt": ["x"]}, r"contxt: .* did you mean context\?"),
        ({**WORDS, "deny_list": [""]}, "deny_list: words are due, none empty, not ''"),
        ({**WORDS, "deny_list": "x"}, "deny_list: Input should be a valid list"),
        ({"name": "A", "deny_list": ["x"]}, "supported_entity: Field required"),
        ({**WORDS, "score_thresholds": {"default": 7}}, r"between 0\.0 and 1\.0, got: 7"),
        ({**WORDS, "supported_language": "xxx"}, "supported_language: Invalid language code"),
        ({**WORDS, "name": "EmailRecognizer"}, "conflicts with a predefined"),
        (pattern(name="a", regex="a", score=7), r"patterns\[0\]\.score: a number from 0 to 1"),
        (pattern(name="a", regex="a", score=True), r"patterns\[0\]\.score: a number from 0 to 1"),
        (pattern(name="a", regex="(", score=1), r"patterns\[0\]\.regex: '\(' is no pattern"),
        (pattern(name="a", regex="", score=1), r"patterns\[0\]\.regex: a text is due, not ''"),
        (pattern(regex="a", score=1), r"patterns\[0\]\.name: is missing"),
        (pattern(name="a", regx="a", score=1), r"patterns\[0\]\.regx: .* did you mean regex\?"),
        ({**WORDS, "patterns": [3]}, r"patterns\[0\]: a mapping of name, regex, score is due"),
    ],
)
def test_what_of_a_recogniser_is_wrong_is_told_with_its_place(
    one: Any, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump({"recognizers": ["EmailRecognizer", one]}))
    with pytest.raises(ConfigurationError, match=said) as refused:
        Analyzer(recognizers=file)
    assert str(refused.value).startswith(f"recognizers: {file}: number 2")
    with pytest.raises(ConfigurationError, match=said.replace("number 2", "number 1")):
        Analyzer(recognizers={"recognizers": [one]})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"recognizers": []}, "there is none in the list"),
        ({"recognizers": [WORDS], "language": "en"}, "language: there is no such key"),
        ({"recognizers": [WORDS], "global_regex_flags": "i"}, "global_regex_flags: "),
        (5, "5 can't be read"),
    ],
)
def test_what_of_a_document_is_wrong_is_told(document: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Analyzer(recognizers=document)


@pytest.mark.parametrize(
    "one",
    [
        "EmailRecognizer",
        {"name": "Mine", "class_name": "EmailRecognizer"},
        {"name": "HuggingFaceNerRecognizer", "enabled": False, "anything": 1},
        {**WORDS, "type": "custom", "context": ["y"], "score_thresholds": {"default": 0.5}},
        {**pattern(name="a", regex="a", score=0), "supported_languages": ["en"]},
    ],
)
def test_what_presidio_takes_is_taken(one: Any) -> None:
    Analyzer(recognizers={"recognizers": [one, WORDS]})


# Other settings


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (Analyzer, {"seconds": 0}, "seconds: a number above 0, not 0"),
        (Analyzer, {"seconds": "1"}, "seconds: a number above 0, not '1'"),
        (Analyzer, {"seconds": True}, "seconds: "),
        (Analyzer, {"seconds": float("nan")}, "seconds: "),
        (Analyzer, {"models": ["en_core_web_lg"]}, "models: languages with the name of a model"),
        (Analyzer, {"models": {"de": "x"}}, r"models: 'de' is none of the languages \(en\)"),
        (Analyzer, {"models": {"en": 5}}, "models: en: the name of a model, not 5"),
        (Analyzer, {"models": {"en": "none"}}, "no package and no folder of that name"),
        (Analyzer, {"models": {"en": "./none"}}, "no package and no folder of that name"),
        (Analyzer, {"languages": 5}, "languages: a list"),
        (Analyzer, {"languages": [5]}, "languages: a list"),
        (Analyzer, {"deny_list": 5}, "deny_list: DENIED: a list of words"),
        (Analyzer, {"deny_list": {"": ["x"]}}, "deny_list: the name of a type is needed"),
        (Vaults, {"lifetime": "30d"}, "lifetime: a number above 0, not '30d'"),
        (Vaults, {"timeout": None}, "timeout: a number above 0, not None"),
        (Vaults, {"types": "PERSON"}, "types: a list of entity types"),
        (Vaults, {"types": [5]}, "types: a list of entity types"),
        (Vaults, {"keys": ["x"]}, "keys: without a database"),
        (PIIGuardrail, {"mode": "observe"}, r"mode: one of .*\(that is its enforcement\)"),
        (PIIGuardrail, {"release": []}, "release: sentence or eager"),
        (PIIGuardrail, {"mode": "pseudonymize", "vaults": "x.db"}, r"vaults: a Vaults, .*'x\.db'"),
        (PIIGuardrail, {"mode": "pseudonymize", "on": "input"}, "on: .* needs both"),
        (PIIGuardrail, {"mode": "pseudonymize", "on": "output"}, "on: .* needs both"),
        (PIIGuardrail, {"analyzer": "en"}, "analyzer: an Analyzer, not 'en'"),
        (PIIGuardrail, {"foo": 1}, "no setting 'foo' .*takes mode, entities, .*enforcement, name"),
    ],
)
def test_what_can_not_be_meant_is_refused_when_it_is_made(
    kind: Any, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        kind(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"languages": ["de"]}, {"entities": ["PERSON"]}, {"deny_list": ["x"]}, {"recognizers": "x"}],
)
def test_an_analyzer_is_given_alone(analyzer: Analyzer, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"give {next(iter(settings))} to it"):
        PIIGuardrail(analyzer=analyzer, **settings)


def test_only_a_guard_of_personal_data_is_one(portkey_model: PortkeyModel) -> None:
    agent = Agent(name="A", model=portkey_model)
    with pytest.raises(ConfigurationError, match=r"a PIIGuardrail; give a SecretsGuardrail as gua"):
        govern(agent, pii=SecretsGuardrail())


# What is not installed


@pytest.mark.parametrize("gone", ["spacy", "phonenumbers"])
@pytest.mark.parametrize(
    "made", ["PIIGuardrail()", "govern(Agent(model=PortkeyModel('m', api_key='k')), pii='mask')"]
)
def test_a_missing_extra_is_told_when_the_guard_is_made(gone: str, made: str) -> None:
    code = (
        f"import sys; sys.modules[{gone!r}] = None\n"
        "from agno.agent import Agent\n"
        "from agno_portkey import PortkeyModel, govern\n"
        "from agno_portkey.errors import MissingExtraError\n"
        "from agno_portkey.guardrails import PIIGuardrail\n"
        f"try: {made}\n"
        "except MissingExtraError as error: print(error)\n"
        "print([n for n in ('spacy', 'presidio_analyzer') if sys.modules.get(n)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"finding personal data needs {gone}: pip install" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_what_is_there_is_looked_for_without_loading_it() -> None:
    code = (
        "import sys\nfrom agno_portkey.guardrails import PIIGuardrail\nPIIGuardrail()\n"
        "print([n for n in ('spacy', 'presidio_analyzer', 'phonenumbers') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("kind", [Analyzer, PIIGuardrail])
def test_a_missing_model_is_told_once_and_where_it_is_asked_for(kind: Any) -> None:
    nlp._tell.cache_clear()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        kind(languages=["da"])
        kind(languages=["da"])
        Analyzer(["US_SSN"], languages=["da"], deny_list=["x"])
    [one] = told
    assert "no spaCy model for 'da' is installed" in str(one.message)
    assert one.filename == __file__
    with pytest.raises(ModelMissing, match="da_core_news_sm"):
        kind(entities=["PERSON"], languages=["da"])
