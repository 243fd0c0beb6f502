"""Build the lists of names that the recogniser of names knows, from the locales of Faker (MIT).

Which names are words as well is told by a lexicon and by prose: the word list of the English
spaCy model (WordNet), and the lower-case words in the documentation of the installed packages and
of Python itself. So the outcome varies a little with what is installed.

    pip install faker==40.63.0 && python -m benchmarks.pii.names > names.json
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import sysconfig
from collections import Counter
from pathlib import Path

from benchmarks.pii.peers import load_full

LOCALES = """
en_US en_GB en_IE en_NZ en_IN de_DE de_AT de_CH fr_FR fr_CH fr_CA es_ES es_MX es_AR es_CO es_CL
it_IT pt_BR pt_PT pl_PL cs_CZ sk_SK sv_SE no_NO da_DK fi_FI nl_NL nl_BE hu_HU hr_HR sl_SI ro_RO
lt_LT lv_LV et_EE tr_TR id_ID is_IS ga_IE az_AZ en_NG yo_NG ig_NG ha_NG en_KE zu_ZA tw_GH sw vi_VN
uz_UZ fr_DZ
"""
# Names of cities and countries, and words that the prose has too seldom.
PLACES = """
paris london berlin vienna roma rome milan milano florence venice sydney melbourne perth adelaide
chelsea brooklyn boston austin houston dallas denver phoenix orlando georgia virginia carolina
dakota america asia africa europe india israel jordan china chad kenya cuba malta cyprus monaco
lisbon madrid valencia santiago cordoba montana arizona nevada alexandria charlotte madison lincoln
jackson victoria sofia odessa geneva java dublin belfast kingston hamilton iran ireland england
scotland wales britain france francia germany holland italia italy spain poland texas savannah
cairo lima santos salvador guadalupe regina lagos accra abuja kigali delhi lahore persia siena
verona lucca ravenna
"""
WORDS = """
will mark grant may april june august summer autumn dawn faith hope grace joy rose lily daisy
violet ivy amber ruby pearl jade crystal hunter mason taylor carter parker chase dale glen heath
bill bob rob drew max guy art ray gene earl frank
"""
# Names in some place of the world that would be noise in the texts of agents.
LEFT_OUT = """
the and for not you api json http https sql url test data user admin root null none true false
python java ruby perl scala kotlin julia docker linux debian ubuntu redis kafka spark flink agent
team model judge critic planner runner bot siri alexa cortana claude gemini llama mistral grok gpt
grace kong nova echo delta gamma beta alpha sigma omega apollo atlas titan mercury saturn venus
mars jupiter pluto neptune oracle celeste azure amber cloud
"""
_NAME = re.compile(r"[^\W\d_]{3,}(?:[-'\u2019][^\W\d_]{2,})*")
_PROSE = re.compile(r"(?<=[a-z,] )[a-z]{3,}(?=[ ,.;])")


def faker_names() -> tuple[set[str], set[str]]:
    given: set[str] = set()
    family: set[str] = set()
    for locale in LOCALES.split():
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        for attribute in dir(provider):
            values = getattr(provider, attribute)
            skipped = any(part in attribute for part in ("format", "prefix", "suffix"))
            if skipped or not isinstance(values, tuple | list | dict | set):
                continue
            if any(isinstance(value, tuple | list) for value in values):
                continue
            words = {word for value in values for word in str(value).split()}
            words = {word.lower() for word in words if _NAME.fullmatch(word) and word[0].isupper()}
            if "first" in attribute or "given" in attribute:
                given |= words
            elif any(part in attribute for part in ("last", "surname", "family")):
                family |= words
    return given, family


def ambiguous(names: set[str]) -> set[str]:
    """Those that are also words of English."""
    nlp = load_full(None)
    lookups = nlp.get_pipe("lemmatizer").lookups
    lexicon = {
        word
        for table in ("lemma_index", "lemma_exc")
        for words in lookups.get_table(table).values()
        for word in words
    }
    seen: Counter[str] = Counter()
    library = Path(sysconfig.get_path("purelib"))
    for root, pattern in (
        (library, "*.dist-info/METADATA"),
        (Path(sysconfig.get_path("stdlib")), "**/*.py"),
    ):
        for file in root.glob(pattern):
            seen.update(_PROSE.findall(file.read_text("utf-8", "ignore")))
    stops = nlp.Defaults.stop_words
    return {name for name in names if name in stops or seen[name] >= (1 if name in lexicon else 6)}


def main() -> None:
    given, family = faker_names()
    out, places = set(LEFT_OUT.split()), set(PLACES.split())
    words = ambiguous(given | family) | places
    lists = {
        "given": given - words - out,
        "family": family - words - out,
        "given_words": (given & words - out) | set(WORDS.split()) - given,
        "family_words": family & words - out,
    }
    about = "See benchmarks/pii/names.py, and names.LICENSE for Faker's licence (MIT)."
    document = {"about": about, **{key: " ".join(sorted(value)) for key, value in lists.items()}}
    json.dump(document, sys.stdout, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    main()
