"""Build the lists of names that the recogniser of names knows, from the locales of Faker (MIT).

Which of them are words or places as well is said by `name_words.txt`: those that were in the word
list of the English spaCy model (WordNet) and in technical prose in lower case, and names of cities.
It is kept, so that each run has the same outcome; a name of a later Faker is judged by hand.

    pip install faker==40.63.0 && python -m benchmarks.pii.names > names.json
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

LOCALES = """

en_US en_GB en_IE en_NZ en_IN de_DE de_AT de_CH fr_FR fr_CH fr_CA es_ES es_MX es_AR es_CO es_CL
it_IT pt_BR pt_PT pl_PL cs_CZ sk_SK sv_SE no_NO da_DK fi_FI nl_NL nl_BE hu_HU hr_HR sl_SI ro_RO
lt_LT lv_LV et_EE tr_TR id_ID is_IS ga_IE az_AZ en_NG yo_NG ig_NG ha_NG en_KE zu_ZA tw_GH sw vi_VN
uz_UZ fr_DZ
"""
# Given names that Faker does not have.
MORE_GIVEN = "art heath will"
# Names in some place of the world that would be noise in the texts of agents.
LEFT_OUT = """
the and for not you api json http https sql url test data user admin root null none true false
python java ruby perl scala kotlin julia docker linux debian ubuntu redis kafka spark flink agent
team model judge critic planner runner bot siri alexa cortana claude gemini llama mistral grok gpt
grace kong nova echo delta gamma beta alpha sigma omega apollo atlas titan mercury saturn venus
mars jupiter pluto neptune oracle celeste azure amber cloud
"""
_NAME = re.compile(r"[^\W\d_]{3,}(?:[-'\u2019][^\W\d_]{2,})*")
_WORDS = Path(__file__).with_name("name_words.txt")


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


def main() -> None:
    given, family = faker_names()
    out, words = set(LEFT_OUT.split()), set(_WORDS.read_text("utf-8").split())
    lists = {
        "given": given - words - out,
        "family": family - words - out,
        "given_words": given & words | set(MORE_GIVEN.split()),
        "family_words": family & words,
    }
    about = (
        "Given and family names in lower case, from the locales of Faker (MIT, see names.LICENSE). "
        "Those of *_words are words or places as well. Built by benchmarks/pii/names.py."
    )
    document = {"about": about, **{key: " ".join(sorted(value)) for key, value in lists.items()}}
    json.dump(document, sys.stdout, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    main()
