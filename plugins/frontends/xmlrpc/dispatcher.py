"""From a call to its answer: find the method, know the caller, read the parameters, run, and explain what failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from imframework.api.calls import Backend
from imframework.api.error_table import presentable
from imframework.api.service import Caller
from imframework_plugins.frontends.xmlrpc.methods import METHODS, Context, Method
from imframework_plugins.frontends.xmlrpc.parameters import AUTH, credentials
from imframework_plugins.frontends.xmlrpc.settings import Settings
from imframework_plugins.frontends.xmlrpc.wire import Fault, Value

#: Calls that one `system.multicall` can have.
MAX_CALLS: Final = 100

MULTICALL: Final = "system.multicall"


class Dispatcher:
    """Runs the calls of one front end."""

    def __init__(self, backend: Backend[Settings]) -> None:
        self.backend = backend

    async def answer(self, name: str, parameters: tuple[Value, ...], address: str) -> Value:
        """The value to answer; `address` is the caller's.

        Raises:
            Fault: there is no such method, or it has other parameters.
        """
        method = _find(name)
        if isinstance(method, OpenMethod):
            _check_count(name, len(parameters), len(method.types) - 1, len(method.types) - 1)
            return await method.run(self, address, *parameters)
        _check_count(name, len(parameters), method.fewest, len(method.parameters))
        try:
            return [True, await self._run(method, parameters, address)]
        except Exception as error:  # noqa: BLE001 - a client always gets an answer
            return [False, str(presentable(error, name))]

    async def _run(self, method: Method, parameters: tuple[Value, ...], address: str) -> object:
        missing = len(method.parameters) - len(parameters)
        values = dict(zip(method.parameters, [*parameters, *[None] * missing], strict=True))
        caller = await self._authenticate(values.pop(AUTH), address)
        arguments = [parameter.read(parameter.name, value) for parameter, value in values.items()]
        return await method.run(Context(self.backend, caller), *arguments)

    async def _authenticate(self, value: Value, address: str) -> Caller:
        return await self.backend.service.authenticate(credentials(AUTH.name, value), address)


# --- methods that need no credentials --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenMethod:
    """A method without credentials: its help, the types of its answer and parameters, and what it does.

    What it does is given the dispatcher, the address of the caller and the parameters.
    """

    help: str
    types: list[str]
    run: Callable[..., Awaitable[object]]

    @property
    def signatures(self) -> list[list[str]]:
        """See `Method.signatures`."""
        return [self.types]


async def _version(dispatcher: Dispatcher, address: str) -> list[object]:
    return [True, dispatcher.backend.service.version()]


async def _names(dispatcher: Dispatcher, address: str) -> list[str]:
    return sorted([*METHODS, *_OPEN])


async def _help(dispatcher: Dispatcher, address: str, name: Value) -> str:
    return _find(name).help


async def _signatures(dispatcher: Dispatcher, address: str, name: Value) -> list[list[str]]:
    return _find(name).signatures


async def _multicall(dispatcher: Dispatcher, address: str, calls: Value) -> list[object]:
    if not isinstance(calls, list) or len(calls) > MAX_CALLS:
        raise Fault(f"<class 'TypeError'>:{MULTICALL}() takes an array of {MAX_CALLS} calls at most")
    return [await _one_of_many(dispatcher, address, call) for call in calls]


async def _one_of_many(dispatcher: Dispatcher, address: str, call: Value) -> object:
    """The answer to a call in an array of its own, or a struct that is a fault."""
    try:
        match call:
            case {"methodName": "system.multicall"}:
                raise Fault("<class 'Exception'>:system.multicall cannot call itself")
            case {"methodName": str(name), "params": list(parameters)}:
                return [await dispatcher.answer(name, tuple(parameters), address)]
        raise Fault("<class 'TypeError'>:a call is a struct of methodName and params")
    except Fault as fault:
        return {"faultCode": 1, "faultString": str(fault)}


_OPEN: Final[dict[str, OpenMethod]] = {
    "GetVersion": OpenMethod("Version of the service.", ["array"], _version),
    "system.listMethods": OpenMethod("Names of all methods.", ["array"], _names),
    "system.methodHelp": OpenMethod("What a method does.", ["string", "string"], _help),
    "system.methodSignature": OpenMethod(
        "Types of the answer to a method and of its parameters.", ["array", "string"], _signatures
    ),
    MULTICALL: OpenMethod("Make several calls, one after the other.", ["array", "array"], _multicall),
}


def _find(name: Value) -> Method | OpenMethod:
    method = (METHODS.get(name) or _OPEN.get(name)) if isinstance(name, str) else None
    if method is None:
        raise Fault(f"<class 'Exception'>:method \"{name}\" is not supported")
    return method


def _check_count(name: str, given: int, fewest: int, most: int) -> None:
    if not fewest <= given <= most:
        expected = str(most) if fewest == most else f"from {fewest} to {most}"
        raise Fault(f"<class 'TypeError'>:{name}() takes {expected} arguments ({given} given)")
