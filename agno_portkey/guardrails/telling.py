"""What is told of a passage's place: no word that may be somebody's."""

from __future__ import annotations

import re

__all__ = ["KEYWORDS", "path_told"]

# What the host, OpenAI and JSON Schema say themselves: no guard need be asked about it.
_SAID = """
type function name description parameters strict requires_confirmation external_execution
approval_type json_schema schema properties required additionalProperties items prefixItems anyOf
oneOf allOf not if then else enum const default title examples example format pattern minimum
maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems
uniqueItems minProperties maxProperties propertyNames patternProperties dependentRequired
dependentSchemas contains minContains maxContains contentEncoding contentMediaType deprecated
readOnly writeOnly discriminator propertyName mapping definitions $defs $ref $id $schema $comment
"""
KEYWORDS = frozenset(_SAID.split())
# The fields of messages, answers and requests, and what stands in a path for no field.
_FIELDS = """
content text url image_url input_audio file file_data file_id filename mime_type filepath id images
videos audio audios files transcript arguments index tools tool_choice response_format citations
urls documents extra redacted user metadata stop prediction extra_body extra_query message messages
model reasons evidence raw
"""
_KNOWN = KEYWORDS | {*_FIELDS.split(), "(as written)", "(twice)", ""}
_JOINTS = re.compile(r"(\.|\[\d{1,4}\](?=[.\[]|\Z))")
_KEYS = re.compile(r"\(key\)(?:\.\(key\))+")


def path_told(path: str) -> str:
    """`path` with `(key)` in the place of what is no index and no field of a message or request.

    A key of the data is as much somebody's word as what stands under it.
    """
    parts = _JOINTS.split(path)
    # The joints are in between.
    parts[::2] = [part if part in _KNOWN else "(key)" for part in parts[::2]]
    return _KEYS.sub("(key)", "".join(parts))
