"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

import httpx
from httpx_sse import EventSource

from gateway.client.api import account as account_api
from gateway.client.api import files as files_api
from gateway.client.api import jobs as jobs_api
from gateway.client.api import system as system_api
from gateway.client.api import videos as videos_api
from gateway.client.api import webhooks as webhooks_api
from gateway.client.core.calls import Flow, Operation
from gateway.client.core.credentials import TokenStore
from gateway.client.core.effects import Close, Do, Effect, Emit, Open, Pause, Program, Read, Result, Send
from gateway.client.core.retries import Policy
from gateway.client.errors import T2MError
from gateway.client.tokens import MemoryTokens
from gateway.client.wire import TIMEOUT_S, Options, answer_of, errors_of_ours

P = ParamSpec("P")
T = TypeVar("T")


class _Method(Generic[P, T]):
    """A method that runs an operation to its result: same arguments, same documentation."""

    def __init__(self, operation: Callable[P, Operation[T]]) -> None:
        self._operation = operation
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, client: None, owner: type[T2MClient]) -> Self: ...
    @overload
    def __get__(self, client: T2MClient, owner: type[T2MClient]) -> Callable[P, T]: ...
    def __get__(self, client: T2MClient | None, owner: type[T2MClient]) -> Self | Callable[P, T]:
        if client is None:
            return self

        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return client.run(self._operation(*args, **kwargs))

        method.__doc__ = self.__doc__
        return method


class _Iteration(Generic[P, T]):
    """A method that iterates over what an operation emits."""

    def __init__(self, operation: Callable[P, Flow[T]]) -> None:
        self._operation = operation
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, client: None, owner: type[T2MClient]) -> Self: ...
    @overload
    def __get__(self, client: T2MClient, owner: type[T2MClient]) -> Callable[P, Iterator[T]]: ...
    def __get__(self, client: T2MClient | None, owner: type[T2MClient]) -> Self | Callable[P, Iterator[T]]:
        if client is None:
            return self

        def method(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return client.iterate(self._operation(*args, **kwargs))

        method.__doc__ = self.__doc__
        return method


class T2MClient:
    """Talks to one gateway. Calls that are safe to repeat are repeated on 429, 5xx of gateways and lost connections,
    for at most `patience_s` seconds. Threads may share a client. Its methods raise T2MError; those that read or write
    files OSError, too.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        tokens: TokenStore | None = None,
        patience_s: float = 60.0,
        timeout_s: float = TIMEOUT_S,
        policy: Policy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """With an API key, with the tokens of a session, or as nobody. ValueError for a URL that is none."""
        self._options = Options.of(url, api_key, tokens, policy or Policy(patience_s=patience_s), timeout_s)
        self._http = httpx.Client(base_url=url, headers=self._options.headers, transport=transport)

    @classmethod
    def login(cls, url: str, email: str, password: str, *, tokens: TokenStore | None = None, **options: Any) -> Self:
        """A client with a session of its own, whose tokens are kept in `tokens` (in memory without)."""
        store = tokens if tokens is not None else MemoryTokens()
        with T2MClient(url, **options) as nobody:
            store.save(nobody.run(account_api.open_session(email, password)))
        return cls(url, tokens=store, **options)

    def logout(self) -> None:
        """End the session, and forget its tokens."""
        store = self._options.tokens
        tokens = store.load() if store else None
        if store and tokens:
            self.run(account_api.close_session(tokens["refresh_token"]))
            store.save(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, operation: Operation[T]) -> T:
        """Run an operation to its result."""
        for item in self._perform(operation.program(self._options.session)):
            if isinstance(item, Result):
                result: T = item.value
                return result
        raise AssertionError("a program ends with its result")

    def iterate(self, flow: Flow[T]) -> Iterator[T]:
        """What an operation emits, as it comes."""
        for item in self._perform(flow.program(self._options.session)):
            if not isinstance(item, Result):
                yield item

    def _perform(self, program: Program[Any]) -> Iterator[Any]:
        """Do what a program asks for: what it emits, then its Result."""
        exchange = _Exchange(self._http, self._options)
        outcome: Any = None
        error: T2MError | OSError | None = None
        try:
            while True:
                try:
                    effect = program.throw(error) if error is not None else program.send(outcome)
                except StopIteration as end:
                    yield Result(end.value)
                    return
                outcome, error = None, None
                if isinstance(effect, Emit):
                    yield effect.value
                    continue
                try:
                    outcome = exchange.perform(effect)
                except (T2MError, OSError) as failure:
                    error = failure
        finally:
            program.close()
            exchange.close()

    generate = _Method(videos_api.generate)
    plan = _Method(videos_api.plan)
    validate = _Method(videos_api.validate)
    render = _Method(videos_api.render)
    remix = _Method(videos_api.remix)
    storyboard = _Method(videos_api.storyboard)
    metadata = _Method(videos_api.metadata)
    batch = _Method(videos_api.batch)
    get_batch = _Method(videos_api.get_batch)
    list_batches = _Method(videos_api.list_batches)
    batches = _Iteration(videos_api.batches)
    cancel_batch = _Method(videos_api.cancel_batch)
    watch_batch = _Iteration(videos_api.watch_batch)
    download = _Method(videos_api.download)
    captions = _Method(videos_api.captions)
    thumbnail = _Method(videos_api.thumbnail)

    job = _Method(jobs_api.job)
    status = _Method(jobs_api.status)
    list_jobs = _Method(jobs_api.list_jobs)
    jobs = _Iteration(jobs_api.jobs)
    list_history = _Method(jobs_api.list_history)
    history = _Iteration(jobs_api.history)
    list_logs = _Method(jobs_api.list_logs)
    logs = _Iteration(jobs_api.logs)
    watch = _Iteration(jobs_api.watch)
    follow_logs = _Iteration(jobs_api.follow_logs)
    cancel = _Method(jobs_api.cancel)
    delete_job = _Method(jobs_api.delete_job)
    pin = _Method(jobs_api.pin)
    unpin = _Method(jobs_api.unpin)
    stats = _Method(jobs_api.stats)
    recent_jobs = _Method(jobs_api.recent_jobs)

    upload = _Method(files_api.upload)
    file = _Method(files_api.file)
    list_files = _Method(files_api.list_files)
    files = _Iteration(files_api.files)
    download_file = _Method(files_api.download_file)
    delete_file = _Method(files_api.delete_file)
    get_upload = _Method(files_api.get_upload)
    abort_upload = _Method(files_api.abort_upload)

    create_webhook = _Method(webhooks_api.create_webhook)
    webhook = _Method(webhooks_api.webhook)
    webhooks = _Method(webhooks_api.webhooks)
    update_webhook = _Method(webhooks_api.update_webhook)
    delete_webhook = _Method(webhooks_api.delete_webhook)
    webhook_secret = _Method(webhooks_api.webhook_secret)
    rotate_webhook_secret = _Method(webhooks_api.rotate_webhook_secret)
    try_webhook = _Method(webhooks_api.try_webhook)
    list_deliveries = _Method(webhooks_api.list_deliveries)
    deliveries = _Iteration(webhooks_api.deliveries)
    delivery = _Method(webhooks_api.delivery)
    redeliver = _Method(webhooks_api.redeliver)

    sessions = _Method(account_api.sessions)
    revoke_session = _Method(account_api.revoke_session)
    profile = _Method(account_api.profile)
    update_profile = _Method(account_api.update_profile)
    preferences = _Method(account_api.preferences)
    set_preferences = _Method(account_api.set_preferences)
    credits_left = _Method(account_api.credits_left)
    create_key = _Method(account_api.create_key)
    list_keys = _Method(account_api.list_keys)
    keys = _Iteration(account_api.keys)
    revoke_key = _Method(account_api.revoke_key)
    plans = _Method(account_api.plans)
    subscription = _Method(account_api.subscription)
    subscribe = _Method(account_api.subscribe)
    cancel_subscription = _Method(account_api.cancel_subscription)
    usage = _Method(account_api.usage)
    list_ledger = _Method(account_api.list_ledger)
    ledger = _Iteration(account_api.ledger)
    list_charges = _Method(account_api.list_charges)
    charges = _Iteration(account_api.charges)
    export = _Method(account_api.export)

    alive = _Method(system_api.alive)
    ready = _Method(system_api.ready)
    system_health = _Method(system_api.system_health)
    queue_status = _Method(system_api.queue_status)


class _Exchange:
    """Performs effects by blocking; at most one stream is open at a time."""

    def __init__(self, http: httpx.Client, options: Options) -> None:
        self._http = http
        self._options = options
        self._open: httpx.Response | None = None
        self._pieces: Iterator[Any] = iter(())

    def perform(self, effect: Effect) -> Any:
        """The effect's result. T2MError, OSError."""
        match effect:
            case Send(request):
                with errors_of_ours():
                    response = self._http.send(self._http.build_request(**self._options.arguments(request)))
                return answer_of(response, content=True)
            case Open():
                return self._opened(effect)
            case Read():
                with errors_of_ours():
                    return next(self._pieces, None)
            case Close():
                return self.close()
            case Pause(seconds):
                return time.sleep(seconds)
            case Do(function):
                return function()
            case Emit():
                raise AssertionError("not an effect on the outside")

    def _opened(self, effect: Open) -> Any:
        self.close()
        with errors_of_ours():
            request = self._http.build_request(**self._options.arguments(effect.request))
            self._open = self._http.send(request, stream=True)
            if self._open.status_code >= 400:
                self._open.read()
        self._pieces = EventSource(self._open).iter_sse() if effect.events else self._open.iter_bytes()
        return answer_of(self._open, content=self._open.status_code >= 400)

    def close(self) -> None:
        """Let go of what is open."""
        if self._open is not None:
            self._open.close()
            self._open, self._pieces = None, iter(())
