"""Secrets that are known by how they begin: whose they are, and what they look like."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A `kind` of secret: where none of `gates` stands in a text, there is none.

    `pattern` is linear in the length of the text: nothing in it that repeats has a neighbour that
    could take the same characters. `bare`: it may stand within base64, where it means nothing.
    `digits`: how many of them it has at least, as words have none.
    """

    kind: str
    gates: tuple[str, ...]
    pattern: re.Pattern[str] = field(repr=False)
    bare: bool = False
    digits: int = 0


def _rule(kind: str, gates: str, pattern: str, *, bare: bool = False, digits: int = 0) -> Rule:
    return Rule(kind, tuple(gates.split()), re.compile(pattern), bare, digits)


_MODELS = (
    _rule("anthropic key", "sk-ant-", r"sk-ant-[A-Za-z0-9]{3,12}-[A-Za-z0-9_-]{16,}"),
    _rule("openrouter key", "sk-or-", r"sk-or-v\d-[A-Za-z0-9]{32,}"),
    _rule("openai key", "sk-proj- sk-svcacct- sk-admin- T3BlbkFJ",
          r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{16,}|sk-[A-Za-z0-9_-]{16,}"),
    _rule("provider key", "sk-", r"sk-[A-Za-z0-9_-]{20,}", digits=2),
    _rule("groq key", "gsk_", r"gsk_[A-Za-z0-9]{32,}"),
    _rule("xai key", "xai-", r"xai-[A-Za-z0-9]{40,}"),
    _rule("perplexity key", "pplx-", r"pplx-[A-Za-z0-9]{32,}"),
    _rule("hugging face token", "hf_ api_org_", r"(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    _rule("replicate token", "r8_", r"r8_[A-Za-z0-9]{32,}"),
    _rule("fireworks key", "fw_", r"fw_[A-Za-z0-9]{20,}", digits=2),
    _rule("together key", "tgp_v1_", r"tgp_v1_[A-Za-z0-9_-]{32,}"),
    _rule("nvidia key", "nvapi-", r"nvapi-[A-Za-z0-9_-]{40,}"),
    _rule("cerebras key", "csk-", r"csk-[A-Za-z0-9]{32,}"),
    _rule("pinecone key", "pcsk_", r"pcsk_[A-Za-z0-9_]{40,}"),
    _rule("langsmith key", "lsv2_", r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{32,}"),
    _rule("tavily key", "tvly-", r"tvly-[A-Za-z0-9-]{20,}", digits=1),
)  # fmt: skip
_CODE = (
    _rule("github token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{30,255}"),
    _rule("github token", "github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
    _rule("gitlab token", "glpat- gldt- glrt- glptt- glcbt- glsoat- glagent- glft- glimt-",
          r"gl(?:pat|dt|rt|ptt|cbt|soat|agent|ft|imt)-[A-Za-z0-9_.-]{18,}"),
    _rule("npm token", "npm_", r"npm_[A-Za-z0-9]{36,}"),
    _rule("pypi token", "pypi-", r"pypi-[A-Za-z0-9_-]{40,}"),
    _rule("rubygems key", "rubygems_", r"rubygems_[a-f0-9]{48}"),
    _rule("crates token", "cio", r"cio[A-Za-z0-9]{32}(?![A-Za-z0-9])", bare=True, digits=2),
    _rule("docker token", "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{24,}"),
    _rule("atlassian token", "ATATT3 ATCTT3", r"AT[AC]TT3[A-Za-z0-9_=-]{60,}"),
    _rule("databricks token", "dapi", r"dapi[a-f0-9]{32}(?:-\d)?(?![A-Za-z0-9])", bare=True),
    _rule("postman key", "PMAK-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    _rule("sentry token", "sntrys_ sntryu_", r"sntry[su]_[A-Za-z0-9+/=_]{40,}"),
    _rule("grafana token", "glsa_ glc_", r"gl(?:sa|c)_[A-Za-z0-9_+/=]{32,}"),
    _rule("new relic key", "NRAK-", r"NRAK-[A-Z0-9]{27}"),
    _rule("figma token", "figd_", r"figd_[A-Za-z0-9_-]{36,}"),
    _rule("notion token", "ntn_", r"ntn_[A-Za-z0-9]{40,}"),
    _rule("linear key", "lin_api_", r"lin_api_[A-Za-z0-9]{36,}"),
    _rule("airtable token", "pat", r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}", bare=True),
)  # fmt: skip
_CLOUD = (
    _rule("aws key id", "AKIA ASIA ABIA ACCA",
          r"A(?:KI|SI|BI|CC)A[A-Z0-9]{16}(?![A-Za-z0-9])", bare=True),
    _rule("bedrock key", "ABSK bedrock-api-key-",
          r"(?:ABSK|bedrock-api-key-)[A-Za-z0-9+/=]{80,}", bare=True),
    _rule("google key", "AIza", r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9])", bare=True),
    _rule("google client secret", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{24,}"),
    _rule("google token", "ya29.", r"ya29\.[A-Za-z0-9_-]{20,}"),
    _rule("google token", "1//0", r"1//0[A-Za-z0-9_-]{40,}"),
    _rule("azure key", "AccountKey= SharedAccessKey=",
          r"(?:Account|SharedAccess)Key=(?P<value>[A-Za-z0-9+/]{32,}={0,2})"),
    _rule("azure signature", "sig=", r"sig=(?P<value>[A-Za-z0-9%+/]{40,}(?:%3[Dd]|=)+)"),
    _rule("azure client secret", "7Q~ 8Q~", r"[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}"),
    _rule("azure openai key", "JQQJ99", r"[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{26}"),
    _rule("aws signature", "X-Amz-Signature=", r"X-Amz-Signature=(?P<value>[a-f0-9]{64})"),
    _rule("digitalocean token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _rule("vault token", "hvs. hvb. hvr.", r"hv[sbr]\.[A-Za-z0-9_-]{24,}"),
    _rule("terraform token", ".atlasv1.",
          r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}"),
    _rule("doppler token", "dp.",
          r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,}"),
    _rule("supabase key", "sbp_ sb_secret_", r"(?:sbp_[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{20,})"),
    _rule("planetscale token", "pscale_", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{30,}"),
    _rule("fly token", "fm1 fm2_", r"fm[12][ar]?_[A-Za-z0-9+/=_-]{60,}"),
    _rule("heroku key", "HRKU-", r"HRKU-[A-Za-z0-9_-]{36,}"),
    _rule("age key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
)  # fmt: skip
_SERVICES = (
    _rule("slack token", "xoxa- xoxb- xoxc- xoxd- xoxe- xoxe. xoxo- xoxp- xoxr- xoxs-",
          r"xox[a-eoprs][-.][A-Za-z0-9%.-]{10,}", digits=2),
    _rule("slack token", "xapp-", r"xapp-\d-[A-Za-z0-9-]{20,}"),
    _rule("slack webhook", "hooks.slack.com/",
          r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<value>[A-Za-z0-9/]{30,})"),
    _rule("discord webhook", "/api/webhooks/",
          r"/api/webhooks/\d{15,21}/(?P<value>[A-Za-z0-9_-]{50,})"),
    _rule("discord token", "M N O",
          r"[MNO][A-Za-z0-9_-]{22,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}(?![A-Za-z0-9])",
          bare=True, digits=2),
    _rule("teams webhook", "/IncomingWebhook/",
          r"/IncomingWebhook/(?P<value>[a-f0-9]{32}/[a-f0-9-]{36})"),
    _rule("telegram token", ":AA", r"(?:bot)?(?P<value>\d{8,10}:AA[A-Za-z0-9_-]{32,35})"),
    _rule("stripe key", "k_live_ k_test_", r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    _rule("webhook secret", "whsec_", r"whsec_[A-Za-z0-9+/=]{24,}"),
    _rule("sendgrid key", "SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    _rule("mailgun key", "key-", r"key-[a-f0-9]{32}(?![A-Za-z0-9])"),
    _rule("mailchimp key", "-us", r"[a-f0-9]{32}-us\d{1,2}(?![A-Za-z0-9])"),
    _rule("twilio key", "SK", r"SK[a-f0-9]{32}(?![A-Za-z0-9])", bare=True),
    _rule("shopify token", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _rule("square token", "sq0", r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,}"),
    _rule("square token", "EAAA", r"EAAA[A-Za-z0-9_-]{60}(?![A-Za-z0-9])", bare=True, digits=2),
    _rule("facebook token", "EAA", r"EAA[A-Za-z0-9]{90,}", bare=True, digits=2),
    _rule("mapbox token", "sk.eyJ", r"sk\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{16,}"),
    _rule("json web token", "eyJ",
          r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"
          r"|eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,2}(?:\.[A-Za-z0-9_-]{8,}){2}"),
    _rule("private json web key", '"d"', r'"d"\s{0,4}:\s{0,4}"(?P<value>[A-Za-z0-9_-]{40,})"'),
)  # fmt: skip

RULES = (*_MODELS, *_CODE, *_CLOUD, *_SERVICES)
