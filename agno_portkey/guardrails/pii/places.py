"""Postal addresses, which are found as a whole, and postal codes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agno_portkey.guardrails.pii.detector import Detector
from agno_portkey.guardrails.pii.words import COUNTRIES, NOT_PLACES, PEOPLES, TECHNICAL

__all__ = [
    "AddressDetector",
    "CountryDetector",
    "PeopleDetector",
    "PlaceCueDetector",
    "SmallAddressDetector",
    "StateDetector",
    "ZipDetector",
]

_L = r"[^\W\d_]"
_CAP = rf"(?:[^\W\d_a-zß-öø-ÿ]{_L}{{0,30}}(?:['\u2019\-.]{_L}{{1,30}}){{0,3}}\.?)"
_SMALL = (
    r"(?:de|da|do|dos|das|del|della|di|du|la|le|las|los|les|l'|d'|van|von|der|den|des|of|the|am|"
    r"an|im|zum|zur|y|e|a)"
)
_KIND = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Pl|"
    r"Terrace|Tce|Close|Crescent|"
    r"Cres|Square|Sq|Squares|Highway|Hwy|Parkway|Pkwy|Trail|Trl|Circle|Cir|Loop|Row|Mews|Gardens|"
    r"Grove|Quay|Alley|Pass|Passage|Points?|"
    r"Forges?|Walk|Rise|View|Ridge|Crossing|Plaza|Turnpike|Pike|Run|Path|Heights|Hills?|Manor|"
    r"Landing|Green|Vale|Parade|Esplanade|Promenade|Wharf)\b\.?"
)
_BEFORE_KIND = (
    r"(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Cc]hemin|[Aa]ll[ée]e|[Pp]lace|[Qq]uai|[Vv]ia|[Vv]iale|"
    r"[Pp]iazza|[Cc]orso|[Cc]alle|C/|[Aa]venida|"
    r"Av\.|[Pp]aseo|[Pp]laza|[Rr]ua|[Tt]ravessa|[Pp]raça|[Uu]l\.|[Uu]lica|[Aa]l\.|[Ss]trada|[Bb]ulevardul|[Cc]arrer|[Ll]argo|[Vv]icolo|[Cc]alea|[Nn]ám\.|Jalan|Jl\.|"
    r"[Pp]rospekt|Karl-|Am|An "
    r"der|Zum)"
)
_SUFFIX = (
    r"(?:stra(?:ß|ss)e|str\.|gasse|weg|platz|allee|ring|damm|ufer|gatan|vägen|gränd|veien|vegen|"
    r"gata|gate|vej|gade|stræde|allé|"
    r"katu|tie|kuja|polku|straat|laan|plein|gracht|kade|weg|dijk|hof|utca|tér|út|köz|ova|ského|"
    r"nám|stígur|gata|vegur|braut|sgata)"
)
_NUMBER = r"\d{1,6}(?:[ \-/]?[A-Za-z]\b|[\-/]\d{1,5})?"
_UNIT = (
    r"(?:[ ,\n\t>?]{1,8}(?:[Aa]pt|[Ss]uite|[Ss]te|[Uu]nit|[Ff]lat|[Ff]loor|[Rr]oom|APT|SUITE|Top|"
    r"Stiege)\.? #?(?:\d{1,5}[A-Za-z]?|[A-Z]\d{0,4})\b"
    r"|,? #\d{1,5}(?:-\d{1,5})?\b)(?: [A-ZÀ-Þ]{3,}\b){0,3}"
)
_SIDE = r"(?: (?:Upper|Lower|North|South|East|West|[NS][EW]|[NSEW])\b\.?)?"
# A flat before the number of its house.
_INSIDE = (
    r"(?:[Ff]lat|[Uu]nit|[Aa]pt\.?|[Aa]partment|[Ss]uite|[Rr]oom|[Ll]evel|[Ff]loor|[Ss]hop) "
    r"[A-Za-z]?\d{0,4}[A-Za-z]?(?:, ?|/|, Level \d{1,2}, )"
)
_WORDS = rf"{_CAP}(?: (?:{_CAP}|{_SMALL}(?= ))){{0,5}}"
# Up to four further parts of a place: town, region, country and code, on lines or after commas.
_CODE = (
    r"(?:\d{4,6}(?:[ \-]\d{2,4})?|\d{3}-\d{4}|[A-Z]{1,2}\d{1,2}[A-Z]? ?\d[A-Z]{2}|\d{3} \d{2}|"
    r"\d{4} ?[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d)"
)
_PLAIN = (
    rf"(?:(?:St|Ft|Mt)\. {_L}{{1,30}}|"
    rf"[^\W\d_a-zß-öø-ÿ]{_L}{{0,30}}(?:['\u2019\-]{_L}{{1,30}}){{0,3}})"
)
_TOWN = (
    rf"(?:(?:{_PLAIN}(?:[ \-](?:{_PLAIN}|{_SMALL}(?= )|\({_CAP}\))){{0,3}}|nan|"
    rf"\({_CAP}\))(?![\w:@]))"
)
# The next line of a form: it has a key of its own.
_LABEL = r"[ \t]{0,8}[^\W\d_][^\n:.,]{0,30}(?::|[ ]?\.{3})"
_TAIL = (
    rf"(?:[ \t>?]{{0,6}}(?:,|\n(?!{_LABEL}))(?!\s*\n)[\s>?]{{0,8}}(?:,\s?)?"
    rf"(?:{_CODE}\b ?)?(?:{_TOWN}(?: \d{{1,2}}\b(?![:/\-]|\.\d))?|"
    rf"[A-Z]{{2,3}}\b)?(?:[ \n]{{1,5}}(?:[A-Z]{{2,3}} ){{0,1}}{_CODE}\b)?(?:[ "
    rf"](?:[A-Z]{{2}})\b)?)"
)
# A second name of a street, right before a unit.
_MORE = rf"(?:(?: {_CAP}){{0,2}} {_KIND}|(?: {_CAP}){{1,3}}(?=[\s,>?]{{1,8}}(?:Apt|Suite)\b))?"
_FULL_TAIL = rf"{_MORE}(?:{_UNIT}){{0,2}}{_TAIL}{{0,4}}"


class AddressDetector(Detector):
    """A house number and a street in the usual orders of Europe, America and Oceania."""

    type = "LOCATION"
    gate = re.compile(r"\d|\b[Cc]orner of\b")
    _forms = tuple(
        re.compile(form)
        for form in (
            # 12 Main Street; 27 119 Countess Close Apt. 4
            rf"(?<![\w.\-/])(?:{_INSIDE}(?:{_NUMBER} ){{0,2}}|(?:No\.? ?)?(?:{_NUMBER} ){{1,2}})"
            rf"{_WORDS}?[ ]{_KIND}{_SIDE}{_FULL_TAIL}",
            # Atatürk Cad. No: 12
            rf"(?<![\w.\-/]){_WORDS} (?:Cad|Sok|Sk|Mah|Blv|Bulv)\.? (?:No\.?:? ?)?\d{{1,5}}"
            rf"{_FULL_TAIL}",
            # 2-11-3 Meguro, Meguro-ku
            rf"(?<![\w.\-/])\d{{1,4}}-\d{{1,3}}(?:-\d{{1,3}})? {_CAP}(?=, [^\W\d_a-z])"
            rf"{_TAIL}{{1,4}}",
            # 12 rue de la Paix; via Roma 12
            rf"(?<![\w.\-/])(?:{_NUMBER},? ){{0,2}}\b{_BEFORE_KIND} ?(?:{_SMALL} "
            rf"){{0,2}}{_WORDS}(?:,? (?!\d{{4,5}} [^\W\d_]){_NUMBER}\.?)?{_FULL_TAIL}",
            # Lindenstraße 12; 815 Kaivokatu 34
            rf"(?<![\w.\-/])(?:\d{{1,6}} )?(?:{_CAP} ){{0,2}}[^\W\d_a-z]?{_L}{{2,25}}{_SUFFIX},? "
            rf"{_NUMBER}\.?{_FULL_TAIL}",
            # 5049 Harjukuja 54; 27534 Victor Hugo u. 49.
            rf"(?<![\w.\-/])\d{{2,6}} {_WORDS}(?: u\.)? \d{{1,4}}\.?(?![\w\-/:%]){_FULL_TAIL}",
            r"\b(?:PSC|Unit|CMR) \d{1,5},? Box \d{1,6}(?:\s+(?:APO|FPO|DPO) (?:AA|AE|AP) \d{5})?",
            rf"\b(?:US[A-Z]{{1,3}} )?{_WORDS}\s(?:APO|FPO|DPO) (?:AA|AE|AP) \d{{5}}\b",
            rf"(?:\b\d{{1,6}} )?\b(?:P\.? ?O\.?|Post Office) Box \d{{1,7}}{_FULL_TAIL}",
            rf"\b(?:the )?[Cc]orner of {_WORDS}(?: {_NUMBER}\.?)?(?: St\.?)? and {_WORDS}(?: "
            rf"\d{{1,4}})?(?: St\.?)?",
        )
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for form in self._forms:
            for match in form.finditer(text):
                found = match[0].rstrip(" ,\n\t>?")
                yield match.start(), match.start() + len(found), 0.95


_TOWN_CODE = r"(?:\d{5}(?:-\d{4})?|[a-z]{1,2}\d{1,2}[a-z]? ?\d[a-z]{2})"


class SmallAddressDetector(Detector):
    """A house number and a street, all in lower case."""

    type = "LOCATION"
    gate = re.compile(r"\d[a-z]? [a-z]")
    _form = re.compile(
        r"(?<![\w.\-/])\d{1,5}[a-z]? (?:[nsew] )?(?P<street>[a-z]{3,20}(?: [a-z]{3,20})?) "
        r"(?:street|st|avenue|ave|road|rd|lane|ln|blvd|boulevard|drive|dr|court|ct|close|crescent|"
        r"terrace|way|place)\b(?:,? (?:apt|unit|flat|suite|#) ?\w{1,4})?"
        r"(?P<town>,? [a-z]{3,20}(?: [a-z]{3,20})?(?:,? [a-z]{2})?,? "
        rf"{_TOWN_CODE}\b)?"
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            words = match["street"].split()
            if match["town"] or not any(word in NOT_PLACES for word in words):
                yield match.start(), match.end(), 0.85


class StateDetector(Detector):
    """A town before the letters of a state or province of North America or Australia."""

    type = "LOCATION"
    gate = re.compile(r", ?[A-Z]{2,3}\b")
    # The letters of some are words as well: these need a postal code.
    _form = re.compile(
        rf"(?<![\w@/.])(?P<town>{_PLAIN}(?:[ \-]{_PLAIN}){{0,2}}), ?"
        r"(?:(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|I[ADL]|K[SY]|LA|M[ADINOST]|N[CDEHJMVY]|OH|PA|RI|S[CD]|"
        r"T[NX]|UT|V[AT]|W[AIVY]|AB|BC|MB|N[BLS]|ON|PE|QC|SK|NSW|VIC|QLD|TAS)\b"
        r"(?: \d{5}(?:-\d{4})?\b|,? [A-Z]\d[A-Z] ?\d[A-Z]\d\b| \d{4}\b)?"
        r"|(?:IN|OK|OR|ME|HI|MO|AL) \d{5}(?:-\d{4})?\b)"
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            words = match["town"].lower().split()
            if not any(word in NOT_PLACES for word in words):
                yield match.start(), match.end(), 0.85


class ZipDetector(Detector):
    """Postal codes after words that say so, or after the letters of a state."""

    type = "LOCATION"
    gate = re.compile(r"\d")
    _form = re.compile(
        r"(?:\b[Zz][Ii][Pp](?:[ _]?[Cc]odes?)?|\b[Pp]ost(?:al)?[ _]?[Cc]ode)[\"']?(?: is|:| "
        r"=)?[\s\"']{0,3}(?P<code>[A-Z]{0,2}\d[A-Z\d]{0,5}(?:[ \-][A-Z\d]{2,4})?)\b"
        # Two letters before five figures are as often what a ticket is called.
        r"|(?:(?<=[^\W\d_], )(?!ID|PR)[A-Z]{2}|\b(?:A[AEKLPRSZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ALN]|"
        r"K[SY]|LA|M[ADEINOPST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AIT]|W[AIVY]|ID(?= 83)|"
        r"PR(?= 00))) (?P<us>\d{5}(?:-\d{4})?)\b"
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            group = "code" if match["code"] else "us"
            yield match.start(group), match.end(group), 0.8


# A full stop after a word that is no abbreviation.
_SENTENCE = re.compile(rf"(?<={_L}{{4}})\.(?= )")


class PlaceCueDetector(Detector):
    """What follows `lives in`, `moved to` and the like."""

    type = "LOCATION"
    _form = re.compile(
        r"\b(?:(?:live|living|lives|lived|based|located|grew up|born|offices?|headquartered|"
        r"resid(?:e|es|ing)|staying|stationed) in|"
        r"(?:moved?|moving|travel(?:s|ling|ing|led|ed)?|fl[ey]w?|flying|relocat(?:e|ed|ing)|"
        r"return(?:ed|ing)?|commutes?|drove|driving|trip) (?:here |back |over )?(?:to|from)|"
        r"(?:originally|here|am|is|are|comes?|hails?) from|home city|arrived (?:in|at)|city of|"
        r"town of|village of|born at|Where:|City:)"
        rf" (?P<place>(?:{_CAP}|of|de|la|le|du|el|del|upon|nad)(?:[ \-](?:{_CAP}|(?:of|de|la|le|"
        rf"du|el|del|upon|nad)(?= ))){{0,3}})"
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            place = _SENTENCE.split(match["place"])[0]
            words = place.rstrip(".").lower().split()
            if not all(word in NOT_PLACES for word in words) and words[0] not in TECHNICAL:
                end = match.start("place") + len(place) - place.endswith(".")
                if text[end : end + 1] not in ("_", "/", "=", "(", "@"):
                    yield match.start("place"), end, 0.88


class CountryDetector(Detector):
    """Names of countries."""

    type = "LOCATION"
    _form = re.compile(
        r"\b(?=[A-Z])(?:" + "|".join(sorted(COUNTRIES, key=len, reverse=True)) + r")\b",
        re.IGNORECASE,
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            if match[0][0].isupper() and text[match.end() : match.end() + 1] not in ("_", "/", "="):
                yield match.start(), match.end(), 0.8


class PeopleDetector(Detector):
    """What the people of a country or religion are called."""

    type = "NRP"
    _form = re.compile(
        r"\b(?:" + "|".join(sorted(PEOPLES, key=len, reverse=True)) + r")s?\b", re.IGNORECASE
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            yield match.start(), match.end(), 0.8
