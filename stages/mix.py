"""mix: how much of each group is written. Makes the artefact `mixture`; reads no document.

The arithmetic lives in `pipeline.mixture.sampling`, for the tokenizer's sample needs it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from pipeline.errors import nearest
from pipeline.mixture.sampling import MAX_COPIES, MAX_EPOCHS, VALIDATION_PERMILLE, Mixture
from pipeline.mixture.shares import Part
from pipeline.mixture.upsample import missing_column
from pipeline.stage import Stage, knob


@dataclass(frozen=True)
class Mix(Stage):
    """Weights, budgets, epochs, stages and validation split of the token shards.

    Without knobs every document is written once, or a share of each group with `max_epochs` below
    1. A group's share of the train tokens is its weight
    over their sum, or its size to the power of `alpha` over theirs; `budgets` are tokens of their
    own, taken off first. The total is `tokens`, else the largest at which no group passes
    `max_epochs`. A group that would pass it stops the run with the figures, or is held there
    (`over_max_epochs: cap`). With `stages` several mixtures follow each other: a document comes
    again in a later one only as its next copy. Validation documents are written once each.

    `alpha: 0` with `over_max_epochs: cap` is UniMax (Chung et al. 2023, arXiv:2304.09151).

    `version` history:
    2: budgets, alpha, stages, copies of single documents; totals say what was wanted.
    """

    version: ClassVar[int] = 2
    kind: ClassVar[str] = "mixture"
    reads: ClassVar[tuple[str, ...]] = ()

    weights: Mapping[str, float] | None = knob(
        None,
        unit="relative weight by group",
        source="everything once: no reweighting unless asked",
        help="group -> weight; groups of several columns are written `web/en`; 0 leaves one out",
    )
    budgets: Mapping[str, int] | None = knob(
        None,
        unit="train tokens by group",
        source="off: shares, not amounts, unless asked",
        help="group -> tokens, like 2.5B; alone it names every group, beside weights or alpha "
        "these share out what `tokens` leaves",
        counts=True,
    )
    alpha: float | None = knob(
        None,
        unit="exponent of a group's size",
        source="off; mT5 0.3 (arXiv:2010.11934), XLM-R 0.3 (1911.02116), XLM 0.5 (1901.07291), "
        "multilingual BERT 0.7",
        help="temperature sampling: share = size^alpha over the sum; 1/alpha is the temperature",
        minimum=0.0,
        maximum=1.0,
    )
    alpha_of: Literal["tokens", "documents"] = knob(
        "tokens",
        source="what is mixed are tokens; mT5 counts pages, XLM and XLM-R sentences",
        choices=("tokens", "documents"),
        help="what the size of a group is for alpha",
    )
    by: tuple[str, ...] = knob(
        ("source",), unit="columns", source="DESIGN section 6", help="columns that make a group"
    )
    max_epochs: float | Mapping[str, float] = knob(
        MAX_EPOCHS,
        unit="epochs",
        source="Muennighoff et al. 2023, arXiv:2305.16264: up to 4 epochs cost little",
        maximum=MAX_COPIES,
        help="one number, or group -> number (4 for a group that is not named)",
    )
    over_max_epochs: Literal["error", "cap"] = knob(
        "error",
        source="a mixture that is not what was asked for must not go unnoticed",
        choices=("error", "cap"),
        help="cap: the group is held there, and groups with a weight or by alpha share what is "
        "missing; the totals say so",
    )
    tokens: int | None = knob(
        None,
        unit="train tokens",
        source="the largest total that max_epochs allows",
        minimum=1,
        counts=True,
    )
    stages: tuple[Mapping[str, Any], ...] = knob(
        (),
        unit="mixtures in order",
        source="off: one mixture",
        help="each {name, tokens: number or 80%, weights | budgets | alpha}; without one of the "
        "three as above; shards and loader keep stages apart, in order",
        counts=True,
    )
    upsample: Mapping[str, Any] | None = knob(
        None,
        unit="copies in one epoch",
        source="off; FineWeb-2 by cluster size: 1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1 "
        "(huggingface/fineweb-2, README)",
        help="{column, copies: {from this value on: copies}, otherwise: 1}; the column may be an "
        "earlier metric like minhash_dedup.cluster_size; 0 copies leave a document out",
    )
    validation_permille: int = knob(
        VALIDATION_PERMILLE,
        unit="documents in 1,000",
        source="tfds c4_utils.py: md5(url) % 1000 == 0",
        minimum=0,
        maximum=999,
    )

    @property
    def mixture(self) -> Mixture:
        """The same knobs with their arithmetic."""
        return Mixture(**{field.name: getattr(self, field.name) for field in fields(Mixture)})

    def check(self) -> None:
        self.mixture.check()

    def columns(self) -> Mapping[str, str]:
        """Document columns that its readers look at -> the knob that names them."""
        named = dict.fromkeys(self.by, f"by = {list(self.by)}")
        if (upsampling := self.mixture.upsampling) is not None:
            named.setdefault(upsampling.column, "upsample")
        return named

    def needs(self) -> tuple[str, ...]:
        return tuple(name for name in self.columns() if "." in name)

    def check_columns(self, names: Sequence[str]) -> None:
        for column, of in self.columns().items():
            if column not in names and "." not in column:
                raise ValueError(missing_column(of, column, names).removeprefix("mix: "))

    def check_sources(self, sources: Sequence[str]) -> None:
        if self.by != ("source",):
            return
        for part in self.mixture.parts:
            recipe, where = part.recipe, f"stage '{part.name}': " if part.name else ""
            given = (("weights", recipe.weights), ("budgets", recipe.budgets))
            for what, found in given:
                for group in sorted(found or {}):
                    if group not in sources:
                        raise ValueError(
                            f"{where}{what} name the source '{group}', which no document has."
                            f"{nearest(group, sources)}"
                        )
            named = recipe.named()
            missing = [name for name in sorted(sources) if named is not None and name not in named]
            if missing:
                what = "weight" if recipe.weights is not None else "budget"
                raise ValueError(
                    f"{where}the source '{missing[0]}' has no {what}. Give it one; 0 leaves it out."
                )
        bounds = self.max_epochs if isinstance(self.max_epochs, Mapping) else {}
        for group in sorted(bounds):
            if group not in sources:
                raise ValueError(
                    f"max_epochs names the source '{group}', which no document has."
                    f"{nearest(group, sources)}"
                )

    def plan_notes(self) -> list[str]:
        mixture = self.mixture
        total = mixture.total
        lines = [f"{len(mixture.parts)} stages in order"] if self.stages else []
        lines += [_part_note(part, total) for part in mixture.parts]
        if isinstance(self.max_epochs, Mapping):
            bounds = ", ".join(f"{name} {most:g}" for name, most in sorted(self.max_epochs.items()))
            bounds = f"{bounds}; any other {MAX_EPOCHS:g}"
        else:
            bounds = f"{self.max_epochs:g}"
        over = "an error" if self.over_max_epochs == "error" else "held there, the rest shared out"
        if mixture.takes_all:
            over = "taken in part"
        lines.append(f"at most {bounds} epochs; a group that needs more is {over}")
        if mixture.upsampling is not None:
            lines.append(mixture.upsampling.note())
        return [*lines, "tokens, epochs and shortfall of each group are known after tokenising"]


def _part_note(part: Part, total: int | None) -> str:
    """What is known of a stage before any document is read."""
    recipe, share = part.recipe, part.share
    size = part.tokens if share is None or total is None else int(total * share)
    if not recipe.shares_rest:
        size = recipe.budget
    if size is not None:
        text = f"{size:,} tokens"
    elif share is not None:
        text = f"{float(100 * share):g} % of the largest total within max_epochs"
    elif recipe.weights is None and recipe.alpha is None:
        text = "every document once"
    else:
        text = "the largest total within max_epochs"
    dealt = [f"{name} {budget:,}" for name, budget in sorted((recipe.budgets or {}).items())]
    if recipe.weights is not None:
        shares = sorted(recipe.shares({}).items())
        rest = None if size is None else size - recipe.budget
        for name, part_share in shares:
            amount = "" if rest is None else f" = {int(rest * part_share):,}"
            dealt.append(f"{name} {float(100 * part_share):.4g} %{amount}")
    elif recipe.alpha is not None:
        dealt.append(f"by {recipe.alpha_of}^{recipe.alpha:g}")
    return f"{part.name}: " * bool(part.name) + text + (": " + ", ".join(dealt) if dealt else "")
