"""Recognisers of credentials: keys and tokens of well-known formats, private keys, passwords that are called so.

The formats are those that the issuers document, or that the keys which they hand out have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from router.pii.findings import Finding
from router.pii.patterns import Pattern

_FORMATS = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}",  # AWS access key id
    r"gh[pousr]_[A-Za-z0-9]{36,255}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{22,255}",
    r"gl(?:pat|ptt|dt|rt|soat|agent|cbt|imt|ft)-[\w-]{20,64}",  # GitLab
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}",  # Slack
    r"xapp-\d-[A-Za-z0-9-]{20,250}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,247}",  # Stripe
    r"whsec_[A-Za-z0-9+/=]{24,128}",
    r"sk-[A-Za-z0-9_-]{20,250}",  # OpenAI, Anthropic, OpenRouter, DeepSeek and others
    r"AIza[\w-]{35}",  # Google
    r"GOCSPX-[\w-]{28}",
    r"ya29\.[\w-]{20,512}",
    r"SG\.[\w-]{22}\.[\w-]{43}",  # SendGrid
    r"(?:SK|AC)[0-9a-f]{32}",  # Twilio
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-AgE[\w-]{50,512}",
    r"hf_[A-Za-z0-9]{30,64}",  # Hugging Face
    r"(?:gsk|xai|nvapi|r8|pplx|fw|co|tvly|jina|csk|lsv2_pt|lsv2_sk)[_-][A-Za-z0-9_-]{32,200}",  # other model providers
    r"dapi[0-9a-f]{32}(?:-\d)?",  # Databricks
    r"do[opr]_v1_[0-9a-f]{64}",  # DigitalOcean
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",  # Shopify
    r"\d{8,10}:AA[\w-]{33}",  # Telegram bot
    r"lin_api_[A-Za-z0-9]{40}",
    r"ntn_[A-Za-z0-9]{40,60}",
    r"(?:hvs|hvb|hvr)\.[\w-]{24,256}",  # HashiCorp Vault
    r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,80}",  # Terraform Cloud
    r"ATATT3[\w=-]{100,300}",  # Atlassian
    r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",  # Postman
    r"NRAK-[A-Z0-9]{27}",  # New Relic
    r"sbp_[0-9a-f]{40}",  # Supabase
    r"dckr_pat_[\w-]{27,64}",  # Docker
    r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}",
    r"key-[0-9a-f]{32}",  # Mailgun
    r"trident_[A-Za-z0-9_-]{20,100}",  # this gateway
    r"eyJ[\w-]{8,2000}\.eyJ[\w-]{8,8000}\.[\w-]{8,2000}",  # JSON Web Token
)
_KEY = re.compile(rf"(?<![\w-])(?:{'|'.join(_FORMATS)})(?![\w])")

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=\s\\:,.()]|-(?!----)){0,16000}"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
)
_WEBHOOK = re.compile(
    r"https://(?P<value>hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,120}"
    r"|(?:\w{1,20}\.)?discord(?:app)?\.com/api/webhooks/\d{5,25}/[\w-]{20,120})"
)
_AZURE = re.compile(r"(?<!\w)(?:AccountKey|SharedAccessKey)=(?P<value>[A-Za-z0-9+/]{40,100}={0,2})")
_AWS_SECRET = re.compile(
    r"(?<![A-Za-z])aws.{0,30}?(?:secret|key)[^\n]{0,20}?[=: \"']{1,5}(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?<!\w)(?:Bearer|Basic) (?P<value>[A-Za-z0-9._~+/-]{16,2000}={0,2})(?![\w])")

_NAMED = re.compile(
    r"(?<![A-Za-z])(?:pass(?:word|wd|phrase|code)|pwd|passwort|kennwort|mot de passe|contraseña|api[ _-]?key"
    r"|secret(?:[ _-]key)?|client[ _-]secret|access[ _-]token|auth[ _-]token|private[ _-]token|token|pin(?: code)?)"
    r"(?:[\"']?[ \t]{0,4}(?:=>|:=|[:=])[ \t]{0,4}| (?:is|was|lautet|ist|es|est)(?: now)?:? )"
    r"(?P<quote>[\"'`]?)(?P<value>[^\s\"'`,;<>{}()\[\]]{4,200})",
    re.IGNORECASE,
)
# What stands where a secret would, but is none: variables, masks, types, code.
_STAND_IN = re.compile(
    r"[*•x.X_-]{3,}|\$.*|%.*%|.*\b(?:environ|getenv|process\.env|config|settings|self|None|null|true|false|undefined|your|"
    r"example|placeholder|redacted|changeme|required|optional|string|incorrect|wrong|correct|invalid|valid)\b.*|\w+\.\w+",
    re.IGNORECASE,
)

_URL_LOGIN = re.compile(
    r"(?<![\w+.-])[A-Za-z][A-Za-z0-9+.-]{1,19}://(?P<value>[^\s/:@\"'<>]{0,128}:[^\s/@\"'<>]{1,256})(?=@[\w\[])"
)


def _is_login(value: str) -> bool:
    """Whether the part in front of the @ has a password in it, not the name of a variable."""
    password = value.partition(":")[2]
    return _STAND_IN.fullmatch(password) is None and not password.startswith(("$", "{", "%7B"))


def find_named_secrets(text: str, start: int, end: int) -> Iterator[Finding]:
    """What somebody calls a password or a key: ``password: hunter2``; not words, types or variables in its place."""
    for match in _NAMED.finditer(text, start, end):
        value = match["value"].rstrip(".!?")
        mixed = any(map(str.isdigit, value)) or (match["quote"] and not value.isalpha())
        if len(value) >= 4 and mixed and _STAND_IN.fullmatch(value) is None:
            first = match.start("value")
            yield Finding("SECRET", first, first + len(value), 0.75, value)


SECRETS = (
    Pattern("SECRET", _KEY, 0.97),
    Pattern("SECRET", _PRIVATE_KEY, 1.0),
    Pattern("SECRET", _WEBHOOK, 0.95),
    Pattern("SECRET", _AZURE, 0.97),
    Pattern("SECRET", _AWS_SECRET, 0.95),
    Pattern("SECRET", _BEARER, 0.8, check=lambda value: any(map(str.isdigit, value))),
    Pattern("URL_CREDENTIALS", _URL_LOGIN, 0.95, check=_is_login),
)
