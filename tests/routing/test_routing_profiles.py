"""What a gateway would ignore, or do otherwise than written, is refused with all its paths."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import httpx
import pytest

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.emit import emit
from agno_portkey.routing.config.gateway_names import check_ids, provider_slugs
from agno_portkey.routing.config.parts import (
    CircuitBreakerConfig,
    GatewayCache,
    GatewayCheck,
    Guardrail,
    Retry,
)
from agno_portkey.routing.config.profiles import check
from agno_portkey.routing.config.routes import Fallback, LoadBalance, Route, Single, Target
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.local_install import ENTRY, find_node_binary, install


def target(**fields: Any) -> Target:
    return Target(**{"provider": "openai", "api_key": "k", **fields})


def checks(*ids: str) -> list[Guardrail]:
    return [Guardrail(checks=[GatewayCheck(id=each) for each in ids])]


HOSTED_ONLY: dict[str, tuple[Route, str]] = {
    "cache": (target(cache=GatewayCache(mode="simple")), r"^config\.cache: .* always DISABLED"),
    "breaker": (
        Fallback(targets=[target()], circuit_breaker=CircuitBreakerConfig(failure_threshold=2)),
        r"^config\.circuit_breaker: .*the client has its own",
    ),
    "slug": (target(provider="@mine"), r"^config\.provider: '@mine' is for hosted Portkey only"),
    "model slug": (Target(model="@mine/gpt"), r"^config\.model: a model by @slug is for hosted"),
    "inherited slug": (
        Single(override_params={"model": "@mine/gpt"}, target=target()),
        r"^config\.override_params\.model: a model by @slug",
    ),
    "virtual key": (
        Fallback(targets=[Target(virtual_key="vk")]),
        r"^config\.targets\[0\]\.virtual_key: a virtual key is for hosted Portkey only",
    ),
    "guardrail id": (
        target(input_guardrails=["pg-1"]),
        r"^config\.input_guardrails\[0\]: the guardrail id 'pg-1' .* would pass everything here",
    ),
    "check": (
        target(output_guardrails=checks("notNull", "modelwhitelist")),
        r"^config\.output_guardrails\[0\]\.checks\[1\]\.id: no check 'default\.modelwhitelist': "
        r"it would pass everything; did you mean default\.modelWhitelist\?$",
    ),
}


@pytest.mark.parametrize("name", HOSTED_ONLY)
def test_the_open_source_gateway_is_not_given_what_is_hosted(name: str) -> None:
    route, says = HOSTED_ONLY[name]
    with pytest.raises(ConfigurationError, match=says):
        check(route)
    check(route, "hosted")


NOWHERE: dict[str, tuple[Route, str]] = {
    "retry": (
        target(retry=Retry(attempts=2)),
        r'^config\.retry: the client retries.*say retries="gateway"$',
    ),
    "doubled": (
        Fallback(name="x", targets=[Single(target=target(name="y")), target(name="y")]),
        r"^config\.targets\[1\]\.name: 'y' is also the name of config\.targets\[0\]\.targets\[0\]",
    ),
    "log": (
        target(input_guardrails=checks("log")),
        r"^config\.input_guardrails\[0\]\.checks\[0\]\.id: default\.log posts every request header",
    ),
    "model": (
        Single(override_params={"model": 3}, target=target()),
        r"^config\.override_params\.model: a model's name, as text",
    ),
    "size": (
        target(override_params={"stop": "x" * 13_000}),
        r"^config: 13\d{3} bytes as a header, more than 12288: .*--max-http-header-size",
    ),
}


@pytest.mark.parametrize("profile", ["hosted", "open_source"])
@pytest.mark.parametrize("name", NOWHERE)
def test_what_no_gateway_does_as_written_is_refused(name: str, profile: Any) -> None:
    route, says = NOWHERE[name]
    with pytest.raises(ConfigurationError, match=says):
        check(route, profile)


KEYS: dict[str, tuple[Target, str | None]] = {
    "none": (Target(provider="openai"), r"^config\.api_key: missing; .*Bearer undefined"),
    "some": (target(), None),
    "ollama": (Target(provider="ollama"), None),
    "triton": (Target(provider="triton"), None),
    "azure": (Target(provider="azure-openai"), r"^config\.api_key: missing"),
    "azure's own": (Target(provider="azure-openai", azure_auth_mode="managed"), None),
    "bedrock": (
        target(provider="bedrock", aws_access_key_id="a"),
        r"^config\.aws_secret_access_key: missing; bedrock takes keys of AWS$",
    ),
    "bedrock's own": (
        Target(provider="bedrock", aws_access_key_id="a", aws_secret_access_key="b"),
        None,
    ),
    "bedrock's api key": (target(provider="bedrock", aws_auth_type="apiKey"), None),
    "bedrock without it": (
        Target(provider="bedrock", aws_auth_type="apiKey"),
        r"^config\.api_key: missing",
    ),
    "vertex": (
        Target(provider="vertex-ai"),
        r"^config\.vertex_region: missing; config\.vertex_project_id: missing; or .*; "
        r"config\.api_key: missing; or give vertex_service_account_json$",
    ),
    "vertex's project": (
        target(provider="vertex-ai", vertex_region="r", vertex_project_id="p"),
        None,
    ),
    "vertex's account": (
        Target(provider="vertex-ai", vertex_region="r", vertex_service_account_json={"a": "b"}),
        None,
    ),
    "unknown": (
        target(provider="open-ai"),
        r"^config\.provider: the gateway knows no 'open-ai'; did you mean openai\?$",
    ),
    "far off": (target(provider="zzz"), r"^config\.provider: the gateway knows no 'zzz'$"),
}


@pytest.mark.parametrize("name", KEYS)
def test_every_provider_has_what_it_knows_its_client_by(name: str) -> None:
    given, says = KEYS[name]
    if says is None:
        check(given)
        return
    with pytest.raises(ConfigurationError, match=says):
        check(given)


def test_headers_may_name_the_provider_of_the_root_alone() -> None:
    check(Target(retry=Retry(attempts=1)), retries="gateway")
    with pytest.raises(ConfigurationError, match=r"^config\.targets\[0\]\.provider: missing"):
        check(Single(target=Target(model="m")))


def test_all_problems_are_listed() -> None:
    route = Fallback(
        cache=GatewayCache(mode="semantic"),
        targets=[
            target(provider="opnai", retry=Retry(attempts=1)),
            LoadBalance(targets=[target(virtual_key="vk")]),
        ],
    )
    with pytest.raises(ConfigurationError) as caught:
        check(route)
    assert [each.partition(": ")[0] for each in str(caught.value).split("; config")] == [
        "config.cache",
        ".targets[0].retry",
        ".targets[0].provider",
        ".targets[1].targets[0].virtual_key",
    ]


def test_the_gateway_may_own_the_retries() -> None:
    route = target(retry=Retry(attempts=2))
    check(route, retries="gateway")
    check(target(retry=Retry(attempts=0)))


def test_the_size_is_checked_only_where_the_variables_are_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    route = target(api_key="${A_KEY}", override_params={"stop": "x" * 90})
    monkeypatch.delenv("A_KEY", raising=False)
    check(route, max_header_bytes=100)
    monkeypatch.setenv("A_KEY", "k")
    check(route, max_header_bytes=300)
    with pytest.raises(ConfigurationError, match="raise max_header_bytes"):
        check(route, max_header_bytes=100)


def test_another_profile_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="profile: 'hosted' or 'open_source', not 'own'"):
        check(target(), "own")  # type: ignore[arg-type]


# What this relies on in the gateway


def _post(gateway: LocalGateway, config: object) -> httpx.Response:
    return httpx.post(
        f"{gateway.url}/chat/completions",
        headers={"x-portkey-config": json.dumps(config)},
        json={"model": "m", "messages": [{"role": "user", "content": "hi"}]},
        trust_env=False,
    )


def test_the_providers_are_those_that_the_gateway_takes(portkey_gateway: LocalGateway) -> None:
    said = _post(portkey_gateway, {"provider": "none", "api_key": "k"}).json()["errors"][0]
    assert set(said.partition("Must be one of: ")[2].split(", ")) == provider_slugs()


# Finds the table of checks in the bundle: the shortest text from its beginning that is an object.
_FIND_CHECKS = """
const source = require("fs").readFileSync(process.argv[1], "utf8");
const start = source.indexOf("{default:{regexMatch:");
const anything = new Proxy({}, { has: () => true, get: () => () => 0 });
for (let end = start; (end = source.indexOf("}", end + 1)) > 0; ) {
  if (!";,".includes(source[end + 1])) continue;
  let make;
  try {
    make = new Function("world", `with (world) { return (${source.slice(start, end + 1)}); }`);
  } catch { continue; }
  const plugins = Object.entries(make(anything));
  const ids = plugins.flatMap(([id, checks]) => Object.keys(checks).map((each) => `${id}.${each}`));
  console.log(JSON.stringify(ids));
  break;
}
"""


def test_the_checks_are_those_of_the_installed_gateway() -> None:
    entry = install() / ENTRY
    done = subprocess.run(
        [find_node_binary(), "-e", _FIND_CHECKS, entry],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert set(json.loads(done.stdout)) == check_ids()


@pytest.mark.parametrize(
    ("name", "passes"), [("default.contains", False), ("default.Contains", True), ("x.y", True)]
)
def test_a_check_that_does_not_exist_passes_everything(
    portkey_gateway: LocalGateway, portkey_provider: Any, name: str, passes: bool
) -> None:
    parameters = {"operator": "none", "words": ["hi"]}
    route = target(
        custom_host=portkey_provider.url,
        input_guardrails=[Guardrail(checks=[GatewayCheck(id=name, parameters=parameters)])],
    )
    emitted = emit(route)
    assert emitted is not None
    answer = _post(portkey_gateway, json.loads(emitted.header))
    assert answer.status_code == (200 if passes else 446)
    assert (name in check_ids()) is not passes


def test_a_provider_without_a_key_is_sent_undefined(
    portkey_gateway: LocalGateway, portkey_provider: Any
) -> None:
    config = {"provider": "openai", "custom_host": portkey_provider.url, "request_timeout": 5000}
    _post(portkey_gateway, config)
    assert portkey_provider.calls[0].headers["authorization"] == "Bearer undefined"
