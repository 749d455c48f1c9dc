"""What the model is shown of a function's parameters, and what is accepted of it: the same."""

import inspect
import json
from typing import Annotated, Any, Literal

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from msgspec import Meta

from tests.argument_types import (
    Circle,
    Context,
    Node,
    Options,
    Place,
    Range,
    Square,
    Unit,
    arguments_of,
    function_with,
    schema_of,
)
from trio_realtime.tool_arguments import ArgumentsError, ToolArguments

# --- what the model is shown -------------------------------------------------------------------------------------


def test_the_root_is_an_object_that_takes_nothing_else() -> None:
    def look(place: Place, days: int = 3) -> None: ...

    assert arguments_of(look).schema == {
        "type": "object",
        "properties": {
            "place": {
                "title": "Place",
                "description": "A place on earth.",
                "type": "object",
                "properties": {
                    "lat": {"type": "number", "minimum": -90, "maximum": 90},
                    "name": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
                },
                "required": ["lat"],
            },
            "days": {"type": "integer", "default": 3},
        },
        "required": ["place"],
        "additionalProperties": False,
    }


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    def look() -> None: ...

    assert arguments_of(look).schema == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }


def test_types_are_put_in_where_they_are_used() -> None:
    schema = schema_of(Circle | Square | None, None)
    text = json.dumps(schema)
    assert "$ref" not in text
    assert "discriminator" not in text
    assert "radius" in text
    assert "side" in text


def test_a_type_that_contains_itself_stays_a_definition() -> None:
    def plant(tree: Node, unit: Unit) -> None:
        """Plant.

        Args:
            tree: What to plant.
            unit: How to measure it.
        """

    schema = arguments_of(plant).schema
    assert schema["type"] == "object"
    assert schema["properties"]["tree"] == {"$ref": "#/$defs/Node", "description": "What to plant."}
    assert schema["properties"]["unit"] == {"title": "Unit", "enum": ["c", "f"], "description": "How to measure it."}
    assert list(schema["$defs"]) == ["Node"]
    jsonschema.Draft202012Validator(schema).validate({"tree": {"name": "a", "children": [{"name": "b"}]}, "unit": "c"})


@pytest.mark.parametrize(
    ("hint", "default", "shown"),
    [
        (int, 3, 3),
        (Unit, Unit.CELSIUS, "c"),
        (list[str], ["a"], ["a"]),
        (Range, Range(low=1), {"low": 1, "high": 10}),
        (int | None, None, None),
        (dict[str, str], {"$ref": "x", "discriminator": "y"}, {"$ref": "x", "discriminator": "y"}),
    ],
)
def test_a_default_is_shown(hint: Any, default: Any, shown: Any) -> None:
    assert schema_of(hint, default)["default"] == shown


@pytest.mark.parametrize(("hint", "default"), [(int, None), (str, object()), (Any, lambda: 0), (str, "\ud800")])
def test_a_default_that_the_model_could_not_give_is_not_shown(hint: Any, default: Any) -> None:
    assert "default" not in schema_of(hint, default)


@pytest.mark.parametrize(
    "docstring",
    [
        "Look.\n\nAt it.\n\nArgs:\n    x: Where\n        to look.\n    gone: Not there.\n\nReturns:\n    Nothing.",
        "Look.\n\nAt it.\n\n:param x: Where\n    to look.\n:returns: Nothing.",
        "Look.\n\nAt it.\n\nParameters\n----------\nx : int\n    Where\n    to look.\n",
    ],
)
def test_descriptions_come_from_the_docstring(docstring: str) -> None:
    def look(x: int) -> None: ...

    look.__doc__ = docstring
    arguments = arguments_of(look)
    assert arguments.description == "Look.\n\nAt it."
    assert arguments.schema["properties"]["x"] == {"type": "integer", "description": "Where to look."}


@pytest.mark.parametrize(
    ("docstring", "description"),
    [
        (None, None),
        ("", None),
        ("Look at it.", "Look at it."),
        ("\n    Args:\n        x: Where.\n    ", None),
        ("Look.\n\n: :x", "Look.\n\n: :x"),  # docstring-parser 0.18 raises IndexError for it
    ],
)
def test_what_a_docstring_says_before_its_sections_describes_the_tool(
    docstring: str | None, description: str | None
) -> None:
    def look(x: int) -> None: ...

    look.__doc__ = docstring
    assert arguments_of(look).description == description


def test_an_annotation_says_more_than_the_docstring_and_that_more_than_the_type() -> None:
    def look(a: Annotated[Place, Meta(description="annotated")], b: Place, c: Place) -> None:
        """Look.

        Args:
            a: Documented.
            b: Documented.
        """

    properties = arguments_of(look).schema["properties"]
    assert [properties[name]["description"] for name in "abc"] == ["annotated", "Documented.", "A place on earth."]


def test_the_injected_parameter_is_not_shown_and_not_taken() -> None:
    def look(x: int, context: Context) -> None: ...

    arguments = arguments_of(look)
    assert arguments.injected == "context"
    assert list(arguments.schema["properties"]) == ["x"]
    with pytest.raises(ArgumentsError, match="no field `context`"):
        arguments.parse('{"x": 1, "context": {}}')


def test_a_parameter_may_have_the_name_of_a_keyword_of_schemas() -> None:
    def look(default: Node, enum: Unit, properties: dict[str, Place]) -> None: ...

    schema = arguments_of(look).schema
    assert schema["properties"]["default"] == {"$ref": "#/$defs/Node"}
    assert schema["properties"]["enum"] == {"title": "Unit", "enum": ["c", "f"]}
    assert schema["properties"]["properties"]["additionalProperties"]["title"] == "Place"


# --- what is accepted of it --------------------------------------------------------------------------------------


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    # To a schema 1.0 is an integer, to msgspec it is not; models do not write that.
    st.integers(-1000, 1000).map(lambda n: n + 0.5),
    st.text(max_size=4),
    st.sampled_from(["c", "f", "red", "circle"]),
)
any_json = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["lat", "name", "low", "unit", "words", "type", "radius", "children"]),
                st.text(max_size=3),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
finite = st.floats(-90, 90).map(lambda x: x if x != int(x) else int(x))
node_values: Any = st.recursive(
    st.fixed_dictionaries({"name": st.text(max_size=3)}),
    lambda inner: st.fixed_dictionaries(
        {"name": st.text(max_size=3)}, optional={"children": st.lists(inner, max_size=2)}
    ),
    max_leaves=3,
)
place_values = st.fixed_dictionaries({"lat": finite}, optional={"name": st.none() | st.text(max_size=3)})
hints = st.recursive(
    st.sampled_from(
        [
            (int, st.integers()),
            (float, finite),
            (bool, st.booleans()),
            (str, st.text(max_size=5)),
            (Any, any_json),
            (Unit, st.sampled_from(["c", "f"])),
            (Literal["red", 3], st.sampled_from(["red", 3])),
            (Annotated[int, Meta(ge=2, lt=9)], st.integers(2, 8)),
            (Annotated[str, Meta(min_length=1, max_length=3)], st.text(min_size=1, max_size=3)),
            (Annotated[list[int], Meta(max_length=2)], st.lists(st.integers(), max_size=2)),
            (Place, place_values),
            (Range, st.fixed_dictionaries({"low": st.integers()}, optional={"high": st.integers()})),
            (
                Options,
                st.fixed_dictionaries(
                    {"unit": st.sampled_from(["c", "f"])}, optional={"words": st.lists(st.text(max_size=3), max_size=2)}
                ),
            ),
            (
                Circle | Square,
                st.fixed_dictionaries({"type": st.just("circle"), "radius": finite})
                | st.fixed_dictionaries({"type": st.just("square"), "side": st.text(max_size=3)}),
            ),
            (Node, node_values),
        ]
    ),
    lambda inner: st.one_of(  # types that are made here, which a checker cannot follow
        inner.map(lambda pair: (list[pair[0]], st.lists(pair[1], max_size=3))),  # type: ignore[valid-type]
        inner.map(lambda pair: (dict[str, pair[0]], st.dictionaries(st.text(max_size=3), pair[1], max_size=3))),  # type: ignore[valid-type]
        inner.map(lambda pair: (pair[0] | None, st.none() | pair[1])),
    ),
    max_leaves=3,
)


@st.composite
def signatures(draw: st.DrawFn) -> tuple[ToolArguments, dict[str, Any], dict[str, bool]]:
    """Arguments of a random signature, values that fit it, and which of its parameters are required."""
    parameters: dict[str, tuple[Any, Any]] = {}
    values: dict[str, Any] = {}
    required: dict[str, bool] = {}
    for name in draw(st.lists(st.sampled_from(["a", "b", "lat", "type", "default"]), unique=True, max_size=4)):
        hint, fitting = draw(hints)
        required[name] = draw(st.booleans())
        parameters[name] = (
            hint,
            inspect.Parameter.empty if required[name] else draw(st.sampled_from([None, object()])),
        )
        if required[name] or draw(st.booleans()):
            values[name] = draw(fitting)
    return arguments_of(function_with(**parameters)), values, required


def accepts(arguments: ToolArguments, value: Any) -> bool:
    try:
        arguments.parse(json.dumps(value))
    except ArgumentsError:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(signature=signatures())
def test_what_the_schema_asks_for_is_accepted(
    signature: tuple[ToolArguments, dict[str, Any], dict[str, bool]],
) -> None:
    arguments, values, _ = signature
    jsonschema.Draft202012Validator.check_schema(arguments.schema)
    jsonschema.Draft202012Validator(arguments.schema).validate(values)
    assert set(arguments.parse(json.dumps(values))) == set(values)


@settings(max_examples=300, deadline=None)
@given(signature=signatures(), other=any_json, data=st.data())
def test_the_schema_and_the_function_accept_the_same(
    signature: tuple[ToolArguments, dict[str, Any], dict[str, bool]], other: Any, data: st.DataObject
) -> None:
    arguments, values, required = signature
    change = data.draw(st.sampled_from(["all", "one", "less", "more"]))
    if change == "all":
        values = other
    elif change == "one" and required:
        values = values | {data.draw(st.sampled_from(sorted(required))): other}
    elif change == "less":
        values = {name: value for name, value in values.items() if data.draw(st.booleans())}
    elif change == "more":
        values = values | {"unheard of": other}
    assert accepts(arguments, values) == jsonschema.Draft202012Validator(arguments.schema).is_valid(values)


def test_values_are_typed_and_what_is_left_out_stays_out() -> None:
    def look(place: Place, span: Range, unit: Unit, options: Options, days: int = 3) -> None: ...

    values = arguments_of(look).parse(
        '{"place": {"lat": 1}, "span": {"low": 2}, "unit": "c", "options": {"unit": "f"}}'
    )
    assert values == {
        "place": Place(lat=1.0),
        "span": Range(low=2),
        "unit": Unit.CELSIUS,
        "options": {"unit": Unit.FAHRENHEIT},
    }


@pytest.mark.parametrize("text", ["", " \n", "{}"])
def test_no_arguments_are_an_empty_object(text: str) -> None:
    def look(days: int = 3) -> None: ...

    assert arguments_of(look).parse(text) == {}


def look(
    place: Place,
    days: Annotated[int, Meta(ge=1)],
    unit: Literal["c", "f"] = "c",
    tags: dict[str, Unit] | None = None,
    tree: Node | None = None,
    shape: Circle | Square | None = None,
    ids: dict[int, str] | None = None,
) -> None: ...


FITTING: dict[str, Any] = {"place": {"lat": 1}, "days": 2}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"days": "2"}, 'Expected `int`, got `str` for `days`; it has to be {"type":"integer","minimum":1}'),
        ({"days": 0}, 'Expected `int` >= 1 for `days`; it has to be {"type":"integer","minimum":1}'),
        ({"unit": "k"}, 'Invalid enum value \'k\' for `unit`; it has to be {"enum":["c","f"],"default":"c"}'),
        (
            {"tags": {"a": "k"}},
            'Invalid enum value \'k\' for `tags[...]`; it has to be {"title":"Unit","enum":["c","f"]}',
        ),
        ({"place": {}}, 'the field `place.lat` is missing; it has to be {"type":"number","minimum":-90,"maximum":90}'),
        (
            {"tree": {"name": "a", "children": [{"name": "b"}, {"name": 3}]}},
            'Expected `str`, got `int` for `tree.children[1].name`; it has to be {"type":"string"}',
        ),
        ({"shape": {"type": "star"}}, "Invalid value 'star' for `shape.type`"),
        ({"shape": {"type": "square", "side": 1}}, 'for `shape.side`; it has to be {"type":"string"}'),
        ({"colour": 1}, "there is no field `colour`; the fields are: place, days, unit, tags, tree, shape, ids"),
        ({"ids": {"x": "y"}}, "Expected `int`, got `str`"),
    ],
)
def test_the_model_is_told_which_field_is_wrong_and_what_belongs_there(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        arguments_of(look).parse(json.dumps(FITTING | change))
    assert str(caught.value).startswith("the arguments of look are not valid: ")
    assert said in str(caught.value)


def test_the_model_is_not_told_what_belongs_there_where_that_depends() -> None:
    with pytest.raises(ArgumentsError, match=r"Expected `float`, got `str` for `shape\.radius`$"):
        arguments_of(look).parse(json.dumps(FITTING | {"shape": {"type": "circle", "radius": "1"}}))


def test_the_model_is_told_which_fields_a_nested_object_has() -> None:
    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        a: int = 1

    with pytest.raises(ArgumentsError, match="there is no field `b` in `x`; the fields are: a"):
        arguments_of(function_with(x=(Strict, inspect.Parameter.empty))).parse('{"x": {"b": 2}}')
    with pytest.raises(ArgumentsError, match="no field `b`; the fields are: none"):
        arguments_of(function_with()).parse('{"b": 2}')


def test_a_long_schema_is_not_repeated_to_the_model() -> None:
    hint = Literal[tuple(f"word {n}" for n in range(200))]  # type: ignore[valid-type]
    with pytest.raises(ArgumentsError, match=r"Invalid enum value 'x' for `x`$"):
        arguments_of(function_with(x=(hint, inspect.Parameter.empty))).parse('{"x": "x"}')


@pytest.mark.parametrize("text", ["{", "hello", '{"days": 1,}', '{"place": "\ud800"}', '{"place": NaN}'])
def test_what_is_no_json_is_an_error(text: str) -> None:
    with pytest.raises(ArgumentsError, match="the arguments of look are not valid JSON: "):
        arguments_of(look).parse(text)


def test_what_is_nested_beyond_reason_is_an_error() -> None:
    def swallow(x: Any) -> None: ...

    with pytest.raises(ArgumentsError, match="not valid JSON"):
        arguments_of(swallow).parse('{"x":' + "[" * 100_000)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"x"'])
def test_what_is_no_object_is_an_error(text: str) -> None:
    with pytest.raises(ArgumentsError, match="Expected `object`, got "):
        arguments_of(look).parse(text)
