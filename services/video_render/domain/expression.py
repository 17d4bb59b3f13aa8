"""Functions of x (or t) for plots: a small arithmetic language, parsed and evaluated without running anybody's code.

The text is read by Python's own parser, then only nodes on an allow-list are turned into closures over floats.
Schoolbook spelling works: `2x^2`, `3(x+1)`, `2 sin(x)`, `y = x^2`, `f(x) = …`, `|x|`, `π`, `−`.
"""

from __future__ import annotations

import ast
import cmath
import difflib
import math
import operator
import re
from collections.abc import Callable
from functools import lru_cache

MAX_LENGTH = 200
MAX_NODES = 120

Function = Callable[[float], float]
"""A compiled expression: x to y; NaN where the function has no real value."""


class ExpressionError(ValueError):
    """The text is not an expression of this language; the message says what is wrong."""


def _sign(value: float) -> float:
    return math.copysign(1.0, value) if value else 0.0


_UNARY: dict[str, Callable[[float], float]] = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan,
    "asin": math.asin, "acos": math.acos, "atan": math.atan,
    "arcsin": math.asin, "arccos": math.acos, "arctan": math.atan,
    "sinh": math.sinh, "cosh": math.cosh, "tanh": math.tanh,
    "exp": math.exp, "ln": math.log, "log": math.log10, "log10": math.log10, "log2": math.log2,
    "sqrt": math.sqrt, "cbrt": math.cbrt, "abs": abs, "sign": _sign,
    "floor": lambda v: float(math.floor(v)), "ceil": lambda v: float(math.ceil(v)),
}  # fmt: skip
_VARIADIC: dict[str, Callable[..., float]] = {"min": min, "max": max}
_CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}
_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Pow: operator.pow, ast.Mod: operator.mod,
}  # fmt: skip
FUNCTIONS = frozenset(_UNARY) | frozenset(_VARIADIC)

_SPELLING = {
    "−": "-",
    "–": "-",
    "·": "*",
    "×": "*",
    "÷": "/",
    "π": "pi",
    "τ": "tau",
    "²": "^2",
    "³": "^3",
    "√": "sqrt",
}
_TYPST_NAMES = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "sign": '"sgn"', "log10": "log_(10)",
    "log2": "log_2",
}  # fmt: skip
_TYPST_SYMBOLS = {"**": "^", "*": " dot.op ", "%": " mod "}
_DEFINITION = {
    name: re.compile(rf"\A\s*(?:[a-zA-Z]\w*\s*\(\s*{name}\s*\)|{left})\s*=(?!=)")
    for name, left in (("x", "y"), ("t", "[xy]"))
}
_PRODUCT = {name: re.compile(rf"(?:pi|tau|e|{name})+") for name in "xt"}
_FACTOR = {name: re.compile(rf"pi|tau|e|{name}") for name in "xt"}
_BARS = re.compile(r"\|([^|]+)\|")
_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_]\w*)|(\*\*|.))", re.DOTALL)


def evaluate(function: Function, x: float) -> float:
    """The function at x; NaN where it has no real, finite value."""
    try:
        value = function(x)
    except (ValueError, ZeroDivisionError, OverflowError):
        return math.nan
    if isinstance(value, complex) or not math.isfinite(value):
        return math.nan
    return value


@lru_cache(maxsize=256)
def parse(text: str, variable: str = "x") -> Function:
    """Compile an expression of `variable` (x or t); raises `ExpressionError`.

    The result may raise arithmetic errors: use `evaluate`.
    """
    if not text.strip():
        raise ExpressionError("must not be empty")
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"must have at most {MAX_LENGTH} characters, has {len(text)}")
    source = _to_python(text, variable)
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ExpressionError(f"cannot be read as an expression of {variable}: '{text.strip()}'") from error
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise ExpressionError("is too complex")
    return _compile(tree.body, variable)


def pretty(text: str, variable: str = "x", name: str = "y") -> str:
    """`name = expression` as Typst mathematics, for legends: `2 sin(x)/3` is set as a fraction.

    The expression is one that `parse` accepts. What is written side by side stays a product: `1/2 (x+1)` is not 1 over
    2(x+1).
    """
    parts: list[str] = []
    ends_value = after_word = False
    for number, word, symbol in _tokens(text, variable):
        if (ends_value and symbol == "(") or ((ends_value or after_word) and (number or word)):
            parts.append(" ")
        if number:
            parts.append(_pretty_number(number))
        elif word:
            parts.append(
                _TYPST_NAMES.get(word) or " ".join(part for part in _split_name(word, variable) if part != "*")
            )
        else:
            parts.append(_TYPST_SYMBOLS.get(symbol, symbol))
        ends_value = bool(number) or bool(word and word not in FUNCTIONS) or symbol == ")"
        after_word = bool(word)
    joined = "".join(parts).replace("cbrt(", "root(3, ").replace("cbrt", '"cbrt"')
    joined = re.sub(r"(?<=\d) dot\.op (?=[A-Za-z(])", " ", joined)
    return f"{name} = " + re.sub(r"\^\s*(-?\d+(?:\.\d+)?|-[A-Za-z]+)", r"^(\1)", joined)


def _pretty_number(number: str) -> str:
    """A number as in the source, but powers of ten written as such."""
    mantissa, _, exponent = number.lower().partition("e")
    mantissa = f"0{mantissa}" if mantissa.startswith(".") else mantissa
    return f"({mantissa} times 10^({int(exponent)}))" if exponent else mantissa


def _tokens(text: str, variable: str) -> list[tuple[str, str, str]]:
    """(number, name, symbol), one of them not empty, of the right side in plain spelling, with bars as `abs`."""
    for char, ascii_form in _SPELLING.items():
        text = text.replace(char, ascii_form)
    text = _BARS.sub(r"abs(\1)", _DEFINITION[variable].sub("", text, count=1))
    found = (match.groups(default="") for match in _TOKEN.finditer(text.strip()))
    return [(number, name, symbol) for number, name, symbol in found if symbol != " "]


def _to_python(text: str, variable: str) -> str:
    """Schoolbook spelling to Python's: powers, implied products, bars."""
    parts: list[str] = []
    ends_value = opened = False
    tokens = _tokens(text, variable)
    for index, (number, name, symbol) in enumerate(tokens):
        if opened and (name in FUNCTIONS or (symbol and symbol not in "^.")):
            parts.append(")")  # `sin 2x + 1` is sin(2x) + 1
            opened, ends_value = False, True
        if (number or name or symbol == "(") and ends_value:
            parts.append("*")
        if name:
            parts.extend(_split_name(name, variable))
            ends_value = name not in FUNCTIONS
            following = tokens[index + 1] if index + 1 < len(tokens) else ("", "", "")
            if not ends_value and (following[0] or following[1]):
                parts.append("(")
                opened = following[1] not in FUNCTIONS
        else:
            parts.append("**" if symbol == "^" else number or symbol)
            ends_value = bool(number) or symbol == ")"
    return "".join(parts) + (")" if opened else "")


def _split_name(name: str, variable: str) -> list[str]:
    """`xx` and `pix` are products; any other unknown name stays whole (and is refused later)."""
    if name not in FUNCTIONS and _PRODUCT[variable].fullmatch(name):
        return " * ".join(_FACTOR[variable].findall(name)).split()
    return [name]


def _compile(node: ast.expr, variable: str) -> Function:
    """A closure for one allowed node; anything else is refused by name."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            number = _to_float(value)
            return lambda _: number
        case ast.Name(id=name) if name == variable:
            return lambda x: x
        case ast.Name(id=name) if name in _CONSTANTS:
            constant = _CONSTANTS[name]
            return lambda _: constant
        case ast.Name(id=name):
            raise ExpressionError(_unknown(name, variable))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _compile(operand, variable)
            return lambda x: -inner(x)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _compile(operand, variable)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _binary(_BINARY[type(op)], _compile(left, variable), _compile(right, variable))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return _call(name, variable, [_compile(arg, variable) for arg in args])
    raise ExpressionError(f"'{ast.unparse(node)[:40]}' is not allowed in an expression of {variable}")


def _to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ExpressionError("holds a number that is too large") from error


def _binary(combine: Callable[[float, float], float], left: Function, right: Function) -> Function:
    if combine is operator.pow:
        return lambda x: _power(left(x), right(x))
    return lambda x: combine(left(x), right(x))


def _power(base: float, exponent: float) -> float:
    """A real power; odd roots of negative numbers (x^(1/3)) are taken as in school."""
    value: float | complex = base**exponent
    if isinstance(value, complex):
        root = round(1 / exponent) if exponent else 0
        if root % 2 == 1 and cmath.isclose(1 / root, exponent, rel_tol=1e-12):
            return -float((-base) ** exponent)
        raise ValueError("no real value")
    return value


def _call(name: str, variable: str, args: list[Function]) -> Function:
    if name in _UNARY:
        if len(args) != 1:
            raise ExpressionError(f"'{name}' takes one argument, has {len(args)}")
        single, inner = _UNARY[name], args[0]
        return lambda x: single(inner(x))
    if name in _VARIADIC:
        if not 2 <= len(args) <= 8:
            raise ExpressionError(f"'{name}' takes 2 to 8 arguments, has {len(args)}")
        combine = _VARIADIC[name]
        return lambda x: combine(*[arg(x) for arg in args])
    raise ExpressionError(_unknown(name, variable))


def _unknown(name: str, variable: str) -> str:
    close = difflib.get_close_matches(name, [*FUNCTIONS, *_CONSTANTS, variable], n=1, cutoff=0.7)
    return f"unknown name '{name}'" + (f"; did you mean '{close[0]}'?" if close else "")
