"""What the sections of the configuration are made of: their base class and the types of their values."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationInfo
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """One mapping of the file. Unknown keys are errors; the loaded section cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value is called in the reference and in messages."""

    label: str


# In a message of ours, the place of the offending value as the file spells it.
VALUE = "{value}"


def refuse(message: str, hint: str) -> NoReturn:
    """Reject a value. ``message`` may contain ``VALUE``; ``hint`` becomes the suggestion."""
    raise PydanticCustomError("refused", message, {"hint": hint})


_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:us|µs|ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(us|µs|ms|s|m|h|d)")
_MAX_DURATION_S = 366 * 86400.0


def parse_duration(value: Any) -> float:
    """Seconds from ``"30s"``, ``"1m30s"``, ``"500ms"`` or a plain number of seconds."""
    seconds = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(min(value, 2 * _MAX_DURATION_S))
    elif isinstance(value, str):
        text = value.strip().replace(" ", "")[:64]
        if re.fullmatch(r"\d+(?:\.\d+)?", text):
            seconds = float(text)
        elif _DURATION.fullmatch(text):
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    if math.isnan(seconds):
        refuse(f"{VALUE} is not a duration.", 'Write "30s", "500ms", "1m" or a number of seconds.')
    if not 0 < seconds <= _MAX_DURATION_S:
        refuse(f"{VALUE} is not a usable duration.", "It must be longer than nothing and no longer than a year.")
    return seconds


_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"(\d{1,15})\s*([A-Za-z]*)")


def parse_size(value: Any) -> int:
    """Bytes from ``"16 MiB"``, ``"64kB"`` or a plain number."""
    match = _SIZE.fullmatch(str(value).strip()) if isinstance(value, (int, str)) else None
    if isinstance(value, bool) or match is None or match[2].upper() not in _BYTES:
        refuse(f"{VALUE} is not a size.", 'Write a number of bytes, or "16 MiB".')
    size = int(match[1]) * _BYTES[match[2].upper()]
    if size < 1:
        refuse(f"{VALUE} leaves no room for anything.", 'Write a number of bytes, or "16 MiB".')
    return size


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        refuse(f"{VALUE} is not a number.", "Write a number.")
    return value


def check_url(value: str) -> str:
    """An absolute http or https URL that requests can be sent below; its trailing slash is dropped."""
    return _url(value, ("http", "https"), "http://localhost:10510")


def check_grpc_address(value: str) -> str:
    """``host:port`` from ``host:port`` or ``grpc://host:port``."""
    if value.startswith(("http://", "https://")):
        refuse(f"{VALUE} is an HTTP URL; Triton is asked over gRPC.", "Give its gRPC address, as in `triton:8001`.")
    address = value.removeprefix("grpc://").rstrip("/")
    parts = _split_url(f"grpc://{address}")
    if parts is None or parts[1] is None or parts[2]:
        refuse(f"{VALUE} is not a gRPC address.", "Write a host and port, as in `triton:8001`.")
    return address


def check_host_port(value: str) -> str:
    """``host`` or ``host:port``; a scheme in front belongs into ``protocol``."""
    if "://" in value:
        refuse(f"{VALUE} has a scheme.", "Write `host:port`, and the scheme as `protocol: http` or `https`.")
    parts = _split_url(f"http://{value}")
    if parts is None or parts[2]:
        refuse(f"{VALUE} is not a host with an optional port.", "Write it as in `api.example.com:443`.")
    return value


def _url(value: str, schemes: tuple[str, ...], example: str) -> str:
    scheme, separator, _ = value.partition("://")
    if not separator:
        refuse(f"{VALUE} is not a URL.", f"Write scheme, host and port, as in `{example}`.")
    if scheme.lower() not in schemes:
        refuse(f"{VALUE} has a scheme that is not used here.", f"Use {' or '.join(schemes)}, as in `{example}`.")
    if _split_url(value) is None:
        refuse(f"{VALUE} is not a URL.", f"Write scheme, host and port, as in `{example}`.")
    parts = urlsplit(value)
    if parts.username is not None or parts.password is not None:
        refuse("The URL contains credentials.", "Move them into `headers` or `access_key`: URLs end up in logs.")
    if parts.query or parts.fragment:
        refuse(f"{VALUE} has a query or a fragment.", "Leave them out: the path of the API is put behind this URL.")
    return value.rstrip("/")


def _split_url(value: str) -> tuple[str, int | None, str] | None:
    """Host, port and path, ``None`` when there is no valid host and port."""
    if re.search(r"[\s\\]", value):
        return None
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
        if "[" in parts.netloc:
            ipaddress.IPv6Address(host or "")
    except ValueError:
        return None
    if not host or port == 0 or not re.fullmatch(r"[\w.:%-]+", host) or parts.netloc.endswith(":"):
        return None
    return host, port, parts.path


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def check_header_name(value: str) -> str:
    """A header field name of RFC 9110, section 5.1."""
    if not _HEADER_NAME.fullmatch(value):
        refuse(f"{VALUE} is not the name of a header.", "Use letters, digits and dashes, as in `x-user-id`.")
    return value


def _check_headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name):
            refuse(f"`{name[:60]}` is not the name of a header.", "Use letters, digits and dashes, as in `x-user-id`.")
        if re.search(r"[\r\n\0]", text):
            refuse(f"The value of the header `{name}` has line breaks.", "Write it in one line.")
    return value


def _below_config(value: Path, info: ValidationInfo) -> Path:
    # Relative to the file, not to where the command happens to run.
    directory = (info.context or {}).get("directory")
    return Path(directory) / value.expanduser() if directory is not None else value


Duration = Annotated[float, BeforeValidator(parse_duration), Kind("duration")]
Size = Annotated[int, BeforeValidator(parse_size), Kind("size")]
Whole = Annotated[int, BeforeValidator(_no_truth_value), Kind("whole number")]
Number = Annotated[float, BeforeValidator(_no_truth_value), Field(allow_inf_nan=False), Kind("number")]
Score = Annotated[float, BeforeValidator(_no_truth_value), Field(ge=0, le=1), Kind("number from 0 to 1")]
Port = Annotated[int, BeforeValidator(_no_truth_value), Field(ge=1, le=65535), Kind("port")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^\S(.*\S)?$"), Kind("name")]
Text = Annotated[str, StringConstraints(min_length=1), Kind("text")]
Url = Annotated[str, AfterValidator(check_url), Kind("URL")]
GrpcAddress = Annotated[str, AfterValidator(check_grpc_address), Kind("host:port")]
HostPort = Annotated[str, AfterValidator(check_host_port), Kind("host[:port]")]
HeaderName = Annotated[str, AfterValidator(check_header_name), Kind("header name")]
# Values may be credentials: keep a field of this type out of `repr` with `Field(repr=False)`.
Headers = Annotated[dict[str, str], AfterValidator(_check_headers), Kind("header name → value")]
FilePath = Annotated[Path, AfterValidator(_below_config), Kind("path")]
