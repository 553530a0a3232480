"""The exact arithmetic of a mixture: shares, budgets, temperature, epochs, stages in order.

Sizes are integers, shares are fractions: no sum depends on the order of groups, and nothing is
rounded before the last step. "Size" is tokens, or bytes for a tokenizer's sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import msgspec

from pipeline.errors import ConfigError, nearest

_POWER = Context(prec=60)
"""Digits of n^alpha. decimal computes power from its correctly rounded exp and ln: the same digits
everywhere, which the C library's pow is not."""


@dataclass(frozen=True)
class Group:
    """What one epoch of a group's train documents holds."""

    documents: int
    size: int


Groups = Mapping[str, Group]
Amounts = dict[str, Fraction]


def exact(number: float) -> Fraction:
    """The decimal that a number is written as, not its binary value: 0.1 is a tenth."""
    return Fraction(str(number))


_TYPES: dict[str, Any] = {
    "weights": Mapping[str, float] | None,
    "budgets": Mapping[str, int] | None,
    "alpha": float | None,
}


def check_types(where: str, knobs: Mapping[str, Any]) -> None:
    """Raises ValueError for weights, budgets or an alpha of another type than the knobs of `mix`.

    The knobs of a stage stand in a mapping, whose values no type says.
    """
    for name, kind in _TYPES.items():
        try:
            msgspec.convert(knobs.get(name), type=kind)
        except msgspec.ValidationError as error:
            raise ValueError(f"{where}: {name} = {knobs[name]!r}: {error}.") from error


def power(number: int, alpha: float) -> Fraction:
    """number^alpha to 60 digits; 0 stays 0."""
    if number == 0:
        return Fraction(0)
    return Fraction(_POWER.power(Decimal(number), Decimal(str(alpha))))


@dataclass(frozen=True)
class Recipe:
    """How one total is dealt to groups: budgets first, then the rest by weight, power or size."""

    weights: Mapping[str, float] | None = None
    budgets: Mapping[str, int] | None = None
    alpha: float | None = None
    alpha_of: str = "tokens"

    def check(self) -> None:
        """Raises ValueError where the knobs contradict each other."""
        if self.weights is not None and self.alpha is not None:
            raise ValueError("weights and alpha both share out the rest. Give one of them.")
        for name, found in (("weight", self.weights), ("budget", self.budgets)):
            for group, value in sorted((found or {}).items()):
                if not (math.isfinite(value) and value >= 0):
                    raise ValueError(f"{name} {value:g} of '{group}', expected 0 or more.")
            needed = name == "weight" or not self.shares_rest
            if needed and found is not None and not any(found.values()):
                raise ValueError(f"{name}s need at least one group with a positive {name}.")
        if self.alpha is not None and not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha = {self.alpha:g}, expected 0 (equal shares) to 1 (by size).")
        for group in sorted(set(self.weights or ()) & set(self.budgets or ())):
            raise ValueError(f"'{group}' has a weight and a budget. Give one of them.")

    @property
    def shares_rest(self) -> bool:
        """True if something besides the budgets is dealt out."""
        return self.budgets is None or self.weights is not None or self.alpha is not None

    @property
    def budget(self) -> int:
        """The sum of all budgets."""
        return sum((self.budgets or {}).values())

    def named(self) -> tuple[str, ...] | None:
        """The groups that may occur; None if any may."""
        if self.weights is None and (self.budgets is None or self.shares_rest):
            return None
        return tuple(sorted({*(self.weights or {}), *(self.budgets or {})}))

    def takes(self, group: str) -> bool:
        """True unless a weight or budget of 0 leaves the group out."""
        if self.budgets is not None and group in self.budgets:
            return self.budgets[group] > 0
        return self.shares_rest and (self.weights is None or self.weights.get(group, 0) > 0)

    def check_groups(self, groups: Groups) -> None:
        """Raises ConfigError for a group that is named nowhere, and a name without documents."""
        there = [name for name in groups if groups[name].size]
        for what, found in (("weight", self.weights), ("budget", self.budgets)):
            for name in sorted(found or {}):
                value = (found or {})[name]
                if value > 0 and name not in there:
                    raise ConfigError(
                        f"mix: {what}s name the group '{name}' ({what} {value:,}), which has no "
                        f"training documents.{nearest(name, there)}"
                    )
        named = self.named()
        for name in sorted(groups) if named is not None else ():
            if name not in (named or ()):
                what = "weight" if self.weights is not None else "budget"
                raise ConfigError(
                    f"mix: the group '{name}' ({groups[name].size:,} tokens) has no {what}; "
                    f"{what}s name {', '.join(named or ())}. Give it one; 0 leaves it out."
                )

    def shares(self, groups: Groups) -> Amounts:
        """Share of each group in what the budgets leave; exact, summing to 1 or to 0."""
        if not self.shares_rest:
            return {}
        if self.weights is not None:
            parts = {name: exact(weight) for name, weight in self.weights.items()}
        else:
            left = {name: groups[name] for name in groups if name not in (self.budgets or {})}
            if self.alpha is None:
                parts = {name: Fraction(group.size) for name, group in left.items()}
            elif self.alpha_of == "documents":
                parts = {name: power(group.documents, self.alpha) for name, group in left.items()}
            else:
                parts = {name: power(group.size, self.alpha) for name, group in left.items()}
        whole = sum(parts.values(), Fraction(0))
        return {name: part / whole if whole else Fraction(0) for name, part in parts.items()}

    def wanted(self, total: Fraction, groups: Groups) -> Amounts:
        """What each group should give to a total, before any bound on epochs."""
        amounts = {name: Fraction(budget) for name, budget in (self.budgets or {}).items()}
        rest = total - self.budget
        return amounts | {name: rest * share for name, share in self.shares(groups).items()}

    def capped(self, total: Fraction, groups: Groups, room: Mapping[str, Fraction]) -> Amounts:
        """As `wanted`, but no group gives more than its room.

        What a weighted group cannot give goes to the others in proportion to their shares, as often
        as needed (UniMax, Chung et al. 2023, arXiv:2304.09151, is this with equal shares). A budget
        is nobody else's to fill.
        """
        amounts = {
            name: min(Fraction(budget), room.get(name, Fraction(0)))
            for name, budget in (self.budgets or {}).items()
        }
        shares = {name: share for name, share in self.shares(groups).items() if share > 0}
        rest = total - self.budget
        while shares:
            whole = sum(shares.values(), Fraction(0))
            full = [n for n, share in shares.items() if rest * share > room[n] * whole]
            if not full:
                return amounts | {name: rest * share / whole for name, share in shares.items()}
            for name in full:
                amounts[name] = room[name]
                rest -= room[name]
                del shares[name]
        return amounts


@dataclass(frozen=True)
class Part:
    """One stage of a mixture: its recipe and its size."""

    recipe: Recipe
    name: str = ""
    """Empty where the mixture has no stages."""
    tokens: int | None = None
    share: Fraction | None = None
    """Share of the mixture's total, instead of `tokens`."""


@dataclass(frozen=True)
class Dealt:
    """Sizes by group at the end of each stage, counted from the beginning."""

    wanted: list[Amounts] = field(default_factory=list)
    """As asked for."""
    given: list[Amounts] = field(default_factory=list)
    """Within `max_epochs`."""


def largest_total(
    parts: Sequence[Part], groups: Groups, limits: Mapping[str, Fraction]
) -> Fraction:
    """The largest total of which no group gives more than its limit; parts are shares of it."""
    shares: Amounts = {}
    for part in parts:
        for name, share in part.recipe.shares(groups).items():
            shares[name] = shares.get(name, Fraction(0)) + share * (part.share or Fraction(1))
    found = [limits[name] / share for name, share in shares.items() if share > 0]
    return min(found, default=Fraction(0))


def deal(
    parts: Sequence[Part],
    total: int | None,
    groups: Groups,
    limits: Mapping[str, Fraction],
    cap: bool,
) -> Dealt:
    """What each group gives to each stage in turn; a group's limit holds for all stages together.

    Without a total it is the largest that the limits allow. Raises ConfigError where a group would
    pass its limit, unless `cap` holds it there.
    """
    whole = largest_total(parts, groups, limits) if total is None else Fraction(total)
    dealt = Dealt()
    wanted, given = ({name: Fraction(0) for name in groups} for _ in range(2))
    for part in parts:
        size = whole if part.tokens is None else Fraction(part.tokens)
        size *= 1 if part.share is None else part.share
        if not part.recipe.shares_rest:
            size = Fraction(part.recipe.budget)
        want = part.recipe.wanted(size, groups)
        room = {name: limits[name] - given[name] for name in groups}
        if not cap:
            _check_room(part, size, want, groups, room, limits)
        got = part.recipe.capped(size, groups, room) if cap else want
        wanted = {name: wanted[name] + want.get(name, 0) for name in groups}
        given = {name: given[name] + got.get(name, 0) for name in groups}
        dealt.wanted.append(wanted)
        dealt.given.append(given)
    return dealt


def _check_room(
    part: Part,
    size: Fraction,
    want: Amounts,
    groups: Groups,
    room: Mapping[str, Fraction],
    limits: Mapping[str, Fraction],
) -> None:
    over = [name for name in want if want[name] > room.get(name, Fraction(0))]
    if not over:
        return
    group = max(over, key=lambda name: (want[name] / max(room[name], Fraction(1, 10**9)), name))
    tokens, left = groups[group].size, room[group]
    epochs = float((limits[group] - left + want[group]) / max(tokens, 1))
    most = f"{int(left):,}"
    where = f"stage '{part.name}': " if part.name else ""
    if group in (part.recipe.budgets or {}):
        what = f"the budget of {int(want[group]):,} tokens"
        advice = f"ask for at most {most} tokens of it"
    else:
        share = want[group] / (size - part.recipe.budget)
        most = f"{int(left / share) + part.recipe.budget:,}"
        what = f"tokens = {int(size):,}"
        advice = f"its share is {float(share):.4g}. Ask for at most {most} tokens, lower its weight"
    raise ConfigError(
        f"mix: {where}{what} needs {epochs:.2f} epochs of the group '{group}', which has "
        f"{tokens:,} tokens; max_epochs is {float(limits[group] / max(tokens, 1)):g}; {advice}, "
        f"raise max_epochs, or hold it there with over_max_epochs: cap."
    )
