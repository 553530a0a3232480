"""Word problems of our own in the manner of a mathematics benchmark, each with its answer."""

from samples.english_words import MEN, TOWNS, WEEKDAYS, WOMEN
from samples.grammar import Dice

_GOODS = ("pears", "lanterns", "tiles", "buttons", "candles", "postcards", "walnuts", "bottles")


def question(dice: Dice) -> tuple[str, str]:
    """A question of forty words or more and its whole-number answer."""
    who, friend = dice.shuffled((*WOMEN, *MEN))[:2]
    goods, town, day = dice.pick(_GOODS), dice.pick(TOWNS), dice.pick(WEEKDAYS)
    shape = dice.pick((_crates, _ferry, _savings, _shares))
    return shape(dice, who, friend, goods, town, day)


def _crates(dice: Dice, who: str, friend: str, goods: str, town: str, day: str) -> tuple[str, str]:
    crates, each, given = dice.number(12, 39), dice.number(14, 48), dice.number(3, 11)
    loose = dice.number(15, 95)
    text = (
        f"On {day} {who} fills {crates} crates in {town} with {each} {goods} each. {friend} takes "
        f"{given} of the full crates away and brings back {loose} loose {goods} in a sack. How "
        f"many {goods} does {who} have in the end, counting both the crates and the sack?"
    )
    return text, str((crates - given) * each + loose)


def _ferry(dice: Dice, who: str, friend: str, goods: str, town: str, day: str) -> tuple[str, str]:
    trips, seats, empty = dice.number(5, 14), dice.number(24, 80), dice.number(2, 15)
    fare = dice.number(3, 9)
    text = (
        f"The boat from {town} makes {trips} trips each {day} and has {seats} seats. {who} counts "
        f"{empty} empty seats on every trip, while {friend} sells the tickets for {fare} coins "
        f"apiece and also sells {goods} for nothing. How many coins does {friend} take that day?"
    )
    return text, str(trips * (seats - empty) * fare)


def _savings(dice: Dice, who: str, friend: str, goods: str, town: str, day: str) -> tuple[str, str]:
    start, weekly, weeks = dice.number(40, 400), dice.number(6, 35), dice.number(4, 30)
    spent = dice.number(10, 38)
    text = (
        f"{who} has {start} coins in a jar and adds {weekly} coins every {day} for {weeks} weeks. "
        f"After the last of these weeks {who} spends {spent} coins on {goods} at the market of "
        f"{town} as a gift for {friend}. How many coins are left in the jar?"
    )
    return text, str(start + weekly * weeks - spent)


def _shares(dice: Dice, who: str, friend: str, goods: str, town: str, day: str) -> tuple[str, str]:
    people, each, lost = dice.number(4, 12), dice.number(13, 60), dice.number(2, 12)
    text = (
        f"{who} and {friend} collect {goods} for the {people} families of their street in {town}. "
        f"On {day} each family gets exactly {each} {goods}, nobody else gets any, and {lost} "
        f"{goods} are broken on the way. How many {goods} had they collected before that?"
    )
    return text, str(people * each + lost)
