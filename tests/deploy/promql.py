"""As much of PromQL as the rules and dashboards of `deploy/` speak, over scrapes that were kept.

Values are as Prometheus gives them, but for `rate` and `increase`, which are not extrapolated to the edges of a window.
What is not understood raises: a rule that this cannot read is not thought to be silent.
"""

import itertools
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

LOOKBACK_SECONDS = 300

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = Vector | float

MATH: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda one, other: one / other if other else float("nan"),
}
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
SETS = {"and", "or", "unless"}
FOLDS: Mapping[str, Callable[[list[float]], float]] = {"sum": sum, "max": max, "min": min, "count": len}


def matches(matcher: Any, labels: Mapping[str, str]) -> bool:
    """Whether labels are what a selector asks for."""
    text, op = labels.get(matcher.name, ""), matcher.op
    if op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
        return (text == matcher.value) is (op == promql.MatchOp.Equal)
    return (re.fullmatch(matcher.value, text) is not None) is (op == promql.MatchOp.Re)


def selectors(expr: Any) -> Iterator[Any]:
    """Every vector selector in it."""
    match expr:
        case promql.VectorSelector():
            yield expr
        case promql.MatrixSelector():
            yield expr.vector_selector
        case promql.BinaryExpr():
            yield from selectors(expr.lhs)
            yield from selectors(expr.rhs)
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr():
            yield from selectors(expr.expr)
        case promql.Call():
            for each in expr.args:
                yield from selectors(each)
        case promql.NumberLiteral() | promql.StringLiteral():
            return
        case _:
            raise NotImplementedError(type(expr).__name__)


@dataclass
class Scrapes:
    """What was scraped, and when."""

    series: dict[str, dict[Labels, list[tuple[float, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, at: float, text: str | None, job: str, instance: str) -> None:
        """A target was scraped at this unix time; no text: it did not answer."""
        target = {"job": job, "instance": instance}
        self._keep("up", target, at, 0.0 if text is None else 1.0)
        names = set(re.findall(r"^\w+", text or "", re.MULTILINE))
        for family in text_string_to_metric_families(text or ""):
            for sample in family.samples:
                # The parser gives every counter the suffix of OpenMetrics.
                name = sample.name if sample.name in names else sample.name.removesuffix("_total")
                self._keep(name, {**sample.labels, **target}, at, sample.value)

    def _keep(self, name: str, labels: Mapping[str, str], at: float, value: float) -> None:
        self.series[name][frozenset(labels.items())].append((at, value))

    def evaluate(self, expression: str, at: float) -> Vector:
        """The samples that the expression gives at this unix time."""
        value = self._value(promql.parse(expression), at)
        return value if isinstance(value, dict) else {frozenset(): value}

    def _value(self, expr: Any, at: float) -> Value:
        match expr:
            case promql.NumberLiteral():
                return float(expr.val)
            case promql.ParenExpr():
                return self._value(expr.expr, at)
            case promql.VectorSelector():
                assert expr.offset is None and expr.at is None  # noqa: PT018 - neither is in use
                found = self._found(expr, at, LOOKBACK_SECONDS)
                return {labels: samples[-1][1] for labels, samples in found.items()}
            case promql.AggregateExpr():
                return self._folded(expr, at)
            case promql.Call():
                return self._called(expr.func.name, expr.args, at)
            case promql.BinaryExpr():
                return self._combined(expr, at)
            case _:
                raise NotImplementedError(type(expr).__name__)

    def _found(self, selector: Any, at: float, seconds: float) -> dict[Labels, list[tuple[float, float]]]:
        assert not selector.matchers.or_matchers
        found = {}
        for labels, samples in self.series.get(selector.name, {}).items():
            named = dict(labels)
            if all(matches(each, named) for each in selector.matchers.matchers):
                within = [sample for sample in samples if at - seconds < sample[0] <= at]
                if within:
                    found[labels] = within
        return found

    def _folded(self, expr: Any, at: float) -> Vector:
        vector = self._value(expr.expr, at)
        assert isinstance(vector, dict)
        by = set() if expr.modifier is None else set(expr.modifier.labels)
        assert expr.modifier is None or expr.modifier.type == promql.AggModifierType.By
        groups = defaultdict(list)
        for labels, value in vector.items():
            groups[frozenset(each for each in labels if each[0] in by)].append(value)
        return {labels: FOLDS[str(expr.op)](values) for labels, values in groups.items()}

    def _called(self, name: str, args: list[Any], at: float) -> Value:
        match name, args:
            case "time", []:
                return at
            case "absent", [asked]:
                equal = {} if not isinstance(asked, promql.VectorSelector) else asked.matchers.matchers
                told = frozenset((each.name, each.value) for each in equal if each.op == promql.MatchOp.Equal)
                return {} if self._value(asked, at) else {told: 1.0}
            case (("rate" | "increase"), [promql.MatrixSelector() as asked]):
                seconds = asked.range.total_seconds()
                found = self._found(asked.vector_selector, at, seconds)
                risen = {labels: _increase(samples) for labels, samples in found.items() if len(samples) > 1}
                return {labels: rise / (seconds if name == "rate" else 1) for labels, rise in risen.items()}
            case _:
                raise NotImplementedError(name)

    def _combined(self, expr: Any, at: float) -> Value:
        lhs, rhs = self._value(expr.lhs, at), self._value(expr.rhs, at)
        sign = str(expr.op)
        assert expr.modifier is None or not expr.modifier.return_bool
        if sign in SETS:
            assert isinstance(lhs, dict)
            assert isinstance(rhs, dict)
            return _sets(sign, lhs, rhs, _key(expr))
        if sign in MATH:
            return _each(lhs, rhs, _key(expr), MATH[sign])
        kept = _each(lhs, rhs, _key(expr), lambda one, other: one if COMPARISONS[sign](one, other) else None)
        assert isinstance(kept, dict)  # two numbers are not compared in a rule
        return kept


def _increase(samples: list[tuple[float, float]]) -> float:
    """A counter that has fallen was begun anew."""
    values = [value for _, value in samples]
    return sum(after - before if after >= before else after for before, after in itertools.pairwise(values))


def _key(expr: Any) -> Callable[[Labels], Labels]:
    """By which labels two sides are matched."""
    matching = expr.modifier.matching if expr.modifier else None
    if matching is None:
        return lambda labels: labels
    assert matching.type == promql.LabelModifierType.Include
    return lambda labels: frozenset(each for each in labels if each[0] in matching.labels)


def _each(
    lhs: Value, rhs: Value, key: Callable[[Labels], Labels], combine: Callable[[float, float], float | None]
) -> Value:
    if not isinstance(lhs, dict) and not isinstance(rhs, dict):
        value = combine(lhs, rhs)
        assert value is not None
        return value
    if not isinstance(lhs, dict):
        pairs = {labels: (lhs, value) for labels, value in rhs.items()} if isinstance(rhs, dict) else {}
    elif not isinstance(rhs, dict):
        pairs = {labels: (value, rhs) for labels, value in lhs.items()}
    else:
        others = {key(labels): value for labels, value in rhs.items()}
        assert len(others) == len(rhs), "more than one on the right"
        pairs = {labels: (value, others[key(labels)]) for labels, value in lhs.items() if key(labels) in others}
    combined = {labels: combine(*pair) for labels, pair in pairs.items()}
    return {labels: value for labels, value in combined.items() if value is not None}


def _sets(sign: str, lhs: Vector, rhs: Vector, key: Callable[[Labels], Labels]) -> Vector:
    there, here = {key(labels) for labels in rhs}, {key(labels) for labels in lhs}
    if sign == "or":
        return lhs | {labels: value for labels, value in rhs.items() if key(labels) not in here}
    wanted = sign == "and"
    return {labels: value for labels, value in lhs.items() if (key(labels) in there) is wanted}
