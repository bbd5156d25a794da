"""The schemas of ``/openapi.json``: made from the messages' models, with the rules that HTTP adds."""

from __future__ import annotations

from typing import Any

from relay.contribution import MAX_STEER_CHARACTERS, SET_BY_RELAY
from relay.messages import Append, Command, Error, Feedback, Hint, Message, Seen, Transcript
from relay.publish_request import CONTRIBUTIONS, MAX_TYPE, PUBLISHABLE, RESERVED, SET_BY_REDIS

Json = dict[str, Any]

SESSION_PATTERN = r"^[A-Za-z0-9_.~-]{1,128}$"
NAME_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
# Numbers up to 2**53-1, but for the highest of them, which no log will reach.
_NUMBER = "(?:[1-9][0-9]{0,14}|[1-8][0-9]{15})"
_POSITION_PATTERN = f"^{_NUMBER}-{_NUMBER}$"
# What JavaScript can tell from its neighbours; more would be read as a float.
_MAX_INTEGER = 2**53 - 1

_CODES = {
    "400": ["bad_request", "bad_session", "bad_position"],
    "401": ["unauthorized"],
    "403": ["forbidden"],
    "404": ["not_found", "unknown_hint"],
    "408": ["timeout"],
    "409": ["conflict"],
    "413": ["too_large"],
    "415": ["bad_request"],
    "422": ["bad_message"],
    "429": ["rate_limited", "limit_reached"],
    "500": ["internal"],
    "503": ["unavailable"],
}


def problem_codes(status: str) -> list[str]:
    """Return the codes of the problems that have this status."""
    return _CODES[status]


def schemas() -> dict[str, Json]:
    """Return all schemas by their names."""
    sent = {
        "Hint": _published(Hint, status=["complete", "cancelled", "interrupted", None]),
        "Transcript": _published(Transcript),
        "Error": _published(Error),
        "OwnMessage": _own(),
        "Feedback": _contributed(Feedback),
        "Command": _command(),
        "Seen": _contributed(Seen, needs_id=False),
    }
    kept = (Hint, Append, Transcript, Feedback, Command, Error)
    return {
        "Position": {
            "type": "string",
            "pattern": _POSITION_PATTERN,
            "description": "Where a message stands in its session's log: `<epoch>-<offset>`.",
        },
        "Message": {
            "description": "What can be sent; which of them, says the token's `role`.",
            "anyOf": [_ref(name) for name in sent],
        },
        **sent,
        **{f"Kept{model.__name__}": _kept(model) for model in kept},
        "KeptMessage": {
            "description": "As it stands in the log; types of agents' own are there, too.",
            "anyOf": [
                *(_ref(f"Kept{model.__name__}") for model in kept),
                _object({"position": _ref("Position")}, ["position"], more=True),
            ],
        },
        **_answers(),
    }


# What is sent


def _published(model: type[Message], **choices: list[str | None]) -> Json:
    """Return what an agent may send: without what Redis says, and an id where it wants to give one."""
    schema = _schema_of(model)
    properties = schema["properties"]
    properties.update(dict.fromkeys(SET_BY_REDIS, False))
    for name, values in choices.items():
        properties[name] = {"enum": values}
    # An id of null is as good as none.
    properties["id"] = _nullable(properties["id"])
    return schema


def _own() -> Json:
    fields = _schema_of(Hint)["properties"]
    taken = sorted({*RESERVED, *CONTRIBUTIONS, *PUBLISHABLE, "append"})
    return {
        "description": "A message of an agent's own type: it is passed on as it is.",
        **_object(
            {
                "type": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_TYPE,
                    "not": {"enum": taken},
                },
                "id": _nullable(fields["id"]),
                "timestamp": fields["timestamp"],
                **dict.fromkeys(SET_BY_REDIS, False),
            },
            ["type"],
            more=True,
        ),
    }


def _contributed(model: type[Message], *, needs_id: bool = True) -> Json:
    """Return what a facilitator may send: under an id, and without what the relay says itself."""
    schema = _schema_of(model)
    schema["properties"].update(dict.fromkeys(SET_BY_RELAY, False))
    if needs_id:
        schema["required"].append("id")
    return schema


def _command() -> Json:
    schema = _contributed(Command)
    properties = schema["properties"]
    hint_id = properties["id"]
    text = {"type": "string", "pattern": r"\S", "maxLength": MAX_STEER_CHARACTERS}
    schema["anyOf"] = [
        {"properties": {"name": {"const": "cancel"}, "hint": hint_id}, "required": ["hint"]},
        {"properties": {"name": {"const": "steer"}, "text": text}, "required": ["text"]},
    ]
    return schema


# What is kept, and what is answered


def _kept(model: type[Message]) -> Json:
    schema = _schema_of(model)
    schema["properties"]["position"] = _ref("Position")
    schema["required"].append("position")
    return schema


def _answers() -> dict[str, Json]:
    text: Json = {"type": "string"}
    position = {"anyOf": [_ref("Position"), {"type": "null"}]}
    count = {"type": "integer", "minimum": 0}
    age = {"type": ["number", "null"], "minimum": 0}
    published = _object(
        {"id": _nullable(text), "position": position, "duplicate": {"type": "boolean"}},
        ["id", "position", "duplicate"],
    )
    return {
        "Published": _object(
            {"messages": {"type": "array", "items": published, "minItems": 1}},
            ["messages"],
            example={
                "messages": [{"id": "h-1", "position": "1763900000000-42", "duplicate": False}]
            },
        ),
        "History": _object(
            {
                "messages": {"type": "array", "items": _ref("KeptMessage")},
                "position": {**position, "description": "The log's newest; null: there is none."},
                "recovered": {
                    "type": ["boolean", "null"],
                    "description": "Whether all that came after `since` is there; null without it.",
                },
                "more": {"type": "boolean"},
            },
            ["messages", "position", "recovered", "more"],
        ),
        "Presence": _object(
            {"facilitators": count, "who": {"type": "array", "items": text}},
            ["facilitators", "who"],
            example={"facilitators": 2, "who": ["ada", "guest-7f3a9c"]},
        ),
        "Disconnect": _object({"who": {"type": "string", "minLength": 1}}, []),
        "Disconnecting": _object({"relays": count}, ["relays"], example={"relays": 2}),
        "Live": _object({"status": {"const": "live"}}, ["status"]),
        "Ready": _object(
            {
                "status": {"enum": ["ready", "unready"]},
                "probe_age_s": age,
                "problems": {"type": "object", "additionalProperties": text},
            },
            ["status", "probe_age_s"],
        ),
        "Event": _object(
            {
                "data": {**text, "contentMediaType": "application/json"},
                "event": {"enum": ["message", "close"]},
                "id": _ref("Position"),
                "retry": count,
            },
            [],
        ),
        "Problem": _object(
            {
                "type": {"const": "about:blank"},
                "title": text,
                "status": {"type": "integer"},
                "detail": {**text, "description": "One sentence for people."},
                "code": {**text, "description": "For programs; as in `error` messages."},
                "errors": {
                    "type": "array",
                    "items": _object({"pointer": text, "detail": text}, ["pointer", "detail"]),
                    "description": "Which field of the body (RFC 6901), and what is wrong with it.",
                },
                "retry_after_ms": count,
                "messages": {"type": "array", "items": published},
            },
            ["type", "title", "status", "detail", "code"],
            example={
                "type": "about:blank",
                "title": "Unprocessable Content",
                "status": 422,
                "detail": "'text': Input should be a valid string.",
                "code": "bad_message",
                "errors": [
                    {"pointer": "/0/text", "detail": "'text': Input should be a valid string."}
                ],
            },
        ),
    }


def _schema_of(model: type[Message]) -> Json:
    """Return a model's schema; its ``type`` has to be there, though the model can do without."""
    schema: Json = model.model_json_schema(ref_template="#/components/schemas/{model}")
    properties = schema["properties"]
    # What a tool would show as the title is the field's name anyway.
    for field in properties.values():
        field.pop("title", None)
    properties["type"].pop("default", None)
    for field in properties.values():
        for one in (field, *field.get("anyOf", ())):
            if one.get("type") == "integer":
                one["maximum"] = _MAX_INTEGER
    schema["required"] = ["type", *schema.get("required", ())]
    return schema


def _object(
    properties: Json, required: list[str], *, more: bool = False, example: Json | None = None
) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": more,
        **({} if example is None else {"examples": [example]}),
    }


def _nullable(schema: Json) -> Json:
    is_nullable = any(one.get("type") == "null" for one in schema.get("anyOf", ()))
    return schema if is_nullable else {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
