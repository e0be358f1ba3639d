"""One command for each staff action (contract §2), made from its model: a key is written nowhere twice.

``action_id`` and ``by`` are the same for all; every other key of the model is an option of its name.
"""

import inspect
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from omhand.cli.cases import Case
from omhand.cli.saying import AsJson, ask, bad_usage, parsed, say_json, staff_at
from omhand.cli.showing import case_panel, console
from omhand.client import CaseClient, NotConfigured, Refused
from omhand.contract.actions import ACTIONS, Action, ThePatient
from omhand.contract.names import Code
from omhand.contract.opening import StaffMember
from omhand.contract.view import View

Payload = dict[str, Any]

Staff = Annotated[
    str | None,
    typer.Option(
        metavar="STAFF@UNIT[:PROFESSION]",
        help="Who acts. The profession may be left out where there is only one, and Postgres at hand to look it up.",
    ),
]
Patient = Annotated[bool, typer.Option("--patient", help="The patient acts.", show_default=False)]
ActionId = Annotated[str | None, typer.Option(help="The same id again changes nothing, and answers as the first time.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Send it as a signal, and do not wait for the answer.")]


def add_to(app: typer.Typer) -> None:
    """Add a command for each action."""
    for name, model in ACTIONS.items():
        app.command(name.replace("_", "-"), help=model.__doc__)(_command(model))


def _command(model: type[Action]) -> Callable[..., None]:
    keys = [name for name in model.model_fields if name not in Action.model_fields]

    def command(ctx: typer.Context, case: str, as_json: bool, **given: Any) -> None:  # noqa: ANN401, FBT001 - typer's
        no_wait = given.pop("no_wait")
        by = _by(given.get("by"), patient=given.get("patient", False))
        payload = {key: given[key] for key in keys if given[key] is not None}
        if given["action_id"] is not None:
            payload["action_id"] = given["action_id"]

        async def job(client: CaseClient) -> View | None:
            action = parsed(model, {**payload, "by": await _whole(by, client)})
            return await client.act(case, action, wait=not no_wait)

        _say(ask(ctx, job, as_json=as_json), case, as_json=as_json)

    parameters = list(_parameters(model, keys))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _parameters(model: type[Action], keys: list[str]) -> Iterator[inspect.Parameter]:
    yield _parameter("ctx", typer.Context)
    yield _parameter("case", Case)
    actors = _members(model.model_fields["by"].annotation)
    if StaffMember in actors:
        yield _parameter("by", Staff, None)
    if ThePatient in actors:
        yield _parameter("patient", Patient, StaffMember not in actors)
    for key in keys:
        field = model.model_fields[key]
        default = inspect.Parameter.empty if field.is_required() else None
        yield _parameter(key, _option(key, field), default)
    yield _parameter("action_id", ActionId, None)
    yield _parameter("no_wait", NoWait, default=False)
    yield _parameter("as_json", AsJson, default=False)


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:  # noqa: ANN401 - typer's
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option(key: str, field: FieldInfo) -> Any:  # noqa: ANN401 - an annotation
    """The option of a key. What may be in it is the model's business; here are only the types of the command line."""
    members = _members(field.annotation)
    name = f"--{key.replace('_', '-')}"
    if any(get_origin(member) is tuple for member in members):
        # Given once for each.
        return Annotated[list[str] | None, typer.Option(name, metavar="URI")]
    if bool in members:
        return Annotated[bool | None, typer.Option(f"{name}/--no-{key.replace('_', '-')}")]
    if int in members:
        return Annotated[int | None, typer.Option(name)]
    words = [str(word) for member in members if get_origin(member) is Literal for word in get_args(member)]
    return Annotated[str | None, typer.Option(name, metavar="|".join(words) or "TEXT")]


def _members(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - an annotation
    """The types of an annotation, without what is said about them."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return tuple(each for member in get_args(annotation) for each in _members(member))
    return (annotation,)


def _by(staff: str | None, *, patient: bool) -> Payload:
    """Who acts, as far as the command line says."""
    if patient == (staff is not None):
        bad_usage("say who acts, by one of --by STAFF@UNIT[:PROFESSION] and --patient (where the action has it)")
    if staff is None:
        return {"patient": True}
    return dict(staff_at(staff))


async def _whole(by: Payload, client: CaseClient) -> Payload:
    """Who acts, with the profession that was left out: the only one that they have at that unit."""
    if "staff" not in by or "profession" in by:
        return by
    try:
        found = await client.professions_of(by["staff"], by["unit"])
    except NotConfigured:
        bad_usage("--by: name the profession too (STAFF@UNIT:PROFESSION), or set OMHAND_DATABASE_URL to look it up")
    if not found:
        raise Refused(Code.UNKNOWN_STAFF, "by: this member of staff does not work at that unit, by the directory")
    if len(found) > 1:
        bad_usage(f"--by: name the profession too, STAFF@UNIT:PROFESSION, one of {', '.join(found)}")
    return {**by, "profession": found[0]}


def _say(view: View | None, case: str, *, as_json: bool) -> None:
    if view is None:
        sent = {"case_id": case, "sent": True}
        say_json(sent) if as_json else typer.echo(f"{case}: sent; its log says what comes of it")
    elif as_json:
        say_json(view.to_json())
    else:
        console().print(case_panel(view))
