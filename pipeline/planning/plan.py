"""Config -> Plan: steps placed in a DAG, columns checked, before any work starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigError, nearest
from pipeline.knobs import knob_info
from pipeline.planning.build import build_stage
from pipeline.planning.config import Config, StepSpec
from pipeline.stage import Apply, GlobalStage, Output, RowStage, Source, Stage


@dataclass(frozen=True)
class Step:
    """A stage placed in a plan."""

    id: str
    stage: Stage
    inputs: tuple[str, ...]
    """Steps whose documents it gets."""
    references: Mapping[str, str]
    """Reference knob -> id of the artefact step that it names."""
    line: int
    schema: pa.Schema | None
    """Columns of the documents it yields; None if it yields none."""


@dataclass(frozen=True)
class Plan:
    """A checked DAG, in an order in which every step comes after what it reads."""

    config: Config
    steps: tuple[Step, ...]

    def __getitem__(self, step_id: str) -> Step:
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    def readers(self, step_id: str) -> list[Step]:
        """Steps that get the documents of a step."""
        return [step for step in self.steps if step_id in step.inputs]

    def before(self, step_id: str) -> list[Step]:
        """Steps whose documents flow into a step, near or far."""
        found: dict[str, Step] = {}
        for name in self[step_id].inputs:
            found[name] = self[name]
            found.update({step.id: step for step in self.before(name)})
        return list(found.values())

    def sources_of(self, step_id: str) -> list[str]:
        """Ids of the sources whose documents reach a step."""
        step = self[step_id]
        if isinstance(step.stage, Source):
            return [step.id]
        found: dict[str, None] = {}
        for name in step.inputs:
            found.update(dict.fromkeys(self.sources_of(name)))
        return list(found)

    def needs(self, step_id: str) -> tuple[str, ...]:
        """Earlier metrics that a step reads as document columns, also for a mixture that it looks
        up: that one reads no document itself, wherever it stands."""
        step = self[step_id]
        stages = [] if _is_looked_up(step.stage) else [step.stage]
        stages += self.looked_up_by(step_id)
        return tuple(dict.fromkeys(name for stage in stages for name in stage.needs()))

    def looked_up_by(self, step_id: str) -> list[Stage]:
        """Stages of the artefacts that a step names and that are nothing but their knobs."""
        named = [self[name].stage for name in self[step_id].references.values()]
        return [stage for stage in named if _is_looked_up(stage)]

    def sources_seen_by(self, step_id: str) -> list[str]:
        """Sources that reach a step or, for an artefact that is only looked up, its readers."""
        readers = [s.id for s in self.steps if step_id in s.references.values()]
        names = readers if self[step_id].stage.kind and readers else [step_id]
        found: dict[str, None] = {}
        for name in names:
            found.update(dict.fromkeys(self.sources_of(name)))
        return list(found)


def _is_looked_up(stage: Stage) -> bool:
    """True for an artefact that is nothing but its knobs, such as a mixture."""
    return bool(stage.kind) and not isinstance(stage, GlobalStage)


def yields_documents(stage: Stage) -> bool:
    """True if other steps may get documents from this stage."""
    if isinstance(stage, GlobalStage):
        return any(isinstance(phase, Apply) for phase in stage.phases())
    return isinstance(stage, (Source, RowStage))


def reads_documents(stage: Stage) -> bool:
    """True if the stage gets documents from its inputs."""
    if isinstance(stage, Source) or _is_looked_up(stage):
        return False
    if isinstance(stage, GlobalStage):
        return any(getattr(phase, "reads", True) for phase in stage.phases())
    return True


def make_plan(config: Config) -> Plan:
    """Build and check every step. Raises ConfigError."""
    _check_ids(config)
    stages = {spec.id: build_stage(spec, config) for spec in config.steps}
    inputs = {spec.id: _inputs_of(spec, config, stages) for spec in config.steps}
    references = {
        spec.id: _references_of(spec, config, stages, at) for at, spec in enumerate(config.steps)
    }
    order = _order(config, inputs, references)
    placed: dict[str, Step] = {}
    for spec in order:
        stage = stages[spec.id]
        for name, target in references[spec.id].items():
            stage = dataclasses.replace(stage, **{name: target})  # type: ignore[type-var]
        schema = _schema(spec, stage, [placed[name] for name in inputs[spec.id]], config)
        placed[spec.id] = Step(
            spec.id, stage, inputs[spec.id], references[spec.id], spec.line, schema
        )
    plan = Plan(config, tuple(placed.values()))
    _check_used(plan)
    for step in plan.steps:
        _check_sources_apart(plan, step)
        for metric in plan.needs(step.id):
            _check_metric(plan, step, metric)
        try:
            _check_columns(plan, step)
            step.stage.check_sources(plan.sources_seen_by(step.id))
        except ValueError as error:
            raise ConfigError(f"{config.at(step.line)}: step '{step.id}': {error}") from error
    return plan


def _check_sources_apart(plan: Plan, step: Step) -> None:
    """Raise ConfigError if two inputs bring documents of one source.

    A step takes a partition's documents from one place: those of the other input would be lost. A
    stage that names its inputs by knobs reads each apart.
    """
    if any(knob_info(f).input_steps for f in dataclasses.fields(step.stage)):  # type: ignore[arg-type]
        return
    seen: dict[str, str] = {}
    for name in step.inputs:
        for source in plan.sources_of(name):
            if source in seen:
                raise ConfigError(
                    f"{plan.config.at(step.line)}: step '{step.id}' gets documents of '{source}' "
                    f"by two inputs, '{seen[source]}' and '{name}'. Expected each source by one "
                    f"input: read the files by a second source step, or take one input out."
                )
            seen[source] = name


def _check_ids(config: Config) -> None:
    seen: dict[str, int] = {}
    if not config.steps:
        raise ConfigError(f"{config.path}: no steps. A plan needs a source at least.")
    for spec in config.steps:
        if spec.id in seen:
            raise ConfigError(
                f"{config.at(spec.line)}: two steps have the id '{spec.id}' (first in line "
                f"{seen[spec.id]}). Give one of them an `id:`."
            )
        seen[spec.id] = spec.line


def _inputs_of(spec: StepSpec, config: Config, stages: Mapping[str, Stage]) -> tuple[str, ...]:
    stage, where = stages[spec.id], config.at(spec.line)
    if not reads_documents(stage):
        if spec.inputs and _is_looked_up(stage):
            raise ConfigError(
                f"{where}: '{spec.id}' takes no inputs, as it passes no documents on: give "
                f"`inputs: [{', '.join(spec.inputs)}]` to every step that reads documents with it."
            )
        if spec.inputs:
            raise ConfigError(f"{where}: '{spec.id}' takes no inputs.")
        return ()
    named = _named_inputs(stage)
    if named and spec.inputs is not None:
        raise ConfigError(
            f"{where}: the inputs of '{spec.id}' are {', '.join(named)}: no `inputs:`."
        )
    given = named or spec.inputs
    if given is None:
        above = config.steps[: [s.id for s in config.steps].index(spec.id)]
        for candidate in reversed(above):
            if yields_documents(stages[candidate.id]):
                return (candidate.id,)
        raise ConfigError(f"{where}: no step above '{spec.id}' yields documents. Give `inputs:`.")
    for name in given:
        if name not in stages:
            raise ConfigError(f"{where}: unknown input '{name}'.{nearest(name, stages)}")
        if not yields_documents(stages[name]):
            raise ConfigError(f"{where}: '{name}' yields no documents, so it cannot be an input.")
    return tuple(dict.fromkeys(given))


def _named_inputs(stage: Stage) -> tuple[str, ...]:
    """Steps that knobs of the stage name as its inputs."""
    fields = dataclasses.fields(stage)  # type: ignore[arg-type]
    return tuple(
        name
        for field in fields
        if knob_info(field).input_steps
        for name in getattr(stage, field.name)
    )


def _references_of(
    spec: StepSpec, config: Config, stages: Mapping[str, Stage], at: int
) -> dict[str, str]:
    found: dict[str, str] = {}
    for field in dataclasses.fields(stages[spec.id]):  # type: ignore[arg-type]
        kind = knob_info(field).reference
        if not kind or getattr(stages[spec.id], knob_info(field).unless, None):
            continue
        value = getattr(stages[spec.id], field.name)
        where = config.at(spec.knob_lines.get(field.name, spec.line))
        candidates = [s.id for s in config.steps if stages[s.id].kind == kind]
        if value:
            if value not in candidates:
                hint = nearest(value, candidates)
                raise ConfigError(f"{where}: no {kind} step '{value}'.{hint}")
            found[field.name] = value
            continue
        above = [s.id for s in config.steps[:at] if stages[s.id].kind == kind]
        if len(above) == 1:
            found[field.name] = above[0]
        elif len(above) > 1:
            names = ", ".join(above)
            raise ConfigError(f"{where}: several {kind} steps ({names}): give `{field.name}:`.")
        elif field.default is not None:
            instead = knob_info(field).unless
            hint = f" Or give `{instead}:`." if instead else ""
            raise ConfigError(
                f"{where}: '{spec.id}' needs a step that makes a {kind} above it.{hint}"
            )
    return found


def _order(
    config: Config, inputs: Mapping[str, Sequence[str]], references: Mapping[str, Mapping[str, str]]
) -> list[StepSpec]:
    specs = {spec.id: spec for spec in config.steps}
    done: list[StepSpec] = []
    state: dict[str, int] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if state.get(name) == 2:
            return
        if state.get(name) == 1:
            cycle = " -> ".join((*path[path.index(name) :], name))
            raise ConfigError(f"{config.at(specs[name].line)}: the steps form a cycle: {cycle}.")
        state[name] = 1
        for before in (*inputs[name], *references[name].values()):
            visit(before, (*path, name))
        state[name] = 2
        done.append(specs[name])

    for spec in config.steps:
        visit(spec.id, ())
    return done


def union_schema(schemas: Sequence[tuple[str, pa.Schema]], where: str) -> pa.Schema:
    """All columns of several inputs. Raises ConfigError where one name has two types."""
    fields: dict[str, tuple[str, pa.Field]] = {}
    for name, schema in schemas:
        for column in schema:
            if column.name in fields and fields[column.name][1].type != column.type:
                other, first = fields[column.name]
                raise ConfigError(
                    f"{where}: the column '{column.name}' is {first.type} in '{other}' and "
                    f"{column.type} in '{name}'. Rename or convert one of them."
                )
            fields.setdefault(column.name, (name, column))
    return pa.schema([column for _, column in fields.values()])


def stage_schema(stage: Stage, before: pa.Schema) -> pa.Schema:
    """Columns after a row-wise stage."""
    fields = {field.name: field for field in before if field.name not in stage.removes}
    fields.update({name: pa.field(name, kind) for name, kind in stage.adds.items()})
    return pa.schema(list(fields.values()))


def _schema(
    spec: StepSpec, stage: Stage, inputs: Sequence[Step], config: Config
) -> pa.Schema | None:
    where = config.at(spec.line)
    if isinstance(stage, Source):
        return stage.document_schema()
    for step in inputs:
        assert step.schema is not None
        for column in stage.reads:
            if column not in step.schema.names:
                raise ConfigError(
                    f"{where}: '{spec.id}' reads the column '{column}', which '{step.id}' does not "
                    f"give.{nearest(column, step.schema.names)}{_column_advice(column)}"
                )
    if not yields_documents(stage):
        return None
    return stage_schema(
        stage, union_schema([(s.id, s.schema) for s in inputs if s.schema is not None], where)
    )


def _column_advice(column: str) -> str:
    advice: Mapping[str, Any] = {
        "text": " Put an `extract` step between.",
        "lang": " Put a `language` step before it.",
        "tokens": " Put a `tokenize` step before it.",
    }
    return str(advice.get(column, ""))


def _check_metric(plan: Plan, step: Step, metric: str) -> None:
    """`<step id>.<metric>` must be measured on the way to `step`."""
    measured = {
        f"{before.id}.{name}"
        for before in plan.before(step.id)
        if isinstance(before.stage, RowStage)
        for name in before.stage.metric_types()
    }
    if metric not in measured:
        where = plan.config.at(step.line)
        hint = nearest(metric, measured)
        raise ConfigError(f"{where}: '{step.id}' needs the metric '{metric}'.{hint}")


def _check_columns(plan: Plan, step: Step) -> None:
    """Raise ValueError if an artefact that `step` looks up names a column that it does not get."""
    schemas = [plan[name].schema for name in step.inputs]
    names = dict.fromkeys(name for schema in schemas if schema for name in schema.names)
    for stage in plan.looked_up_by(step.id):
        stage.check_columns(list(names))


def _check_used(plan: Plan) -> None:
    used = {name for step in plan.steps for name in (*step.inputs, *step.references.values())}
    for step in plan.steps:
        makes = yields_documents(step.stage) or step.stage.kind
        if makes and step.id not in used and not isinstance(step.stage, Output):
            where = plan.config.at(step.line)
            raise ConfigError(
                f"{where}: nothing uses the step '{step.id}'. Remove it, name it as an input, or "
                f"end with an output such as write_documents."
            )
