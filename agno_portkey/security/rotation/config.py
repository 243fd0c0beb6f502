"""`keys.yaml`: which keys there are, what makes them, and where their values are kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agno_portkey.errors import ConfigurationError, WrongEnvironment
from agno_portkey.routing.keys.names import looks_secret
from agno_portkey.secrets import EncryptedFile, FileSecrets, KeyringSecrets, WritableSource
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.security.rotation.admin import admin_client
from agno_portkey.security.rotation.makers import (
    ApiKeyMaker,
    IntegrationMaker,
    Made,
    Maker,
    VirtualKeyMaker,
)
from agno_portkey.security.rotation.probing import ModelProbe
from agno_portkey.security.rotation.rotation import DRAIN, Rotation
from agno_portkey.security.rotation.told import KeyStatus
from agno_portkey.settings import HOSTED_URL

if TYPE_CHECKING:
    from portkey_ai import Portkey

__all__ = ["KeysFile"]

# What a text such as `my_keys:new_key` names.
Resolve = Callable[[str], Any]

Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(ge=0, lt=1e9, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Admin(_Part):
    """How Portkey's admin API is reached; the key stands in an environment variable."""

    key_variable: Text = "PORTKEY_ADMIN_API_KEY"
    base_url: Text = HOSTED_URL
    timeout: Annotated[float, Field(gt=0, lt=3600)] = 30.0

    @field_validator("key_variable")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if looks_secret(value) or not value.isidentifier():
            raise ValueError("the name of an environment variable, never a key itself")
        return value

    def client(self) -> Portkey:
        key = Hidden(os.environ.get(self.key_variable, ""))
        if not key.strip():
            raise ConfigurationError(
                f"environment variable {self.key_variable}: set it to a key of Portkey that may "
                "manage keys (`portkey.key_variable` in keys.yaml names another)"
            )
        return admin_client(Hidden(key.strip()), base_url=self.base_url, timeout=self.timeout)


class _Options(_Part):
    """What the SDK's `create` takes besides what is said elsewhere."""

    options: dict[str, Any] = {}

    @field_validator("options")
    @classmethod
    def _is_no_other_s(cls, options: dict[str, Any]) -> dict[str, Any]:
        if "key" in options:
            raise ValueError("key: a key itself does not belong here; new_key gives it")
        own = {"client", "name", "slug", "functions", *cls.model_fields}
        if taken := sorted(own & options.keys()):
            raise ValueError(f"{taken[0]} is not said here")
        return options


class _ApiKey(_Options):
    kind: Literal["api_key"]
    type: Text = "workspace"
    sub_type: Text = "service"

    def maker(self, client: Portkey, resolve: Resolve) -> Maker:
        return ApiKeyMaker(client, type=self.type, sub_type=self.sub_type, **self.options)


class _Slug(_Options):
    new_key: Text
    drop_key: Text | None = None

    def functions(self, resolve: Resolve) -> dict[str, Any]:
        drop = None if self.drop_key is None else resolve(self.drop_key)
        return {"new_key": resolve(self.new_key), "drop_key": drop, **self.options}


class _Integration(_Slug):
    kind: Literal["integration"]
    ai_provider_id: Text
    workspaces: tuple[Text, ...] = ()

    def maker(self, client: Portkey, resolve: Resolve) -> Maker:
        of, into = self.ai_provider_id, self.workspaces
        functions = self.functions(resolve)
        return IntegrationMaker(client, ai_provider_id=of, workspaces=into, **functions)


class _VirtualKey(_Slug):
    kind: Literal["virtual_key"]
    provider: Text

    def maker(self, client: Portkey, resolve: Resolve) -> Maker:
        return VirtualKeyMaker(client, provider=self.provider, **self.functions(resolve))


class _Files(_Part):
    kind: Literal["files"]
    folder: Text
    environment: Text | None = None

    def source(self, beside: Path) -> WritableSource:
        return FileSecrets(_placed(self.folder, beside), environment=self.environment)


class _Keyring(_Part):
    kind: Literal["keyring"]
    service: Text = "agno-portkey"
    environment: Text | None = None

    def source(self, beside: Path) -> WritableSource:
        return KeyringSecrets(self.service, environment=self.environment)


class _Encrypted(_Part):
    """An encrypted file, opened with what the variable of `EncryptedFile` holds."""

    kind: Literal["encrypted"]
    path: Text
    environment: Text | None = None

    def source(self, beside: Path) -> WritableSource:
        return EncryptedFile(_placed(self.path, beside), environment=self.environment)


class _Probe(_Part):
    """A call of one token with the new value, as `use` of a PortkeyModel with these settings."""

    model: Text
    use: Literal["api_key", "portkey_api_key", "virtual_key", "portkey_provider"] = (
        "portkey_api_key"
    )
    base_url: Text | None = None
    config: Text | None = None
    portkey_provider: Text | None = None
    custom_host: Text | None = None
    profile: Literal["hosted", "open_source"] | None = None

    def probe(self, at: str) -> ModelProbe:
        """The probe, at the address of the admin API where the file says one and no other."""
        from agno_portkey.model import PortkeyModel

        given = self.model_dump(exclude={"model", "use"}, exclude_none=True)
        if at != HOSTED_URL:
            given = {"base_url": at, **given}
        return ModelProbe(PortkeyModel(self.model, **given), self.use)


class _Key(_Part):
    name: Text
    maker: Annotated[_ApiKey | _Integration | _VirtualKey, Field(discriminator="kind")]
    source: Annotated[_Files | _Keyring | _Encrypted, Field(discriminator="kind")]
    secret: Text | None = None
    current: Text | None = None
    probe: _Probe | None = None
    drain: Seconds = DRAIN
    settle: Seconds = 600.0
    patience: Seconds = 30.0

    def rotation(
        self, maker: Maker, beside: Path, journal: str, probe: ModelProbe | None
    ) -> Rotation:
        return Rotation(
            self.name,
            maker=maker,
            source=self.source.source(beside),
            journal=_placed(journal, beside),
            secret=self.secret,
            current=self.current,
            probe=probe,
            drain=self.drain,
            settle=self.settle,
            patience=self.patience,
        )


class KeysFile(_Part):
    """What a `keys.yaml` says; places in it are beside the file.

    `portkey` is how the admin API is reached, `journal` the folder of the journals, `keys` the keys
    with their names, makers and sources.
    """

    portkey: _Admin = _Admin()
    journal: Text = "key-journals"
    keys: Annotated[tuple[_Key, ...], Field(min_length=1)]

    @field_validator("keys")
    @classmethod
    def _once_each(cls, keys: tuple[_Key, ...]) -> tuple[_Key, ...]:
        names = [key.name for key in keys]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{twice[0]} is there more than once")
        return keys

    @classmethod
    def parse(cls, plain: object, *, where: str = "keys.yaml") -> Self:
        """The file of its plain form; raises ConfigurationError that names the field."""
        if not isinstance(plain, Mapping):
            raise ConfigurationError(f"{where}: a mapping with `keys` is due (docs/guide/keys.md)")
        try:
            return cls.model_validate(plain)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            # Not the kinds of makers and sources, which pydantic has in its paths.
            kinds = ("api_key", "integration", "virtual_key", "files", "keyring", "encrypted")
            path = ".".join(str(part) for part in first["loc"] if part not in kinds)
            said = first["msg"].removeprefix("Value error, ")
            raise ConfigurationError(f"{where}: {path or 'keys'}: {said}") from None

    @contextmanager
    def rotations(self, beside: Path, *, resolve: Resolve) -> Iterator[dict[str, Rotation]]:
        """A Rotation for each key, by name, with a client that is closed at the end.

        `resolve` finds the functions that the file names. Raises ConfigurationError,
        WrongEnvironment and MissingExtraError.
        """
        with self.portkey.client() as client:
            yield {
                key.name: key.rotation(
                    key.maker.maker(client, resolve),
                    beside,
                    self.journal,
                    key.probe.probe(self.portkey.base_url) if key.probe is not None else None,
                )
                for key in self.keys
            }

    def statuses(self, beside: Path) -> dict[str, KeyStatus]:
        """How each key is, by name; needs no key of Portkey, and imports none of your functions."""
        found = {}
        for key in self.keys:
            try:
                found[key.name] = key.rotation(_Nobody(), beside, self.journal, None).status()
            except WrongEnvironment as error:
                raise WrongEnvironment(f"{key.name}: {error}") from None
            except ConfigurationError as error:
                raise ConfigurationError(f"{key.name}: {error}") from None
        return found


class _Nobody:
    """The maker of what is only told of."""

    def create(self, name: str) -> Made:
        raise NotImplementedError

    def delete(self, name: str, id: str | None = None) -> None:
        raise NotImplementedError

    def id_of(self, value: str) -> str | None:
        raise NotImplementedError


def _placed(path: str, beside: Path) -> Path:
    try:
        return beside / Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"{path}: nobody knows whose home that is; give the path"
        ) from None
