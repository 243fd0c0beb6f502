"""Routes from and to text: YAML of our own form, and the gateway's JSON config.

The YAML has the names of the classes' fields, and `mode` says which strategy it is:

```yaml
mode: fallback
targets:
  - provider: openai
    api_key: ${OPENAI_API_KEY}
    model: gpt-4o
    timeout: {answer: 30, first_token: 5}
  - mode: loadbalance
    sticky: user
    targets: [...]
```
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from agno_portkey.documents import parse, read_text
from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.from_gateway import from_config
from agno_portkey.routing.config.leaves import ROOT
from agno_portkey.routing.config.parts import GatewayCheck, Part, PartError, join_path, part_error
from agno_portkey.routing.config.query import Query
from agno_portkey.routing.config.references import is_reference
from agno_portkey.routing.config.routes import Document, Route

__all__ = [
    "from_config",
    "from_yaml",
    "is_path",
    "json_schema",
    "read_yaml",
    "to_mapping",
    "to_yaml",
]

_SUFFIXES = (".yaml", ".yml", ".json")
# Parameters of guardrail checks that hold keys or headers.
_SECRET_PARAMETERS = frozenset(
    {"apikey", "authorization", "credentials", "headers", "password", "secret", "token"}
)
_FIRST = ("mode", "name", "provider", "api_key", "model")
_STRATEGIES = ("Single", "Fallback", "LoadBalance", "Conditional")


def from_yaml(source: str | Path) -> Route:
    """The route of a YAML text, or of the file at a path (a `Path`, or a text that ends as one).

    The gateway's own form is read as well. Whatever does not fit, unknown and doubled keys
    included, raises ConfigurationError with its path.
    """
    try:
        return _route_of(read_yaml(source, root=ROOT, what="route"))
    except RecursionError:
        raise _too_deep(ROOT) from None


def read_yaml(source: str | Path, *, root: str, what: str) -> Any:
    """The plain data of a YAML text, or of the file at a path, all of its keys texts.

    Doubled keys and aliases are refused. `root` and `what` are for errors: what the paths of keys
    begin with, and what was to be read.
    """
    try:
        data = parse(_text_of(source, what))
        _refuse_odd_keys(data, (), root)
    except RecursionError:
        raise _too_deep(root) from None
    return data


def is_path(source: str | Path) -> bool:
    """Whether `source` is the path of a file: a `Path`, or a text that ends as one."""
    return isinstance(source, Path) or ("\n" not in source and source.endswith(_SUFFIXES))


def _too_deep(root: str) -> ConfigurationError:
    return ConfigurationError(f"{root}: it is nested too deeply")


def _route_of(data: Any) -> Route:
    if isinstance(data, dict) and ("strategy" in data or "request_timeout" in data):
        return from_config(data)
    fields: dict[str, Any] = {"config": data}
    try:
        return Document(**fields).config
    except PartError as error:
        problems = [(path[1:], why) for path, why in error.problems]
    raise part_error(ROOT, problems)


def to_yaml(route: Route) -> str:
    """The YAML of `route`; a secret that is no `${NAME}` raises ConfigurationError."""
    text: str = yaml.safe_dump(to_mapping(route), sort_keys=False, allow_unicode=True)
    return text


def to_mapping(route: Route) -> dict[str, Any]:
    """What the YAML of `route` says, in plain types; a literal secret raises as in `to_yaml`."""
    return _plain(route, ())


def json_schema() -> dict[str, Any]:
    """The JSON schema of the YAML form, for editors."""
    schema = Document.model_json_schema()
    for name in _STRATEGIES:
        # What has no mode is a target.
        schema["$defs"][name]["required"].append("mode")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": schema["$defs"],
        **schema["properties"]["config"],
    }


def _text_of(source: str | Path, what: str) -> str:
    if isinstance(source, str) and not is_path(source):
        return source
    try:
        return read_text(source)
    except ConfigurationError as error:
        why = str(error).removeprefix(f"{source}: ")
        raise ConfigurationError(f"can't read the {what} in {source}: {why}") from None


def _refuse_odd_keys(data: object, path: tuple[str | int, ...], root: str) -> None:
    """Refuse keys that are no text, which YAML has and JSON has not."""
    for key, value in data.items() if isinstance(data, dict) else ():
        if not isinstance(key, str):
            raise ConfigurationError(
                f"{join_path(root, path)}: the key {key!r} is no text; quote it"
            )
        _refuse_odd_keys(value, (*path, key), root)
    for index, value in enumerate(data if isinstance(data, list) else ()):
        _refuse_odd_keys(value, (*path, index), root)


def _plain(part: Part, path: tuple[str | int, ...]) -> dict[str, Any]:
    """`part` in plain types; what is left at its default is left out."""
    plain: dict[str, Any] = {}
    fields = type(part).model_fields
    for name in sorted(fields, key=_order):
        field, value = fields[name], getattr(part, name)
        if name == "mode" or value != field.get_default(call_default_factory=True):
            plain[name] = _value(value, (*path, name))
    if isinstance(part, GatewayCheck):
        _refuse_secrets(part.parameters, (*path, "parameters"))
    return plain


def _order(name: str) -> int:
    """First what tells targets apart, last what is below."""
    if name in _FIRST:
        return _FIRST.index(name)
    return len(_FIRST) + (name in ("target", "targets"))


def _value(value: object, path: tuple[str | int, ...]) -> Any:
    if isinstance(value, Part):
        return _plain(value, path)
    if isinstance(value, Query):
        return value.as_json()
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        if not is_reference(text):
            raise _literal(path)
        return text
    if isinstance(value, tuple):
        return [_value(each, (*path, index)) for index, each in enumerate(value)]
    return value


def _refuse_secrets(value: object, path: tuple[str | int, ...], *, secret: bool = False) -> None:
    """Refuse texts, however deep, under a name that stands for a secret."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            named = str(name).replace("_", "").lower() in _SECRET_PARAMETERS
            _refuse_secrets(each, (*path, str(name)), secret=secret or named)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _refuse_secrets(each, (*path, index), secret=secret)
    elif secret and isinstance(value, str) and not is_reference(value):
        raise _literal(path)


def _literal(path: tuple[str | int, ...]) -> ConfigurationError:
    return ConfigurationError(
        f"{join_path(ROOT, path)}: a secret is not written to a file; put it into an environment "
        "variable and refer to it as ${NAME}"
    )
