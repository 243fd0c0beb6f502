"""`PortkeyModel`: an Agno model whose every call goes through a Portkey gateway, and its guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from agno.guardrails import BaseGuardrail
from openai import AsyncOpenAI, OpenAI

from agno_portkey.cache.policy import CachePolicy
from agno_portkey.calls import Call
from agno_portkey.contracts import Contract, Repair
from agno_portkey.contracts.contract import check_contracts, contract_for
from agno_portkey.contracts.keeper import Keeping
from agno_portkey.contracts.known import Noted
from agno_portkey.contracts.repair import Ladder
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import Seat
from agno_portkey.guardrails import Guard
from agno_portkey.guardrails.at_rest import Kept
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.latest import Latest
from agno_portkey.model_calls import Calls
from agno_portkey.model_data import data_of, state_of, values_of
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits
from agno_portkey.routing.clients import Clients
from agno_portkey.routing.config.emit import Profile
from agno_portkey.routing.config.routes import Route
from agno_portkey.routing.connection import (
    check_arguments,
    client_key,
    client_params,
    gateway_url,
    given_http,
    without_made_up_key,
)
from agno_portkey.routing.keyed import Named
from agno_portkey.routing.recovery.allowance import Allowance, check_allowances
from agno_portkey.routing.recovery.patience import Watchdog
from agno_portkey.routing.recovery.router import Router
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.run_facts import outermost_run
from agno_portkey.secrets.base import Secret
from agno_portkey.secrets.source import SecretSource
from agno_portkey.settings import Settings
from agno_portkey.tags import (
    call_tags,
    check_tags,
    metadata_header,
    sent_tags,
    trace_headers,
)
from agno_portkey.verdict import Observer, check_observers

__all__ = ["PortkeyModel"]

# Hosted Portkey then asks the provider, whatever its cache holds.
_NO_CACHE = {"x-portkey-cache-force-refresh": "true"}


@dataclass(repr=False)
class PortkeyModel(Calls):
    """A chat model behind a Portkey gateway; takes the arguments of Agno's own `Portkey`.

    Arguments left out are read from `PORTKEY_API_KEY`, `PORTKEY_BASE_URL`, `PORTKEY_CONFIG` and
    `PORTKEY_VIRTUAL_KEY`. `base_url` defaults to hosted Portkey; a gateway of your own needs no
    Portkey key. `config` is a routing config or the id of a hosted one (`pc-...`).

    `api_key` is the provider's key, for a gateway that holds none; `portkey_provider` the
    provider's slug (`openai`, `openrouter`, `@my-slug`); `custom_host` the provider's address.
    Each of the keys, and the slug, is a text, or a `Secret` that is read when a request is sent: a
    newer value goes out with the next request, and where a key is refused its source is asked once
    before the call fails. `secrets` is where the references of `config` (`${NAME}`) are read from,
    if not from the environment.
    `tags` go out with every call as metadata. `guards` are Agno guardrails that see every message
    of every call. `contracts` say what structured outputs have to be beyond their schemas, `repair`
    how far a broken one is mended. `output_schema` is for an `output_model`, which the host asks
    for no JSON: the schema of all that this model answers. `observers` hear of each call; `budgets`
    of a ledger are asked before each request. `cache` says what is answered again without asking.

    A call that fails raises a `GatewayError`; one that is refused a `Blocked`.
    """

    id: str = "gpt-4o-mini"
    name: str | None = "PortkeyModel"  # type: ignore[assignment]
    provider: str | None = "agno-portkey"  # type: ignore[assignment]
    # Those that hold secrets are out of the repr of a subclass that has one made, too.
    extra_headers: Any = field(default=None, repr=False)
    extra_query: Any = field(default=None, repr=False)
    extra_body: Any = field(default=None, repr=False)
    request_params: dict[str, Any] | None = field(default=None, repr=False)
    api_key: str | Secret | None = field(default=None, repr=False)  # type: ignore[assignment]
    base_url: str | httpx.URL | None = None
    default_headers: Any = field(default=None, repr=False)
    default_query: Any = field(default=None, repr=False)
    client_params: dict[str, Any] | None = field(default=None, repr=False)

    portkey_api_key: str | Secret | None = field(default=None, repr=False)
    virtual_key: str | Secret | None = field(default=None, repr=False)
    config: Route | dict[str, Any] | str | None = field(default=None, repr=False)
    portkey_provider: str | Secret | None = None
    custom_host: str | None = None
    profile: Profile | None = None
    retries: Any = 0
    recovery: Recovery | None = None
    breaker: CircuitBreaker | Circuits | None = None
    tags: Mapping[str, Any] | None = None
    guards: Sequence[BaseGuardrail] = ()
    contracts: Sequence[Contract] = ()
    repair: Repair | None = None
    output_schema: Any = None
    observers: Sequence[Observer] = ()
    budgets: Sequence[Allowance] = ()
    cache: CachePolicy | None = None
    secrets: SecretSource | None = field(default=None, repr=False)

    # Set by `govern`: whom this copy speaks for.
    seat: Seat | None = field(default=None, kw_only=True)
    # Of a copy that samples are drawn from: no cache may answer its calls.
    fresh: bool = field(default=False, init=False, compare=False, repr=False)
    # The secrets that references of the route name, where `secrets` has them.
    named: Named | None = field(default=None, init=False, compare=False, repr=False)
    _origin: Any = field(default=None, init=False, compare=False, repr=False)
    _clients: Clients = field(default_factory=Clients, init=False, compare=False, repr=False)
    router: Router = field(default_factory=Router, init=False, compare=False, repr=False)
    _notes: Latest[Mapping[str, str]] = field(
        default_factory=Latest, init=False, compare=False, repr=False
    )
    # What hooks know of runs: the schemas of their outputs.
    outputs: Latest[Noted] = field(default_factory=Latest, init=False, compare=False, repr=False)
    _begun: Latest[Ladder] = field(default_factory=Latest, init=False, compare=False, repr=False)
    # What is to be stored in place of texts that guards blocked or rewrote.
    kept: Kept = field(default_factory=Kept, init=False, compare=False, repr=False)
    _checked: Any = field(default=((), ()), init=False, compare=False, repr=False)
    _environment: dict[str, str] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        check_arguments(self)
        self.named = Named(self.secrets) if self.secrets is not None else None
        self.router = Router(self.breaker)
        self.router.plan(self)
        self.tags = check_tags(self.tags)
        self.guards = check_guards(self.guards)
        self.contracts = check_contracts(self.contracts)
        self._check_repairs()
        self.observers = check_observers(self.observers)
        self.budgets = check_allowances(self.budgets, self.observers)
        if self.cache is not None and not isinstance(self.cache, CachePolicy):
            raise ConfigurationError("cache: a CachePolicy")
        if environment := Settings.read().environment:
            self._environment = check_tags({"environment": environment}, name="PORTKEY_ENVIRONMENT")

    # What identifies the model, and what does not leave it

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, provider={self.provider!r})"

    def __getstate__(self) -> dict[str, Any]:
        """The state without secrets and clients; keys come from the environment again.

        A governed model is refused: elsewhere it would have no gate.
        """
        return state_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._clients, self._notes, self.kept = Clients(), Latest(), Kept()
        self.outputs, self._begun = Latest(), Latest()
        self.router = Router(self.breaker)

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # The host deep-copies models for auxiliary managers and per request; the connections and
        # the user's own http client are shared.
        twin = copy(self)
        memo[id(self)] = twin
        return twin

    def bound_to(
        self,
        seat: Seat,
        *,
        tags: Mapping[str, str] | None = None,
        guards: Sequence[BaseGuardrail] = (),
        contracts: Sequence[Contract] = (),
        repair: Repair | None = None,
        output_schema: Any = None,
        observers: Sequence[Observer] = (),
        budgets: Sequence[Allowance] = (),
        cache: CachePolicy | None = None,
    ) -> Self:
        """A copy that speaks for `seat`, with a provider of its own and what is added here.

        Agno's registry tells models apart by class, provider and id alone; with equal ones a
        rehydrated Runner would be handed the Planner's model.
        """
        # A rebuilt agent may come with the model of its former seat: begin from what that was.
        origin: Self = self._origin or self
        twin = copy(origin)
        twin._origin = origin
        twin.seat = seat
        twin.provider = f"{origin.provider}:{seat.swarm or ''}/{seat.role}"
        twin.tags = {**(origin.tags or {}), **(tags or {})}
        twin.guards = (*origin.guards, *guards)
        # A model's own contracts go before the team's.
        held = [one for one in contracts if contract_for(origin.contracts, one.of) is None]
        twin.contracts = (*origin.contracts, *held)
        twin.repair = origin.repair or repair
        twin._check_repairs()
        twin.output_schema = origin.output_schema or output_schema
        own = {id(observer) for observer in origin.observers}
        # Whoever stands in both hears of each thing once.
        twin.observers = (*origin.observers, *(each for each in observers if id(each) not in own))
        twin.budgets = (*origin.budgets, *budgets)
        # Who acts, or judges, does so anew each time.
        held_anew = seat.part in ("runner", "aide", "judge")
        twin.cache = None if held_anew else origin.cache or cache
        return twin

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` rebuilds the model from; holds no secret.

        Guards and a seat are named only, so that a copy without them is not made unnoticed.
        """
        return data_of(self, super().to_dict())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The model of `data`, with keys from the environment.

        One that had guards or was governed is refused: give Agno a `Registry` that holds it.
        """
        values = values_of(cls, data)
        config = values.pop("config", None)
        model = cls(**values)
        # Its keys are not there: whether it can do without them is seen when it is used.
        model.config = config
        return model

    # The clients

    @property
    def gateway_url(self) -> str:
        """The gateway's address: the argument, the environment's, or hosted Portkey's."""
        return gateway_url(self)

    def _get_client_params(self) -> dict[str, Any]:
        return client_params(self)

    def get_client(self) -> OpenAI:
        """The client for blocking calls."""
        return self._clients.sync_client(
            client_key(self), self._get_client_params, given_http(self)
        )

    def get_async_client(self) -> AsyncOpenAI:
        """The client of the running event loop: connections do not outlive their loop."""
        return self._clients.async_client(
            client_key(self), self._get_client_params, given_http(self)
        )

    @property
    def watchdog(self) -> Watchdog:
        """What ends blocking reads of streams that stall."""
        return self.router.watchdog

    # One call

    @property
    def checked_guards(self) -> tuple[Guard, ...]:
        """The guards of this model, each as one of ours."""
        if self._checked[0] is not self.guards:
            self._checked = (self.guards, check_guards(self.guards))
        guards: tuple[Guard, ...] = self._checked[1]
        return guards

    def _check_repairs(self) -> None:
        for repair in (self.repair, *(contract.repair for contract in self.contracts)):
            if repair is not None:
                self.router.require_target(self, repair.stronger)

    @property
    def keeping(self) -> Keeping:
        """How the structured outputs of this model are held."""
        seat = self.seat
        return Keeping(
            mode=seat.modes.contracts if seat is not None else "enforce",
            contracts=tuple(self.contracts),
            repair=self.repair or Repair(),
            observers=tuple(self.observers),
            swarm=seat.swarm if seat is not None else None,
            begun=self._begun,
        )

    def tags_of(self, run_response: Any) -> dict[str, str]:
        """The tags of a call made for `run_response`; those of the seat and the model win."""
        seat: dict[str, str] = {}
        if self.seat is not None:
            seat = {"role": self.seat.role}
            if self.seat.swarm:
                seat["swarm"] = self.seat.swarm
        noted = self._notes.of(getattr(run_response, "run_id", None)) or {}
        return call_tags(run_response, self._environment, noted, seat, self.tags or {})

    def note_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Give the calls of one run these tags; what `TagHook` does for the run it is set on."""
        self._notes.note(run_id, dict(tags))

    def metadata_of(self, run_response: Any, arm: Mapping[str, str]) -> dict[str, str]:
        """The header of a call's tags, those of its arm of an experiment among them."""
        return metadata_header(self.sent_tags(run_response, arm))

    def sent_tags(self, run_response: Any, arm: Mapping[str, str]) -> dict[str, str]:
        """The tags that a call really sends, those of its arm among them."""
        tags = {**self.tags_of(run_response), **arm}
        return sent_tags(tags) if self.seat is None else sent_tags(tags, self.seat.modes.tags)

    def get_request_params(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        params = super().get_request_params(*args, **kwargs)
        run_response = kwargs.get("run_response")
        headers: dict[str, Any] = {
            **(params.get("extra_headers") or {}),
            **self.metadata_of(run_response, {}),
            **trace_headers(self.root_run(run_response)),
        }
        params["extra_headers"] = without_made_up_key(self, headers)
        return params

    def root_run(self, run_response: Any) -> str | None:
        """The outermost run that a call for `run_response` belongs to, as far as it is known."""
        run_id: str | None = getattr(run_response, "run_id", None)
        if self.seat is not None and self.seat.charter is not None:
            station = self.seat.charter.runs.find(run_id)
            if station is not None:
                return station.run.id
        return outermost_run(run_response)

    def chat_params(self, call: Call) -> dict[str, Any]:
        """The arguments of the chat completion that `call` is."""
        params = self._params_of(call)
        if call.fresh:
            params["extra_headers"] = {**params["extra_headers"], **_NO_CACHE}
        return params

    def _params_of(self, call: Call) -> dict[str, Any]:
        return {
            "model": self._asked(call),
            "messages": self._format_all_messages(call.messages, call.compress_tool_results),
            **self.get_request_params(
                response_format=call.response_format,
                tools=call.tools,
                tool_choice=call.tool_choice,
                run_response=call.run_response,
            ),
            **call.fields,
        }

    def _asked(self, call: Call) -> str:
        """The model that a request names: where there is no route, a call may ask for another."""
        if call.target is None or self.router.plan(self).route is not None:
            return self.id
        return call.target

    def fields_of(self, call: Call) -> dict[str, Any]:
        """What the request of `call` says beside its messages, definitions and headers."""
        # Without our headers, which take longer than all else.
        fields: dict[str, Any] = super().get_request_params(run_response=call.run_response)
        fields.pop("extra_headers", None)
        return fields
