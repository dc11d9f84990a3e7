"""The draft of a configuration: working on it, looking at what it would do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from gateway.actors import Role
from gateway.changes.bodies import (
    DraftBody,
    DraftDifference,
    DraftFiles,
    FileText,
    ProblemBody,
    Rebased,
    Validation,
)
from gateway.changes.changes import Changes
from gateway.changes.drafting import differences
from gateway.changes.errors import Invalid
from gateway.config.edit import Edit
from gateway.config.tree import MAX_BYTES, MAX_FILES, Tree
from gateway.control.operation import Answer, Body, Call, File, NoQuery, Operation, Query, Refusal, file
from gateway.control.refusing import change_errors
from gateway.southbound import Trial

_MAX_BODY = 4 * MAX_BYTES
"""JSON may write one byte as six, but what people write it as it is."""
_MAX_EDITS = 10_000


class Seen(Query):
    version: str | None = Field(
        default=None, max_length=64, description="The draft's version as the caller saw it: refused if it has changed."
    )


class PutDraft(Body):
    """Whole files of the draft."""

    files: dict[str, str | None] = Field(
        max_length=MAX_FILES, description="File → its text; null takes the file out. Others stay as they are."
    )


class OneEdit(Body):
    """`set` a key or table, `add` a table (or a list of them) to a list of tables, `remove` either."""

    op: Literal["set", "add", "remove"]
    path: list[str] = Field(
        min_length=1,
        max_length=32,
        description="Tables and keys; an element of a list of tables by its name.",
        examples=[["device", "filler1", "group", "fast", "interval_ms"]],
    )
    value: Any = Field(default=None, description="For `set` and `add`.")
    file: str | None = Field(
        default=None, max_length=200, description="Where `add` puts a table of the top level. Default: the main file."
    )


class PatchDraft(Body):
    """Edits, one after the other, all or none. Comments and layout of the files stay."""

    edits: list[OneEdit] = Field(max_length=_MAX_EDITS)


def operations(changes: Changes) -> list[Operation[Any, Any]]:
    """The operations of the one draft."""
    drafting = changes.drafting

    async def get_draft(_: Call[NoQuery, None]) -> DraftFiles:
        with change_errors():
            draft = drafting.required()
        return {**draft.body(), "main": draft.tree.main, "files": texts(draft.tree)}

    async def put_draft(call: Call[Seen, PutDraft]) -> DraftBody:
        files: dict[str, bytes | None] = {}
        for name, text in call.body.files.items():
            try:
                files[name] = None if text is None else text.encode()
            except UnicodeEncodeError:
                raise Refusal(409, "bad-text", f"the text of {name} can't be UTF-8", "mend its characters") from None
        with change_errors():
            return (await drafting.put_files(call.actor, files, call.query.version)).body()

    async def patch_draft(call: Call[Seen, PatchDraft]) -> DraftBody:
        edits = [Edit(each.op, tuple(each.path), each.value, each.file) for each in call.body.edits]
        with change_errors():
            return (await drafting.edit(call.actor, edits, call.query.version)).body()

    async def discard_draft(call: Call[Seen, None]) -> None:
        with change_errors():
            await drafting.discard(call.query.version)

    async def import_draft(call: Call[Seen, bytes]) -> DraftBody:
        if not call.body:
            raise Refusal(400, "no-body", "there is no archive in the body", "send a tar file")
        with change_errors():
            return (await drafting.import_archive(call.actor, call.body, call.query.version)).body()

    async def rebase_draft(call: Call[Seen, None]) -> Rebased:
        with change_errors():
            draft, conflicts = await drafting.rebase(call.actor, call.query.version)
        return {**draft.body(), "conflicts": conflicts}

    async def validate_draft(_: Call[NoQuery, None]) -> Validation:
        with change_errors():
            draft = drafting.required()
            tree = await changes.tree_of("draft")
            problems: list[ProblemBody] = []
            effect = None
            try:
                effect = await changes.effect(tree)
            except Invalid as error:
                problems = list(error.problems)
        return {
            "valid": not problems,
            "problems": problems,
            "effect": effect,
            "unnamed": sorted(draft.tree.files.keys() - tree.files.keys()),
            "version": draft.version,
        }

    async def diff_draft(_: Call[NoQuery, None]) -> DraftDifference:
        with change_errors():
            draft = drafting.required()
            trees = await changes.tree_of("files"), await changes.tree_of("draft")
            body = await asyncio.to_thread(differences, *trees)
            conflict = await drafting.conflict(draft.base, trees[1])
        return {
            **body,
            "version": draft.version,
            "conflict": conflict is not None,
            "theirs": conflict.theirs if conflict else [],
            "conflicts": conflict.conflicts if conflict else [],
        }

    async def patch_of_draft(_: Call[NoQuery, None]) -> File:
        with change_errors():
            trees = await changes.tree_of("files"), await changes.tree_of("draft")
        body = await asyncio.to_thread(differences, *trees)
        return File(body["patch"].encode(), "text/x-diff", "tidegate.patch")

    async def try_draft(_: Call[NoQuery, None]) -> Sequence[Trial]:
        with change_errors():
            return await changes.try_out(await changes.tree_of("draft"))

    return [
        Operation(
            "GET",
            "/v1/config/draft",
            "get_draft",
            Role.ENGINEER,
            "Give the draft with the text of its files.",
            get_draft,
            Answer(DraftFiles),
        ),
        Operation(
            "PUT",
            "/v1/config/draft",
            "put_draft",
            Role.ENGINEER,
            "Put whole files into the draft, or take them out. It begins with what is in place.",
            put_draft,
            Answer(DraftBody),
            query=Seen,
            body=PutDraft,
            max_body=_MAX_BODY,
            refusals=(409, 507),
        ),
        Operation(
            "PATCH",
            "/v1/config/draft",
            "patch_draft",
            Role.ENGINEER,
            "Edit the draft by the names of its tables and keys; comments and layout stay.",
            patch_draft,
            Answer(DraftBody),
            query=Seen,
            body=PatchDraft,
            max_body=_MAX_BODY,
            refusals=(409, 507),
        ),
        Operation(
            "DELETE",
            "/v1/config/draft",
            "discard_draft",
            Role.ENGINEER,
            "Throw the draft away.",
            discard_draft,
            Answer(status=204),
            query=Seen,
            refusals=(409,),
        ),
        Operation(
            "POST",
            "/v1/config/draft/import",
            "import_draft",
            Role.ENGINEER,
            "Put a tar archive of files into the draft, instead of what it holds.",
            import_draft,
            Answer(DraftBody),
            query=Seen,
            body=bytes,
            max_body=_MAX_BODY,
            refusals=(409, 507),
        ),
        Operation(
            "POST",
            "/v1/config/draft/rebase",
            "rebase_draft",
            Role.ENGINEER,
            "Take into the draft what somebody else changed in place; of files that both changed its own text stays.",
            rebase_draft,
            Answer(Rebased),
            query=Seen,
            refusals=(409, 507),
        ),
        Operation(
            "GET",
            "/v1/config/draft/validate",
            "validate_draft",
            Role.ENGINEER,
            "Say every problem of the draft, or what applying it would restart.",
            validate_draft,
            Answer(Validation),
        ),
        Operation(
            "GET",
            "/v1/config/draft/diff",
            "diff_draft",
            Role.ENGINEER,
            "Say what the draft would change in the files, as text and in words, and what others changed meanwhile.",
            diff_draft,
            Answer(DraftDifference),
        ),
        Operation(
            "GET",
            "/v1/config/draft/patch",
            "export_draft_patch",
            Role.ENGINEER,
            "Give what the draft would change as one patch.",
            patch_of_draft,
            file("text/x-diff"),
        ),
        Operation(
            "POST",
            "/v1/config/draft/try",
            "try_draft",
            Role.ENGINEER,
            "Read once, on the wire, what the draft would change or add, and apply nothing.",
            try_draft,
            Answer(list[Trial]),
        ),
    ]


def texts(tree: Tree) -> list[FileText]:
    """Every file with its text, None where it isn't UTF-8; the main file first."""
    found: list[FileText] = []
    for name in sorted(tree.files, key=lambda name: (name != tree.main, name)):
        text: str | None
        try:
            text = tree.files[name].decode()
        except UnicodeDecodeError:
            text = None
        found.append({"name": name, "bytes": len(tree.files[name]), "text": text})
    return found
