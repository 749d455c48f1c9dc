"""Tools: functions that the model may call.

`@tool` makes a `Tool` of a function: its signature becomes the definition that the model sees, and the model's JSON
becomes typed arguments. A tool belongs to no session; the session runs each call in a task of its own.
"""

import inspect
import logging
import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, cast, final, get_args, overload

import msgspec
import trio

from .errors import ConfigError, ToolError
from .state.tool_calls import OnInterrupt, ToolPolicy, error_output
from .tool_arguments import ArgumentsError, ToolArguments
from .wire.session_config import FunctionTool

if TYPE_CHECKING:
    from .realtime_session import RealtimeSession

OnError = Literal["report", "raise"]

MAX_OUTPUT_BYTES = 15 * 2**20
"""How large an output may be, as UTF-8: what the protocol lets one event of audio carry."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_P = ParamSpec("_P")
_R = TypeVar("_R")

logger: logging.Logger = logging.getLogger("trio_realtime")


@final
class ToolContext:
    """What a tool may know of the call that it answers, in a parameter of this class, which the model does not see.

    Attributes:
        call_id: Id of the call.
        name: Name of the tool.
        item_id: Id of the call's item, or None where the server gave none.
        response_id: The response that the call belongs to.
        session: The session. A function that runs in a thread must not use it.
    """

    def __init__(
        self,
        *,
        call_id: str,
        name: str,
        item_id: str | None,
        response_id: str,
        session: "RealtimeSession",
        report: Callable[[Any], None],
    ) -> None:
        self.call_id = call_id
        self.name = name
        self.item_id = item_id
        self.response_id = response_id
        self.session = session
        self._report = report
        self._ended = False
        self._token = trio.lowlevel.current_trio_token()

    def progress(self, value: Any) -> None:
        """Say how far the call is; subscribers of the session see it as an update. The model sees nothing of it.

        Never waits, and may be called in a thread. After the call has ended nothing happens.

        Args:
            value: Anything; it is handed on as it is.
        """
        try:
            here = trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:
            here = False
        if here:
            self._hand_on(value)
            return
        with suppress(trio.RunFinishedError):  # an abandoned thread outlives the program's `trio.run`
            self._token.run_sync_soon(self._hand_on, value)

    def _hand_on(self, value: Any) -> None:
        if not self._ended:
            self._report(value)


class ToolOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended that was not cancelled.

    Attributes:
        output: What the model is told.
        result: What the function returned; None when it failed.
        error: Why the call failed, or None.
    """

    output: str
    result: Any = None
    error: Exception | None = None


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Tool(Generic[_P, _R]):
    """A function that the model may call; `tool` makes it. Calling it calls the function.

    Attributes:
        function: The function.
        definition: What the model sees. Wire: a member of `session.tools`.
        timeout: Seconds that the function may take, or None.
        on_error: What the function's failure does: `"report"` tells the model, `"raise"` ends the session.
        on_interrupt: What an interruption does to a running call: `"cancel"` or `"finish"`.
        reply: Whether the model is asked to go on after a call.
        approval: Whether the program has to approve of each call.
        max_concurrency: How many calls may run at once in one session, or None for any number.
    """

    function: Callable[_P, _R]
    definition: FunctionTool
    timeout: float | None
    on_error: OnError
    on_interrupt: OnInterrupt
    reply: bool
    approval: bool
    max_concurrency: int | None
    _arguments: ToolArguments

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"

    @property
    def name(self) -> str:
        """The name by which the model calls it."""
        return self.definition.name

    @property
    def policy(self) -> ToolPolicy:
        """What the ledger of calls has to know of it."""
        return ToolPolicy(runs=True, reply=self.reply, on_interrupt=self.on_interrupt)

    @property
    def __wrapped__(self) -> Callable[_P, _R]:
        return self.function  # for `inspect.signature` and the like

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Call the function, as if it were not a tool."""
        return self.function(*args, **kwargs)

    def limiter(self) -> trio.CapacityLimiter:
        """A new limiter of `max_concurrency`, for all calls in one session."""
        return trio.CapacityLimiter(math.inf if self.max_concurrency is None else self.max_concurrency)

    def parse(self, arguments: str) -> dict[str, Any]:
        """Read arguments as the model wrote them.

        Args:
            arguments: A JSON object; nothing at all stands for an empty one.

        Returns:
            Typed values by parameter, without those that were left out, and without the `ToolContext`.

        Raises:
            ArgumentsError: They are not what the function takes; a `ValueError` with a message for the model.
        """
        return self._arguments.parse(arguments)

    async def parse_beside(self, arguments: str) -> dict[str, Any]:
        """`parse` where it delays nobody: in a thread, if types of the user's validate in it.

        Cancellation:
            Abandons the thread.
        """
        if not self._arguments.runs_validators:
            await trio.lowlevel.checkpoint()
            return self.parse(arguments)
        # A limiter of its own: validators that hang must not keep the program from looking up a host name.
        limiter = trio.CapacityLimiter(1)
        return await trio.to_thread.run_sync(self.parse, arguments, abandon_on_cancel=True, limiter=limiter)

    async def run(
        self, arguments: str, context: ToolContext, *, limiter: trio.CapacityLimiter | None = None
    ) -> ToolOutcome:
        """Run the function for one call: an async one here, a sync one in a thread.

        Whatever the function does becomes an outcome: an exception, taking longer than `timeout`, and a result that
        cannot be encoded.

        Args:
            arguments: As the model wrote them. What is wrong with them is reported to the model, whatever `on_error`.
            context: For the function, if it takes one; its `progress` ends with the call.
            limiter: Where the call waits until it may run, one for all calls of this tool in a session (`limiter()`);
                `timeout` counts from then on. A thread that was abandoned counts until it ends.

        Raises:
            ToolError: The function failed, under `on_error="raise"`.

        Cancellation:
            Cancels the function; a thread is abandoned, and what it does after that is lost.
        """
        try:
            values = await self.parse_beside(arguments)
        except ArgumentsError as error:
            await trio.lowlevel.checkpoint()
            return ToolOutcome(output=error_output(str(error)), error=error)
        if self._arguments.injected is not None:
            values[self._arguments.injected] = context
        try:
            result = await self._call(values, self.limiter() if limiter is None else limiter)
            return ToolOutcome(output=encoded_output(result), result=result)
        except Exception as error:
            words = _words(error)
            if self.on_error == "raise":
                raise ToolError(
                    f"tool {self.name!r} failed: {words}", name=self.name, call_id=context.call_id
                ) from error
            return ToolOutcome(output=error_output(words), error=error)
        except BaseExceptionGroup as group:
            cancelled, others = group.split(trio.Cancelled)
            if cancelled is None or (others is not None and not isinstance(others, ExceptionGroup)):
                raise
            # It was cancelled and failed in cleaning up: nobody waits for that any more.
            logger.exception("tool %r failed while it was cancelled", self.name)
            raise cancelled from None
        finally:
            context._ended = True  # pyright: ignore[reportPrivateUsage]  the two are one

    async def _call(self, values: dict[str, Any], limiter: trio.CapacityLimiter) -> Any:
        function = partial(cast("Callable[..., Any]", self.function), **values)
        with trio.CancelScope() as scope:
            place = _Place(limiter, scope, self.timeout)
            if not _is_async(self.function):
                return await trio.to_thread.run_sync(
                    function, abandon_on_cancel=True, limiter=cast("trio.CapacityLimiter", place)
                )
            await place.acquire_on_behalf_of(place)
            try:
                return await function()
            finally:
                place.release_on_behalf_of(place)
        raise trio.TooSlowError(f"{self.name} did not finish within {self.timeout:g} s")


@final
class _Place:
    """Where one call waits until it may run; its time counts from then on.

    A limiter for `trio.to_thread.run_sync`, which gives the place back when the thread ends, abandoned or not. It is
    not Trio's default one: tools that hang in threads must not keep the program from looking up a host name.
    """

    def __init__(self, limiter: trio.CapacityLimiter, scope: trio.CancelScope, timeout: float | None) -> None:
        self._limiter = limiter
        self._scope = scope
        self._timeout = timeout

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        await self._limiter.acquire_on_behalf_of(borrower)
        if self._timeout is not None:
            self._scope.deadline = trio.current_time() + self._timeout

    def release_on_behalf_of(self, borrower: object) -> None:
        self._limiter.release_on_behalf_of(borrower)


@overload
def tool(
    function: Callable[_P, _R],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    on_error: OnError = "report",
    on_interrupt: OnInterrupt = "cancel",
    reply: bool = True,
    approval: bool = False,
    max_concurrency: int | None = None,
) -> Tool[_P, _R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    on_error: OnError = "report",
    on_interrupt: OnInterrupt = "cancel",
    reply: bool = True,
    approval: bool = False,
    max_concurrency: int | None = None,
) -> Callable[[Callable[_P, _R]], Tool[_P, _R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    on_error: OnError = "report",
    on_interrupt: OnInterrupt = "cancel",
    reply: bool = True,
    approval: bool = False,
    max_concurrency: int | None = None,
) -> Any:
    """Make a tool of a function, as `@tool`, `@tool(...)` or `tool(function, ...)`.

    The parameters and their annotations become the JSON Schema that the model sees, and its arguments are held against
    it: `str`, numbers, `list`, `dict`, `Literal`, enums, TypedDicts, dataclasses, `msgspec.Struct`s, `| None`, and
    `Annotated[..., msgspec.Meta(...)]` with constraints and descriptions. A parameter with a default may be left out.
    Descriptions also come from the docstring: the text before its sections, and its `Args:`. A parameter of the class
    `ToolContext` is filled in.

    The model is told the result: a `str` as it is, anything else as JSON (None is `null`, bytes are base64). When the
    function raises, the model is told the text of the exception, without a traceback: **what `str(exception)` says is
    sent to the server**. Arguments that do not fit are told to the model, too, and the function is not called.

    Async functions run in the session's nursery. Others run in a thread each, which is abandoned when the call is
    cancelled or takes too long: it runs on, and its result is dropped.

    Args:
        function: An async or sync function, or a bound method.
        name: Name for the model, of letters, digits, `_` and `-`, at most 64; by default the function's own.
        description: Description for the model, instead of the docstring's.
        timeout: Seconds that the function may take, from when it starts to run; then the model is told so.
        on_error: `"report"` tells the model when the function fails; `"raise"` ends the session with `ToolError`.
        on_interrupt: When the user interrupts, `"cancel"` a running call, or let it `"finish"`.
        reply: Whether the model is asked to go on when the calls of a response are done.
        approval: Whether the program has to approve of each call before it runs.
        max_concurrency: How many calls may run at once in a session; others wait. None is any number.

    Raises:
        ConfigError: The function or an option is not one that the model could use.
    """
    _check_options(name, description, timeout, on_error, on_interrupt, reply, approval, max_concurrency)

    def made(function: Callable[_P, _R]) -> Tool[_P, _R]:
        chosen = _name_of(function, name)
        arguments = ToolArguments(function, name=chosen, injected=ToolContext)
        described = arguments.description if description is None else description
        return Tool(
            function=function,
            definition=FunctionTool(name=chosen, description=described, parameters=arguments.schema),
            timeout=timeout,
            on_error=on_error,
            on_interrupt=on_interrupt,
            reply=reply,
            approval=approval,
            max_concurrency=max_concurrency,
            _arguments=arguments,
        )

    return made if function is None else made(function)


def encoded_output(value: Any) -> str:
    """What the model is told of a result: text as it is, anything else as JSON.

    Raises:
        ValueError: It cannot be encoded, or is larger than `MAX_OUTPUT_BYTES`.
    """
    try:
        encoded = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"the result cannot be encoded as JSON: {error}") from error
    if len(encoded) > MAX_OUTPUT_BYTES:
        raise ValueError(f"the result is too large: {len(encoded)} bytes, of at most {MAX_OUTPUT_BYTES}")
    return encoded.decode()


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_words(each) for each in cast("BaseExceptionGroup[BaseException]", error).exceptions)
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  an exception of the user's that cannot be shown
        return type(error).__name__


def _is_async(function: Callable[..., object]) -> bool:
    """Whether a call gives something to await, also through a decorator that is a plain function."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inspect.unwrap(function))


def _name_of(function: Callable[..., object], name: str | None) -> str:
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        raise ConfigError(f"a tool is made of a function or a bound method, not of {function!r}")
    what = f"function {function.__qualname__!r}"
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigError(
            f"{what} is a generator; a call has one result, so return it (`ToolContext.progress` says more)"
        )
    if name is not None:
        return name
    if not _NAME.fullmatch(function.__name__):
        raise ConfigError(
            f"{what} has no name that the protocol takes (letters, digits, `_`, `-`, at most 64): give name="
        )
    return function.__name__


def _check_options(
    name: object,
    description: object,
    timeout: object,
    on_error: object,
    on_interrupt: object,
    reply: object,
    approval: object,
    max_concurrency: object,
) -> None:
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ConfigError(f"name must be 1 to 64 letters, digits, `_` or `-`, not {name!r}")
    if not isinstance(description, str | None):
        raise ConfigError(f"description must be a string, not {description!r}")
    if timeout is not None and not (_is_number(timeout, int | float) and cast("float", timeout) > 0):
        raise ConfigError(f"timeout must be a number of seconds above 0, or None for no limit, not {timeout!r}")
    if max_concurrency is not None and not (_is_number(max_concurrency, int) and cast("int", max_concurrency) >= 1):
        raise ConfigError(
            f"max_concurrency must be a whole number from 1, or None for no limit, not {max_concurrency!r}"
        )
    if on_error not in get_args(OnError):
        raise ConfigError(f"on_error must be 'report' or 'raise', not {on_error!r}")
    if on_interrupt not in get_args(OnInterrupt):
        raise ConfigError(f"on_interrupt must be 'cancel' or 'finish', not {on_interrupt!r}")
    for option, value in (("reply", reply), ("approval", approval)):
        if not isinstance(value, bool):
            raise ConfigError(f"{option} must be True or False, not {value!r}")


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
