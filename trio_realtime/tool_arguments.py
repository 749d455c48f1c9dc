"""The arguments of a tool: from a function's signature to a JSON Schema, and from JSON text to typed values.

Theory of operation. msgspec does both from one struct that is made of the parameters: what the schema says is what the
decoder accepts. A parameter with a default may be left out, and then it is not handed to the function at all, so that
Python's own default holds, whatever it is. The names that a schema refers to are put in where they are referred to,
because models read that better; only types that contain themselves stay in `$defs`.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Union, cast, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from .errors import ConfigError

Schema = dict[str, Any]

_REF = "#/$defs/"
_MAX_SHOWN_SCHEMA = 500
"""Characters of a schema that a message to the model repeats; it has the whole in the definition of the tool."""

_DATA_KEYWORDS = frozenset({"default", "enum", "const", "examples"})
_UNENCODABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


class ArgumentsError(ValueError):
    """The model's arguments are not what the function takes; the message tells the model what is wrong with them."""


class ToolArguments:
    """What a function takes.

    Args:
        function: The function; every parameter annotated.
        name: Name of the tool, for messages.
        injected: The class of a parameter that the library fills in, and the model does not see.

    Attributes:
        schema: JSON Schema of the arguments, an object without a `$ref` at its root.
        injected: Name of the parameter of that class, or None.
        description: What the docstring says before its sections, or None.

    Raises:
        ConfigError: A parameter cannot come from the model.
    """

    def __init__(self, function: Callable[..., object], *, name: str, injected: type) -> None:
        self.injected: str | None = None
        description, descriptions = _docstring(function)
        self.description: str | None = description
        self._name = name
        hints = _hints(function, name)
        parameters: dict[str, inspect.Parameter] = {}
        for parameter in inspect.signature(function).parameters.values():
            _check_kind(parameter, name, hints)
            if hints[parameter.name] is not injected:
                _check_type(parameter, name, hints)
                parameters[parameter.name] = parameter
            elif self.injected is None:
                self.injected = parameter.name
            else:
                raise ConfigError(f"tool {name!r} takes a {injected.__name__} twice; leave one of them out")
        self._names = tuple(parameters)
        struct = msgspec.defstruct(
            "Arguments",
            [_field(parameter, hints[parameter.name]) for parameter in parameters.values()],
            kw_only=True,
            forbid_unknown_fields=True,
        )
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(struct)
        self.runs_validators: bool = _runs_validators(msgspec.inspect.type_info(struct), set())
        self.schema: Schema = _schema(struct, parameters, hints, descriptions)

    def parse(self, text: str) -> dict[str, Any]:
        """Read what the model wrote.

        Args:
            text: A JSON object; nothing at all stands for an empty one.

        Returns:
            Typed values by parameter; one that was left out is left out.

        Raises:
            ArgumentsError: It is no JSON, no object, or does not fit the schema.
        """
        try:
            values = self._decoder.decode(text if text.strip() else "{}")
        except msgspec.ValidationError as error:
            raise ArgumentsError(self._explained(str(error))) from None
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise ArgumentsError(f"the arguments of {self._name} are not valid JSON: {error}") from None
        except Exception as error:
            # A `__post_init__` of the user's may raise anything; msgspec takes ValueError and TypeError for its own.
            raise ArgumentsError(f"the arguments of {self._name} are not valid: {error!r}") from error
        given = {name: getattr(values, name) for name in self._names}
        return {name: value for name, value in given.items() if value is not UNSET}

    def _explained(self, message: str) -> str:
        """Say where it went wrong, and what belongs there."""
        what, _, where = message.partition(" - at ")
        steps = [key or item for key, item in re.findall(r"\.([^.\[`]+)|(\[[^\]]*\])", where)]
        unknown = re.fullmatch("Object contains unknown field `(.*)`", what)
        missing = re.fullmatch("Object missing required field `(.*)`", what)
        if missing is not None:
            steps.append(missing[1])
        place = "".join(step if step.startswith("[") else f".{step}" for step in steps).lstrip(".")
        expected = _find(self.schema, steps, self.schema.get("$defs", {}))
        if unknown is not None:
            fields = ", ".join((expected or {}).get("properties", {})) or "none"
            said = f"there is no field `{unknown[1]}`{f' in `{place}`' if place else ''}; the fields are: {fields}"
        elif missing is not None:
            said = f"the field `{place}` is missing{_shown(expected)}"
        elif not place:
            said = f"{what}{_shown(None)}"
        else:
            said = f"{what} for `{place}`{_shown(expected)}"
        return f"the arguments of {self._name} are not valid: {said}"


# --- the signature -----------------------------------------------------------------------------------------------


def _hints(function: Callable[..., object], name: str) -> dict[str, Any]:
    """The annotations of the parameters, resolved; that of the result is nobody's business here."""
    defined: Any = inspect.unwrap(function)
    try:
        annotations = {key: value for key, value in defined.__annotations__.items() if key != "return"}
        return get_type_hints(SimpleNamespace(__annotations__=annotations), defined.__globals__, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise ConfigError(
            f"the annotations of tool {name!r} cannot be resolved ({error}); they have to be types that exist at run "
            "time, in the module of the function"
        ) from error


def _check_kind(parameter: inspect.Parameter, name: str, hints: Mapping[str, Any]) -> None:
    what = f"parameter {parameter.name!r} of tool {name!r}"
    if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
        raise ConfigError(f"{what} takes any number of values; name each one, or take a list or a dict")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise ConfigError(f"{what} is positional only; the model gives arguments by name, so remove the `/`")
    if parameter.name in hints:
        return
    if parameter.name in {"self", "cls"}:
        raise ConfigError(f"{what} has no annotation; to use a method, give the bound one: tool(instance.method)")
    raise ConfigError(f"{what} has no annotation; annotate it with the type that the model has to give")


def _check_type(parameter: inspect.Parameter, name: str, hints: Mapping[str, Any]) -> None:
    hint = hints[parameter.name]
    try:
        msgspec.json.Decoder(_field_type(parameter, hint))
        msgspec.json.schema(hint)
    except (TypeError, ValueError, NameError, AttributeError) as error:
        raise ConfigError(
            f"parameter {parameter.name!r} of tool {name!r} has a type that cannot come from JSON: {hint}; use str, "
            "int, float, bool, list, dict, Literal, an Enum, a TypedDict, a dataclass or a msgspec.Struct "
            f"({' '.join(str(error).split())})"
        ) from error


def _field_type(parameter: inspect.Parameter, hint: Any) -> Any:
    return hint if parameter.default is parameter.empty else Union[hint, UnsetType]  # noqa: UP007  not all have `|`


def _field(parameter: inspect.Parameter, hint: Any) -> Any:
    required = parameter.default is parameter.empty
    field = (parameter.name, _field_type(parameter, hint))
    return field if required else (*field, UNSET)


def _docstring(function: Callable[..., object]) -> tuple[str | None, dict[str, str]]:
    """What a docstring says of the function, and of its parameters, in any of the usual styles."""
    text = inspect.getdoc(function)
    if not text:
        return None, {}
    if "\n" not in text:
        return text, {}
    # Imported here: it costs 18 ms, and a program without such tools does not need it.
    import docstring_parser  # noqa: PLC0415

    try:
        parsed = docstring_parser.parse(function.__doc__ or text)  # as it was written: it dedents once itself
    except (docstring_parser.ParseError, LookupError):  # an IndexError, for a field list without a name
        return text, {}
    descriptions = {each.arg_name: " ".join(each.description.split()) for each in parsed.params if each.description}
    return (parsed.description or "").strip() or None, descriptions


# --- the schema --------------------------------------------------------------------------------------------------


def _schema(
    struct: type[msgspec.Struct],
    parameters: Mapping[str, inspect.Parameter],
    hints: Mapping[str, Any],
    descriptions: Mapping[str, str],
) -> Schema:
    (reference,), definitions = msgspec.json.schema_components([struct])
    root = cast("Schema", definitions.pop(reference["$ref"].removeprefix(_REF)))
    del root["title"]
    for name, parameter in parameters.items():
        described = cast("Schema", root["properties"][name])
        if name in descriptions:
            described.setdefault("description", descriptions[name])
        # A default that the type does not allow, or that is no JSON, is Python's affair.
        with suppress(*_UNENCODABLE):
            encoded = msgspec.json.encode(parameter.default)
            msgspec.json.decode(encoded, type=hints[name])
            described["default"] = msgspec.json.decode(encoded)
    return _inlined(root, definitions)


def _inlined(root: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """`root` without references, except to types that contain themselves."""
    recursive = {name for name in definitions if name in _reachable(definitions[name], definitions)}
    kept: dict[str, Schema] = {}

    def inlined(schema: Any, *, named: bool = False) -> Any:
        if isinstance(schema, list):
            return [inlined(each) for each in schema]  # pyright: ignore[reportUnknownVariableType]  any JSON
        if not isinstance(schema, dict):
            return schema
        schema = cast("Schema", schema)
        if named:  # its keys are names of the user's, not keywords
            return {key: inlined(value) for key, value in schema.items()}
        # What tells the members of a union apart is said by the members, too.
        said = {
            key: value if key in _DATA_KEYWORDS else inlined(value, named=key == "properties")
            for key, value in schema.items()
            if key not in {"$ref", "discriminator"}
        }
        if "$ref" not in schema:
            return said
        name = schema["$ref"].removeprefix(_REF)
        if name not in recursive:
            return inlined(definitions[name]) | said
        if name not in kept:
            kept[name] = {}  # so that it is not entered again
            kept[name] = inlined(definitions[name])
        return {"$ref": schema["$ref"], **said}

    schema: Schema = inlined(root)
    return {**schema, "$defs": kept} if kept else schema


def _reachable(schema: Schema, definitions: Mapping[str, Schema]) -> set[str]:
    found: set[str] = set()
    ahead: list[Any] = [schema]
    while ahead:
        value = ahead.pop()
        if isinstance(value, dict):
            ahead.extend(cast("Schema", value).values())
        elif isinstance(value, list):
            ahead.extend(value)  # pyright: ignore[reportUnknownArgumentType]  any JSON
        elif isinstance(value, str) and value.startswith(_REF):
            # Whatever looks like a reference: one too many only leaves a type in `$defs`.
            name = value.removeprefix(_REF)
            if name in definitions and name not in found:
                found.add(name)
                ahead.append(definitions[name])
    return found


def _find(schema: Any, steps: list[str], definitions: Mapping[str, Schema]) -> Schema | None:
    """What the schema says of a place, if it says one thing."""
    if not isinstance(schema, dict):
        return None
    here = cast("Schema", schema)
    if "$ref" in here:
        return _find(definitions[here["$ref"].removeprefix(_REF)], steps, definitions)
    if not steps:
        return here
    step, rest = steps[0], steps[1:]
    if step.startswith("["):
        inside: list[Any] = [here.get("items"), here.get("additionalProperties")]
    else:
        inside = [here.get("properties", {}).get(step)]
    found = [_find(each, rest, definitions) for each in inside]
    found.extend(_find(each, steps, definitions) for each in here.get("anyOf", ()))
    said: list[Schema] = [each for each in found if each is not None]
    return said[0] if said and all(each == said[0] for each in said) else None


def _shown(schema: Schema | None) -> str:
    if schema is None:
        return ""
    text = msgspec.json.encode(schema).decode()
    return f"; it has to be {text}" if len(text) <= _MAX_SHOWN_SCHEMA else ""


def _runs_validators(described: object, seen: set[object]) -> bool:
    """Whether reading a value of this type runs code of the user's: a `__post_init__`, or an enum's `_missing_`."""
    if isinstance(described, tuple):
        return any(_runs_validators(each, seen) for each in cast("tuple[object, ...]", described))
    if not isinstance(described, msgspec.inspect.Type | msgspec.inspect.Field):
        return False
    cls: object = getattr(described, "cls", None)
    if cls is not None:
        if cls in seen:
            return False
        seen.add(cls)
        if hasattr(cls, "__post_init__") or "_missing_" in vars(cls):
            return True
    return any(_runs_validators(getattr(described, name), seen) for name in described.__struct_fields__)
