"""Targets at the embedded provider, and models that reach a route through the real gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agno_portkey.model import PortkeyModel
from agno_portkey.routing import Recovery, Route, Target, local_install
from agno_portkey.routing.local import GATEWAY_VERSION, LocalGateway
from agno_portkey.testing import EmbeddedProvider

_PACKAGE = Path(local_install.__file__).parent / "gateway_package"
QUICK = Recovery(
    wait=0.01, first_token_timeout=0.4, stream_idle_timeout=0.4, answer_timeout=0.4
)  # fmt: skip


@pytest.fixture
def target(portkey_provider: EmbeddedProvider) -> Callable[..., Target]:
    """Makes targets at the embedded provider, told apart by their model."""

    def make(model: str, **more: Any) -> Target:
        here = {"provider": "openai", "api_key": "k", "custom_host": portkey_provider.url}
        return Target(model=model, **{**here, **more})

    return make


@pytest.fixture
def through(portkey_gateway: LocalGateway) -> Callable[..., PortkeyModel]:
    """Makes models that reach a route through the real gateway."""

    def make(route: Route | None, **more: Any) -> PortkeyModel:
        return PortkeyModel(
            base_url=portkey_gateway.url, config=route, **{"recovery": QUICK, **more}
        )

    return make


@pytest.fixture
def asking_once(portkey_model: PortkeyModel) -> None:
    """The model asks once, so that each fault is met as it is."""
    portkey_model.recovery = Recovery(attempts=1)


# Local gateways


@pytest.fixture(scope="module")
def gateway() -> Iterator[LocalGateway]:
    with LocalGateway() as running:
        yield running


@pytest.fixture
def fake_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """An install that counts as whole, whose gateway is a script of the test's."""

    def build(script: str) -> Path:
        monkeypatch.setenv("AGNO_PORTKEY_CACHE_DIR", str(tmp_path))
        folder = local_install.install_folder()
        texts = {
            local_install.ENTRY: script,
            local_install.PRELOAD: (_PACKAGE / local_install.PRELOAD).read_text(),
            "node_modules/async-retry/lib/index.js": "fn(bail, num, op)",
            "node_modules/@portkey-ai/gateway/package.json": json.dumps(
                {"version": GATEWAY_VERSION, "type": "module"}
            ),
            "node_modules/@hono/node-server/package.json": '{"version": "1.13.5"}',
        }
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return folder

    return build
